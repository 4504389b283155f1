package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
)

// deploy makes A's certificate trusted by whoever has no trust of its own, in one
// environment and not in the other.
func (s *story) deploy(ctx context.Context) error {
	err := s.test.Deploy(ctx, "server-a")
	s.add("deploy A's private component on its own", "not deployable", described(err, trustkeep.ErrNotDeployable, "not deployable"))
	file, err := s.publicOf(ctx, "server-a")
	if err != nil {
		return err
	}
	if _, err := s.everybody(ctx, "HTTPS to A, nothing is deployed", nil, https(s.a), nobodyTrusted); err != nil {
		return err
	}
	imported, err := s.registry.Import(ctx, "Partner A", file, environment.ComponentOptions{ID: "a"})
	if err != nil {
		return err
	}
	s.add("import A's certificate as component a", "public X.509 version 1", content(imported))
	deploy := func() error { return s.test.Deploy(ctx, "a") }
	if _, err := s.everybody(ctx, "deploy a; HTTPS to A, no trust of its own", deploy, https(s.a), ok); err != nil {
		return err
	}
	if _, err := s.everybody(ctx, "FTP with AUTH TLS to A, no trust of its own", nil, ftps(s.a), ok); err != nil {
		return err
	}
	_, err = s.these(ctx, []client{s.live}, "HTTPS to A in production, where a is not deployed", nil, https(s.a), nobodyTrusted)
	return err
}

// ownTrust sets connections to certificates, which replace what is deployed, and deploys a
// process with its copies of them.
func (s *story) ownTrust(ctx context.Context) error {
	file, err := s.publicOf(ctx, "server-b")
	if err != nil {
		return err
	}
	if _, err := s.registry.Import(ctx, "Partner B", file, environment.ComponentOptions{ID: "b"}); err != nil {
		return err
	}
	set := func(connection, component string) func() error {
		return func() error {
			return s.registry.SetConnection(ctx, environment.Connection{ID: connection, Trusted: []string{component}})
		}
	}
	r, err := s.everybody(ctx, "set connection to-b to b; to A over it, a is deployed", set("to-b", "b"), https(s.a).over("to-b"), refusedFor("self-signed"))
	if err != nil {
		return err
	}
	r.explained()
	if _, err := s.everybody(ctx, "to B over the same", nil, https(s.b).over("to-b"), ok); err != nil {
		return err
	}
	if _, err := s.everybody(ctx, "set connection to-a to a; to A over it", set("to-a", "a"), https(s.a).over("to-a"), ok); err != nil {
		return err
	}
	deploy := func() error {
		if err := s.registry.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"to-a"}}); err != nil {
			return err
		}
		return s.test.DeployProcess(ctx, "orders")
	}
	_, err = s.everybody(ctx, "deploy process orders; FTP to A from it", deploy, ftps(s.a).over("to-a").in("orders"), ok)
	return err
}

// expiry moves the clock to where A is no longer valid.
func (s *story) expiry(ctx context.Context) error {
	s.clock.set(s.clock.Now().Add(400 * day))
	for i, c := range s.connections() {
		r, err := s.everybody(ctx, c.name+", 400 days later", nil, c.question, refusedFor("expired"))
		if err != nil {
			return err
		}
		if i == 0 {
			r.explained()
		}
	}
	expiring, err := s.registry.Expiring(ctx, environment.ExpiryQuery{Environment: "test"})
	if err != nil {
		return err
	}
	var report strings.Builder
	var places []string
	columns := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "component\tname\tversion\twhere\tuntil\texpired\tsubject")
	for _, e := range expiring {
		fmt.Fprintf(columns, "%s\t%s\t%d\t%s\t%s\t%t\t%s\n", e.Component, e.Name, e.Version, e.Location, e.NotAfter.Format(time.DateOnly), e.Expired, e.Subject)
		if e.Expired {
			places = append(places, e.Component+" "+e.Location)
		}
	}
	columns.Flush()
	s.add("report what has expired in test", "a deployed, a connection to-a, a frozen in process orders", strings.Join(places, ", ")).
		noting("has expired, or will within 30 days", report.String())
	return nil
}

