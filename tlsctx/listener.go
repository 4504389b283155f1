package tlsctx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Listener accepts TLS connections with the configuration of Builder.Server. It completes
// handshakes before Accept returns the connection, many at a time, so that a slow client delays no
// other. It remembers the connections that are open, for Stale and Recheck. It is safe for
// concurrent use. Set its fields before the first call of Accept, and call Close in the end.
type Listener struct {
	net.Listener // the one below TLS

	// HandshakeTimeout bounds the handshake of one client, hooks of the Builder included. If
	// zero, 10 seconds.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many handshakes may be under way at once, counting connections that
	// wait for Accept. Further clients wait in the listener below, until one has ended: at that
	// number, the oldest handshakes end after a tenth of HandshakeTimeout, so that clients that say
	// nothing keep nobody out. If zero, 1,000.
	MaxHandshakes int
	// OnRefused, if set, is told of each handshake that failed: this side refused the client, the
	// client refused this side, or somebody gave up. The error is a *HandshakeError, unless the
	// reason is not about TLS. Several goroutines call it at once.
	OnRefused func(client net.Addr, err error)

	live    func() *live // see redact.Hidden; nil if the client's choice is in trackedConn
	config  *tls.Config
	tracker tracker

	pending pendingHandshakes
	once    sync.Once
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	ready   chan net.Conn
	fails   chan error // of the listener below
}

const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxHandshakes    = 1000
)

// Listen returns a Listener that accepts connections from inner. The errors are those of
// Server, except that Accepted may be set, and trustkeep.ErrInvalid for a nil inner.
func (b Builder) Listen(inner net.Listener) (*Listener, error) {
	if given.IsNil(inner) {
		return nil, &trustkeep.Error{Op: "tlsctx: listen", Err: trustkeep.ErrInvalid, Hint: "there is no listener below; was the error of net.Listen checked?"}
	}
	cfg, live, err := b.server()
	if err != nil {
		return nil, err
	}
	l := newListener(inner, cfg)
	l.live = redact.Hidden(live)
	return l, nil
}

// Listen returns a Listener that serves each client by the Builder for the name that it asks
// for, as Server does. Accepted of that Builder may be set.
func (p *Destinations) Listen(inner net.Listener) *Listener {
	return newListener(inner, p.serving(func(one *destinationEntry, hello *tls.ClientHelloInfo) error {
		if c, ok := hello.Conn.(*trackedConn); ok {
			return c.begin(one.serves())
		}
		return nil
	}))
}

func newListener(inner net.Listener, cfg *tls.Config) *Listener {
	l := &Listener{Listener: inner, config: cfg, ready: make(chan net.Conn), fails: make(chan error)}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// begin notes by what the handshake with a client begins.
func (c *trackedConn) begin(l *live, err error) error {
	if err == nil {
		c.client, err = l.visitor()
	}
	if err != nil {
		return &setupError{fmt.Errorf("tlsctx: server: %w", err)}
	}
	return nil
}

func (b Builder) serverTrust() (*truststore.Snapshot, error) { return given.Snapshot(b.source()) }

// Accept returns the next connection, a *tls.Conn whose handshake is complete. Clients that
// fail are told to OnRefused and are no error of Accept. Errors of the listener below are
// returned as they are; after Close, the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	l.once.Do(func() { go l.serve() })
	select {
	case conn := <-l.ready:
		return conn, nil
	case err := <-l.fails:
		return nil, err
	case <-l.ctx.Done():
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close closes the listener below and ends all handshakes that are under way. Connections that
// Accept has returned stay open.
func (l *Listener) Close() error {
	l.end()
	return l.Listener.Close()
}

// serve accepts from the listener below until it is closed.
func (l *Listener) serve() {
	defer l.end()
	limit := l.MaxHandshakes
	if limit <= 0 {
		limit = defaultMaxHandshakes
	}
	slots := make(chan struct{}, limit)
	for {
		if !l.slot(slots) {
			return
		}
		raw, err := l.Listener.Accept()
		if err == nil {
			go func() {
				defer func() { <-slots }()
				l.take(raw)
			}()
			continue
		}
		<-slots
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case l.fails <- err:
		case <-l.ctx.Done():
			return
		}
	}
}

// take makes the handshake with one client and hands the connection over.
func (l *Listener) take(raw net.Conn) {
	tracked := l.tracker.wrap(raw)
	conn := tls.Server(tracked, l.config)
	if err := l.handshake(conn, tracked); err != nil {
		tracked.Close()
		if l.OnRefused != nil && l.ctx.Err() == nil {
			l.OnRefused(raw.RemoteAddr(), l.explain(conn, tracked, err))
		}
		return
	}
	select {
	case l.ready <- conn:
	case <-l.ctx.Done():
		tracked.Close()
	}
}

// handshake completes one. Hooks of the Builder run here, and a panic in one of them must not
// end the program, as it does not in a handler of package net/http.
func (l *Listener) handshake(conn *tls.Conn, tracked *trackedConn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &setupError{fmt.Errorf("tlsctx: a hook of the Builder has panicked: %v", p)}
		}
	}()
	ctx, cancel := context.WithTimeout(l.ctx, l.handshakeTimeout())
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer l.pending.remove(l.pending.add(end))
	if l.live != nil {
		if err := tracked.begin(l.live(), nil); err != nil {
			return err
		}
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		if context.Cause(ctx) == errCrowded {
			err = errCrowded
		}
		return err
	}
	if tracked.client == nil {
		return nil
	}
	s := conn.ConnectionState()
	if err := tracked.accepted(ctx, tracked.client.is(s)); err != nil {
		return err
	}
	tracked.client.live().b.tellAccepted(truststore.Client, "", s)
	return nil
}

// explain makes a *HandshakeError, with the identity of the name that the client asked for.
// It asks hooks again, which may panic again.
func (l *Listener) explain(conn *tls.Conn, tracked *trackedConn, err error) (explained error) {
	defer func() {
		if recover() != nil {
			explained = err
		}
	}()
	var b Builder // the zero one if none serves the name
	if l.live != nil {
		b = l.live().lastBuilder()
	} else if tracked.client != nil {
		b = tracked.client.live().lastBuilder()
	}
	if name := conn.ConnectionState().ServerName; name != "" {
		if named := b.For(name); named.at.err == nil {
			b = named
		}
	}
	err = b.ExplainServerError(err)
	if e, ok := err.(*HandshakeError); ok {
		e.RemoteAddr = remoteOf(tracked)
	}
	return err
}

// Recheck closes the open connections whose clients would no longer be accepted, and
// returns how many. Connections of clients without a certificate stay open, unless a definition
// that is followed demands one now. Handshakes in progress are checked when they end. A Listener
// that follows a definition ends connections by itself; they are counted with the next call.
func (l *Listener) Recheck() int { return l.tracker.recheck() }

// Stale returns the connections that Recheck would close, and closes none.
func (l *Listener) Stale() []StaleConn { return l.tracker.stale() }
