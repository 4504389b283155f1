package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// The names in the servers' certificates.
const (
	hostA = "a.example"
	hostB = "b.example"
)

// options says how the story is told.
type options struct {
	scanner trustkeep.Scanner
	nats    bool
	events  io.Writer // gets every change
}

// story is a registry, the servers and the programs that connect to them.
type story struct {
	*table
	dir   string
	clock *clock

	registry         *environment.Registry
	test, production *environment.Environment
	fleet            []client          // atoms of the test environment
	live             client            // the atom of production
	machine          *environment.Atom // runs the servers
	a, b             *server
	partner          partner

	network *network // nil without NATS
	ended   []func() error
}

// atEnd has something done when the story is over, the last first.
func (s *story) atEnd(do func() error) { s.ended = append(s.ended, do) }

func (s *story) end() error {
	var errs []error
	for i := len(s.ended) - 1; i >= 0; i-- {
		errs = append(errs, s.ended[i]())
	}
	return errors.Join(errs...)
}

// tell makes everything, goes through the story and leaves nothing behind. The table is as
// far as it came.
func tell(ctx context.Context, o options) (_ *table, err error) {
	s := &story{table: new(table), clock: newClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	defer func() { err = errors.Join(err, s.end()) }()
	ctx = environment.WithActor(ctx, "operator")
	for _, part := range []struct {
		title string // of a chapter; empty for preparations
		do    func(context.Context) error
	}{
		{"", func(ctx context.Context) error { return s.open(ctx, o) }},
		{"", s.startServers},
		{"A is deployed to test", s.deploy},
		{"a connection with trust of its own", s.ownTrust},
		{"what is refused, and what would happen", s.refusals},
		{"a tightened connection reaches a running program", s.tightened},
		{"a partner with one key for tests and one for production", s.substitution},
		{"A expires", s.expiry},
		{"A is replaced in place", s.replacement},
		{"production takes over what test has tried", s.promotion},
		{"B's certificate is requested, and the reply comes days later", s.request},
		{"a registry whose storage is not trusted", s.signed},
		{"each environment has secrets of its own", s.sealed},
		{"a program starts while the storage is down", s.offline},
	} {
		if part.title != "" {
			s.chapter(part.title)
		}
		if err := part.do(ctx); err != nil {
			return s.table, err
		}
	}
	if s.network != nil {
		s.chapter("NATS, and one atom that is cut off from it")
		err = s.cutOff(ctx)
	}
	return s.table, err
}

// open opens the registry, with its key in a file beside it, and attaches the atoms.
func (s *story) open(ctx context.Context, o options) (err error) {
	if s.dir, err = os.MkdirTemp("", "trustkeep-deploy-"); err != nil {
		return err
	}
	s.atEnd(func() error { return os.RemoveAll(s.dir) })
	keyFile := filepath.Join(s.dir, "registry.key")
	if err := environment.NewKeyFile(keyFile); err != nil {
		return err
	}
	storage, err := s.storage(ctx, o)
	if err != nil {
		return err
	}
	s.registry, err = environment.Open(ctx, storage, environment.Options{
		Sealer: environment.FileSealer(keyFile), Scanner: o.scanner, Clock: s.clock.Now,
		OnEvent: func(e environment.Event) {
			fmt.Fprintf(o.events, "%s  %s: %s\n", e.Actor, e.Action, strings.Join(filled(e.Environment, e.Object, e.Before, e.After), ", "))
		},
	})
	if err != nil {
		return err
	}
	if s.test, err = s.registry.CreateEnvironment(ctx, "test"); err != nil {
		return err
	}
	if s.production, err = s.registry.CreateEnvironment(ctx, "production"); err != nil {
		return err
	}
	live, err := attach(ctx, s.production, "live", s.clock)
	if err != nil {
		return err
	}
	s.live = live
	s.atEnd(live.close)
	return s.attachFleet(ctx)
}

func (s *story) storage(ctx context.Context, o options) (environment.Storage, error) {
	if o.nats {
		return s.storageInNATS(ctx)
	}
	storage, err := dirstore.Open(filepath.Join(s.dir, "registry"), dirstore.Options{})
	if err != nil {
		return nil, err
	}
	s.atEnd(storage.Close)
	return storage, nil
}

// attachFleet starts the atoms of the test environment.
func (s *story) attachFleet(ctx context.Context) error {
	if s.network != nil {
		return s.startProcesses(ctx)
	}
	one, err := attach(ctx, s.test, "one", s.clock)
	if err != nil {
		return err
	}
	s.atEnd(one.close)
	s.fleet = []client{one}
	return nil
}

// startServers generates the identities of A and B and runs a server with each, by an atom
// that follows them.
func (s *story) startServers(ctx context.Context) (err error) {
	if s.machine, err = s.test.Attach(ctx, "servers", environment.AtomOptions{}); err != nil {
		return err
	}
	s.atEnd(s.machine.Close)
	for _, one := range []struct {
		to       **server
		id, host string
		validity time.Duration
	}{{&s.a, "server-a", hostA, 365 * day}, {&s.b, "server-b", hostB, 3650 * day}} {
		_, err := s.registry.Create(ctx, one.id, issue.Options{
			Subject: pkix.Name{CommonName: one.host}, DNSNames: []string{one.host},
			NotBefore: s.clock.Now(), Validity: one.validity,
		}, environment.ComponentOptions{ID: one.id, Password: trustkeep.Password("of " + one.id)})
		if err != nil {
			return err
		}
		if err := s.awaitServer(ctx, one.id, 1); err != nil {
			return err
		}
		identity, err := s.machine.Identity(one.id)
		if err != nil {
			return err
		}
		if *one.to, err = serve(one.host, tlsctx.Builder{Identity: identity, Clock: s.clock.Now}); err != nil {
			return err
		}
		s.atEnd((*one.to).stop)
	}
	return nil
}

// awaitServer waits until the servers have a version of a component.
func (s *story) awaitServer(ctx context.Context, id string, version int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.machine.Wait(ctx, func(a *environment.Atom) bool {
		c, err := a.Component(id)
		return err == nil && c.Version() == version
	})
}

func filled(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}