// replacement gives A a new key and certificate, and the component of its certificate the
// new content. Nobody changes a connection.
func (s *story) replacement(ctx context.Context) error {
	renewed, err := s.registry.RegenerateX509(ctx, "server-a", keystore.RenewOptions{NewKey: true}, environment.ComponentOptions{})
	if err != nil {
		return err
	}
	s.add("regenerate server-a", "private X.509 version 2", content(renewed))
	if err := s.awaitServer(ctx, "server-a", 2); err != nil {
		return err
	}
	connections := s.connections()
	r, err := s.everybody(ctx, connections[0].name+", a is still the old certificate", nil, connections[0].question, refusedFor("self-signed"))
	if err != nil {
		return err
	}
	r.explained()
	file, err := s.publicOf(ctx, "server-a")
	if err != nil {
		return err
	}
	reimport := func() error {
		after, err := s.registry.Reimport(ctx, "a", file, environment.ComponentOptions{})
		if err == nil && (after.ID() != "a" || after.Version() != 2 || after.Fingerprint() != renewed.Fingerprint()) {
			err = fmt.Errorf("reimported as %v", after)
		}
		return err
	}
	for i, c := range connections {
		step, change, want := c.name, reimport, ok
		if i == 0 {
			step = "reimport a, same ID; " + step
		} else {
			change = nil
		}
		if c.frozen {
			want = refusedFor("self-signed")
		}
		if _, err := s.everybody(ctx, step, change, c.question, want); err != nil {
			return err
		}
	}
	if err := s.listStale(ctx, "orders has a version 1 of 2"); err != nil {
		return err
	}
	frozen := connections[len(connections)-1]
	again := func() error { return s.test.DeployProcess(ctx, "orders") }
	if _, err := s.everybody(ctx, "deploy orders again; "+frozen.name, again, frozen.question, ok); err != nil {
		return err
	}
	return s.listStale(ctx, "none")
}

// listStale lists processes with copies of what has been replaced.
func (s *story) listStale(ctx context.Context, want string) error {
	stale, err := s.test.Stale(ctx)
	if err != nil {
		return err
	}
	var out []string
	for _, one := range stale {
		out = append(out, fmt.Sprintf("%s has %s version %d of %d", one.Process, one.Component, one.Frozen, one.Current))
	}
	if out == nil {
		out = []string{"none"}
	}
	s.add("list stale processes", want, strings.Join(out, ", "))
	return nil
}

// connections are the ways to A, the one with a frozen copy last.
func (s *story) connections() []connection {
	return []connection{
		{"HTTPS, no trust of its own", https(s.a), false},
		{"FTP, no trust of its own", ftps(s.a), false},
		{"HTTPS over to-a", https(s.a).over("to-a"), false},
		{"FTP from process orders", ftps(s.a).over("to-a").in("orders"), true},
	}
}

type connection struct {
	name     string
	question question
	frozen   bool
}

// publicOf returns the certificate of a private component, as its owner sends it to
// partners.
func (s *story) publicOf(ctx context.Context, id string) ([]byte, error) {
	c, err := s.registry.Component(ctx, id)
	if err != nil {
		return nil, err
	}
	x, is := c.(*keystore.Component)
	if !is {
		return nil, fmt.Errorf("%s is no X.509 component", id)
	}
	_, file, err := x.ExportPublic("")
	return file, err
}

func content(c trustkeep.Component) string {
	return fmt.Sprintf("%s %s version %d", c.Visibility(), c.Kind(), c.Version())
}

// described names an error that was to be expected.
func described(err, want error, name string) string {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, want):
		return name
	default:
		return err.Error()
	}
}
