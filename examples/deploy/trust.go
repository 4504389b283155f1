package main

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// deploy makes A's certificate trusted by whoever has no trust of its own, in one
// environment and not in the other.
func (s *story) deploy(ctx context.Context) error {
	err := s.test.Deploy(ctx, "server-a")
	s.add("deploy A's private component on its own", "not deployable", described(err, trustkeep.ErrNotDeployable, "not deployable"))
	imported, err := s.importPublic(ctx, "server-a", "Partner A", "a")
	if err != nil {
		return err
	}
	s.add("import A's certificate as component a", "public X.509 version 1", content(imported))
	return s.try(ctx,
		step{name: "HTTPS to A, a is not deployed", q: https(s.a), want: nobodyTrusted},
		step{name: "deploy a; HTTPS to A, no trust of its own", change: func() error { return s.test.Deploy(ctx, "a") }, q: https(s.a), want: ok},
		step{name: "FTP with AUTH TLS to A, no trust of its own", q: ftps(s.a), want: ok},
		step{name: "HTTPS to A in production, where a is not deployed", by: []client{s.live}, q: https(s.a), want: nobodyTrusted},
	)
}

// ownTrust sets connections to certificates, which replace what is deployed, and deploys a
// process with its copies of them.
func (s *story) ownTrust(ctx context.Context) error {
	if _, err := s.importPublic(ctx, "server-b", "Partner B", "b"); err != nil {
		return err
	}
	set := func(connection, component string) func() error {
		return func() error {
			return s.registry.SetConnection(ctx, environment.Connection{ID: connection, Trusted: []string{component}})
		}
	}
	deploy := func() error {
		if err := s.registry.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"to-a"}}); err != nil {
			return err
		}
		return s.test.DeployProcess(ctx, "orders")
	}
	return s.try(ctx,
		step{name: "set connection to-b to b; to A over it, a is deployed", change: set("to-b", "b"),
			q: https(s.a).over("to-b"), want: refusedFor("self-signed"), explain: true},
		step{name: "to B over the same", q: https(s.b).over("to-b"), want: ok},
		step{name: "set connection to-a to a; to A over it", change: set("to-a", "a"), q: https(s.a).over("to-a"), want: ok},
		step{name: "deploy process orders; FTP to A from it", change: deploy, q: ftps(s.a).over("to-a").in("orders"), want: ok},
	)
}

// importPublic imports the certificate of a private component, as its owner sends it to
// partners.
func (s *story) importPublic(ctx context.Context, of, name, id string) (trustkeep.Component, error) {
	file, err := s.publicOf(ctx, of)
	if err != nil {
		return nil, err
	}
	return s.registry.Import(ctx, name, file, environment.ComponentOptions{ID: id})
}

func (s *story) publicOf(ctx context.Context, id string) ([]byte, error) {
	c, err := s.registry.Component(ctx, id)
	if err != nil {
		return nil, err
	}
	_, file, err := c.ExportPublic("")
	return file, err
}

func content(c trustkeep.Component) string {
	return fmt.Sprintf("%s %s version %d", c.Visibility(), c.Kind(), c.Version())
}
