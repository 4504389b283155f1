package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/trustkeep/trustkeep/environment"
)

// closed is what became of a connection that the program itself has ended.
const closed = "closed"

// tightened narrows the trust of a connection that programs have open.
func (s *story) tightened(ctx context.Context) error {
	const c = "to-any"
	define := func() error { return s.registry.SetConnection(ctx, environment.Connection{ID: c}) }
	var revision environment.Revision
	override := func(o environment.Override) func() error {
		return func() error {
			o.Revision = revision
			return s.test.Override(ctx, c, o)
		}
	}
	keep := https(s.a).over(c)
	keep.Kind = askOpen
	err := s.try(ctx,
		step{name: "set connection to-any, no settings; HTTPS to A over it", change: define, q: https(s.a).over(c), want: ok},
		step{name: "a connection to A over it stays open", q: keep, want: ok},
		step{name: "override to-any to trust b alone; what is open", change: override(environment.Override{Trusted: &[]string{"b"}}),
			q: question{Kind: askOpened, Connection: c}, want: closed},
		step{name: "HTTPS to A by the Dialer of before", q: https(s.a).over(c), want: refusedFor("self-signed")},
		step{name: "HTTPS to B by the same", q: https(s.b).over(c), want: ok},
	)
	if err != nil {
		return err
	}
	overrides, err := s.test.Overrides(ctx)
	if err != nil {
		return err
	}
	revision = overrides[c].Revision
	err = s.try(ctx, step{name: "the override is taken back; HTTPS to A by the same", change: override(environment.Override{}), q: https(s.a).over(c), want: ok})
	if err != nil {
		return err
	}
	return s.registry.DeleteConnection(ctx, c)
}

// keepOpen makes a connection for askOpened.
func (p *program) keepOpen(ctx context.Context, q question) answer {
	d, err := p.dialer(q)
	if err != nil {
		return outcome(err)
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", q.Address)
	if err != nil {
		return outcome(err)
	}
	conn, err := d.Handshake(ctx, raw, net.JoinHostPort(q.Host, "443"))
	if err == nil {
		if before := p.open; before != nil {
			before.Close()
		}
		p.open = conn
	}
	return outcome(err)
}

// opened waits for the end of the connection that was kept open.
func (p *program) opened(ctx context.Context) answer {
	if p.open == nil {
		return answer{Outcome: notFound}
	}
	deadline, _ := ctx.Deadline()
	p.open.SetReadDeadline(deadline)
	_, err := p.open.Read(make([]byte, 1))
	if errors.Is(err, net.ErrClosed) {
		p.open = nil
		return answer{Outcome: closed}
	}
	p.open.SetReadDeadline(time.Time{})
	return outcome(err)
}
