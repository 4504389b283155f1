package environment_test

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// exampleRegistry is one in memory, at a time that stands still.
func exampleRegistry(ctx context.Context) (*environment.Registry, *environment.Environment) {
	clock := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	r, err := environment.Open(ctx, storagetest.NewMemory(clock), environment.Options{
		Sealer: environment.PasswordSealer(trustkeep.PasswordFunc(func() ([]byte, error) { return []byte("example"), nil })), Clock: clock,
		Rand: quickkdf.Rand(), // an example's passphrases need not cost an attacker anything
	})
	fatal(err)
	test, err := r.CreateEnvironment(ctx, "test")
	fatal(err)
	return r, test
}

// exampleServer makes a private component, valid for so many days, and a public one of
// its certificate.
func exampleServer(ctx context.Context, r *environment.Registry, id string, days int) {
	c, err := r.Create(ctx, id, issue.Options{
		Subject: pkix.Name{CommonName: id}, DNSNames: []string{"localhost"},
		NotBefore: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Validity: time.Duration(days) * 24 * time.Hour,
	}, environment.ComponentOptions{ID: id, Password: trustkeep.Password("secret")})
	fatal(err)
	_, data, err := c.ExportPublic(keystore.SuffixCER)
	fatal(err)
	_, err = r.Import(ctx, id+" certificate", data, environment.ComponentOptions{ID: id + "-cert"})
	fatal(err)
}

// A component is deployed to one atom, and the other does not trust it.
func ExampleEnvironment_DeployTo() {
	ctx := context.Background()
	registry, test := exampleRegistry(ctx)
	exampleServer(ctx, registry, "partner", 365)
	fatal(test.DeployTo(ctx, "partner-cert", "node-1"))
	for _, name := range []string{"node-1", "node-2"} {
		atom, err := test.Attach(ctx, name, environment.AtomOptions{})
		fatal(err)
		trusted, err := atom.Certificates()
		fatal(err)
		fmt.Println(name, "trusts", len(trusted))
		fatal(atom.Close())
	}
	fmt.Println(test.Deploy(ctx, "partner"))
	// Output:
	// node-1 trusts 1
	// node-2 trusts 0
	// environment: deploy: alias "partner": private X.509 component: not deployable; deploy a process that uses it, or its public part as a component of its own
}

// A process is made with the partner's test key; in production, another takes its place.
func ExampleEnvironment_Substitute() {
	ctx := context.Background()
	registry, production := exampleRegistry(ctx)
	for _, id := range []string{"acme-test", "acme-production"} {
		_, err := registry.Create(ctx, id, pgp.GenerateOptions{UserIDs: []string{id}},
			environment.ComponentOptions{ID: id, Password: trustkeep.Password("secret")})
		fatal(err)
	}
	fatal(registry.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"acme-test"}}))
	fatal(production.DeployProcess(ctx, "orders"))
	atom, err := production.Attach(ctx, "node-1", environment.AtomOptions{})
	fatal(err)
	defer atom.Close()
	process, err := atom.Process("orders")
	fatal(err)
	show := func() {
		key, err := process.PGP(ctx, "acme-test")
		fatal(err)
		fmt.Println(key.Info(pgp.Options{}).UserIDs[0].ID)
	}
	show()
	changed := atom.Changed()
	fatal(production.Substitute(ctx, environment.Substitution{Component: "acme-test", Replacement: "acme-production"}))
	<-changed
	show()
	// Output:
	// acme-test
	// acme-production
}

// A certificate is replaced. The connection that names it goes on with the new one; the
// process that was deployed with the old one is listed.
func ExampleEnvironment_Stale() {
	ctx := context.Background()
	registry, test := exampleRegistry(ctx)
	exampleServer(ctx, registry, "server", 365)
	fatal(registry.SetConnection(ctx, environment.Connection{ID: "in", Identity: "server"}))
	fatal(registry.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"in"}}))
	fatal(test.DeployProcess(ctx, "orders"))
	_, err := registry.Renew(ctx, "server", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{})
	fatal(err)
	show := func() {
		stale, err := test.Stale(ctx)
		fatal(err)
		for _, s := range stale {
			fmt.Printf("%s has version %d of %s, which is at version %d\n", s.Process, s.Frozen, s.Component, s.Current)
		}
		fmt.Println(len(stale), "to deploy again")
	}
	show()
	fatal(test.DeployProcess(ctx, "orders"))
	show()
	// Output:
	// orders has version 1 of server, which is at version 2
	// 1 to deploy again
	// 0 to deploy again
}

// Before a certificate is taken back, the atoms are asked who needs it.
func ExampleEnvironment_DryRun() {
	ctx := context.Background()
	registry, test := exampleRegistry(ctx)
	exampleServer(ctx, registry, "partner", 365)
	exampleServer(ctx, registry, "idle", 365)
	fatal(test.Deploy(ctx, "partner-cert"))
	fatal(test.Deploy(ctx, "idle-cert"))
	atom, err := test.Attach(ctx, "node-1", environment.AtomOptions{})
	fatal(err)
	defer atom.Close()
	fatal(exampleHandshake(atom, "partner"))
	fatal(atom.Report(ctx))
	for _, id := range []string{"idle-cert", "partner-cert"} {
		forecast, err := test.DryRun(ctx, environment.Proposal{Undeploy: []string{id}})
		fatal(err)
		fmt.Printf("without %s, %d of %d peers fail\n", id, len(forecast.Failing), forecast.Checked)
	}
	// Output:
	// without idle-cert, 0 of 1 peers fail
	// without partner-cert, 1 of 1 peers fail
}

// exampleHandshake dials a server that presents the identity of a component.
func exampleHandshake(atom *environment.Atom, component string) error {
	id, err := atom.Identity(component)
	fatal(err)
	server, err := tlsctx.Builder{Identity: id}.Server()
	fatal(err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	fatal(err)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.(*tls.Conn).Handshake()
		}
	}()
	b := atom.Implicit()
	b.ServerName = "localhost"
	d, err := b.Dialer()
	fatal(err)
	c, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}

// What has expired or will within 30 days, wherever it is used.
func ExampleRegistry_Expiring() {
	ctx := context.Background()
	registry, test := exampleRegistry(ctx)
	exampleServer(ctx, registry, "partner", 20)
	exampleServer(ctx, registry, "lasting", 365)
	fatal(test.Deploy(ctx, "partner-cert"))
	fatal(test.Deploy(ctx, "lasting-cert"))
	fatal(registry.SetConnection(ctx, environment.Connection{ID: "out", Identity: "partner"}))
	expiring, err := registry.Expiring(ctx, environment.ExpiryQuery{Environment: "test"})
	fatal(err)
	for _, e := range expiring {
		fmt.Println(e.NotAfter.Format(time.DateOnly), e.Component, "is", e.Location)
	}
	// Output:
	// 2026-03-21 partner-cert is deployed
	// 2026-03-21 partner is connection out
}
