package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

const day = 24 * time.Hour

// connections are the ways to A. That of the process has a frozen copy of A's certificate.
func (s *story) connections() (following [3]step, frozen step) {
	return [3]step{
		{name: "HTTPS, no trust of its own", q: https(s.a)},
		{name: "FTP, no trust of its own", q: ftps(s.a)},
		{name: "HTTPS over to-a", q: https(s.a).over("to-a")},
	}, step{name: "FTP from process orders", q: ftps(s.a).over("to-a").in("orders")}
}

// but is the step with another outcome, under a longer name.
func (one step) but(prefix, suffix, want string) step {
	one.name, one.want = prefix+one.name+suffix, want
	return one
}

// expiry moves the clock to where A is no longer valid.
func (s *story) expiry(ctx context.Context) error {
	s.clock.set(s.clock.Now().Add(400 * day))
	following, frozen := s.connections()
	for i, one := range append(following[:], frozen) {
		one = one.but("", ", 400 days later", refusedFor("expired"))
		one.explain = i == 0
		if err := s.try(ctx, one); err != nil {
			return err
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
	renewed, err := s.registry.Renew(ctx, "server-a", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{})
	if err != nil {
		return err
	}
	s.add("regenerate server-a", "private X.509 version 2", content(renewed))
	if err := s.awaitServer(ctx, "server-a", 2); err != nil {
		return err
	}
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
	following, frozen := s.connections()
	before := following[0].but("", ", a is still the old certificate", refusedFor("self-signed"))
	before.explain = true
	first := following[0].but("reimport a, same ID; ", "", ok)
	first.change = reimport
	err = s.try(ctx, before, first, following[1].but("", "", ok), following[2].but("", "", ok), frozen.but("", "", refusedFor("self-signed")))
	if err != nil {
		return err
	}
	if err := s.listStale(ctx, "orders has a version 1 of 2"); err != nil {
		return err
	}
	again := frozen.but("deploy orders again; ", "", ok)
	again.change = func() error { return s.test.DeployProcess(ctx, "orders") }
	if err := s.try(ctx, again); err != nil {
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
