package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// offline starts a program while the storage is down. It has what it had before, and for as
// long as it may.
func (s *story) offline(ctx context.Context) error {
	open, down, up, err := s.outage()
	if err != nil {
		return err
	}
	start := func() (*program, error) {
		o := environment.Options{Sealer: environment.FileSealer(filepath.Join(s.dir, "registry.key")), Clock: s.clock.Now}
		atom, err := environment.Start(ctx, open, o, "test", "boots", environment.AtomOptions{
			LocalCopy: environment.LocalCopy{Path: filepath.Join(s.dir, "boots.copy")}, MaxAge: 2 * day,
		})
		if err != nil {
			return nil, err
		}
		return &program{atom: atom, clock: s.clock, dialers: make(map[[2]string]*tlsctx.Dialer)}, nil
	}
	first, err := start()
	if err != nil {
		return err
	}
	if err := s.try(ctx, step{name: "a program starts; HTTPS to A", by: []client{first}, q: https(s.a), want: ok}); err != nil {
		return errors.Join(err, first.close())
	}
	if err := first.close(); err != nil {
		return err
	}
	down()
	s.clock.set(s.clock.Now().Add(day))
	again, err := start()
	if err != nil {
		return err
	}
	s.atEnd(again.close)
	by := []client{again}
	if err := s.try(ctx, step{name: "a day later the storage is down; it starts, HTTPS to A", by: by, q: https(s.a), want: ok}); err != nil {
		return err
	}
	s.add("how old its state is", "24h0m0s", again.atom.Age().Round(time.Hour).String())
	identity, err := again.atom.Identity("server-a")
	if err == nil {
		_, err = identity.TLSCertificate()
	}
	s.add("its private key of A", ok, outcome(err).Outcome)
	s.clock.set(s.clock.Now().Add(day + time.Hour))
	return errors.Join(s.try(ctx,
		step{name: "its state is older than it may be; HTTPS to A", by: by, q: https(s.a), want: tooOld, explain: true},
		step{name: "the storage is up; HTTPS to A", by: by, change: func() error { up(); return nil }, q: https(s.a), want: ok},
		step{name: "deploy b; HTTPS to B", by: by, change: func() error { return s.test.Deploy(ctx, "b") }, q: https(s.b), want: ok},
	), s.test.Undeploy(ctx, "b"))
}

// outage returns what opens the storage of the story, and what takes that down and up.
func (s *story) outage() (open func(context.Context) (environment.Storage, error), down, up func(), err error) {
	if n := s.network; n != nil {
		p, err := newProxy(n.address)
		if err != nil {
			return nil, nil, nil, err
		}
		s.atEnd(p.stop)
		me, err := n.issue("boots", issue.Options{})
		return func(ctx context.Context) (environment.Storage, error) {
			return connectNATS(ctx, p.address(), tlsctx.Builder{Trusted: n.trust, Identity: me})
		}, func() { p.cutOff() }, p.mend, err
	}
	var isDown atomic.Bool
	return func(context.Context) (environment.Storage, error) {
		if isDown.Load() {
			return nil, errors.New("the disk is not mounted")
		}
		return dirstore.Open(filepath.Join(s.dir, "registry"), dirstore.Options{})
	}, func() { isDown.Store(true) }, func() { isDown.Store(false) }, nil
}
