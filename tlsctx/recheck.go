package tlsctx

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/trustkeep/trustkeep/truststore"
)

// tracker knows the open connections, to close those that would no longer be accepted.
type tracker struct {
	mu       sync.Mutex
	open     map[*trackedConn]struct{}
	rechecks uint64 // how many there have been
}

// trackedConn is the connection below TLS.
type trackedConn struct {
	net.Conn
	tracker *tracker       // nil if nobody asks
	since   uint64         // the rechecks before it
	peer    *openPeer      // nil until it is accepted; under tracker.mu
	b       func() Builder // that Destinations have chosen for a client; nil for none
	to      *target        // of a Dialer; nil otherwise
}

// openPeer is the peer of an open connection, and the question whether it would still be
// accepted.
type openPeer struct {
	name  string
	chain []*x509.Certificate
	still func(context.Context) error
}

// StaleConn describes an open connection whose peer would no longer be accepted.
type StaleConn struct {
	RemoteAddr net.Addr
	// ServerName is the name that the peer was accepted under; empty for clients.
	ServerName string
	// Chain is what the peer sent, its own certificate first.
	Chain []*x509.Certificate
	// Err is the reason: a *truststore.VerifyError, unless the trust cannot be loaded.
	Err error
}

// wrap tracks a connection from before its handshake.
func (t *tracker) wrap(raw net.Conn) *trackedConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &trackedConn{Conn: raw, tracker: t, since: t.rechecks}
	if t.open == nil {
		t.open = make(map[*trackedConn]struct{})
	}
	t.open[c] = struct{}{}
	return c
}

// Read also notes that the peer has said something.
func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.to != nil {
		c.to.hears(n, err)
	}
	return n, err
}

// Write gives the reader time to learn why it has failed.
func (c *trackedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.to != nil && !errors.Is(err, net.ErrClosed) {
		c.to.awaitWord()
	}
	return n, err
}

// Close also ends the tracking.
func (c *trackedConn) Close() error {
	if c.tracker == nil {
		return c.Conn.Close()
	}
	c.tracker.mu.Lock()
	delete(c.tracker.open, c)
	c.tracker.mu.Unlock()
	return c.Conn.Close()
}

// accepted notes that the peer has been accepted and how to ask again. A recheck that
// came during the handshake has passed the connection over, so its question is asked
// now.
func (c *trackedConn) accepted(ctx context.Context, peer *openPeer) error {
	c.tracker.mu.Lock()
	c.peer = peer
	missed := c.tracker.rechecks != c.since
	c.tracker.mu.Unlock()
	if missed {
		return peer.still(ctx)
	}
	return nil
}

// peers returns the open connections whose peers have been accepted.
func (t *tracker) peers(recheck bool) map[*trackedConn]*openPeer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if recheck {
		t.rechecks++
	}
	out := make(map[*trackedConn]*openPeer, len(t.open))
	for c := range t.open {
		if c.peer != nil {
			out[c] = c.peer
		}
	}
	return out
}

// recheck closes what would no longer be accepted, and returns how many.
func (t *tracker) recheck() (closed int) {
	for c, peer := range t.peers(true) {
		if peer.still(context.Background()) != nil {
			c.Close()
			closed++
		}
	}
	return closed
}

// stale returns what recheck would close, by the address of the peer.
func (t *tracker) stale() []StaleConn {
	var out []StaleConn
	for c, peer := range t.peers(false) {
		if err := peer.still(context.Background()); err != nil {
			out = append(out, StaleConn{c.RemoteAddr(), peer.name, peer.chain, err})
		}
	}
	slices.SortFunc(out, func(a, b StaleConn) int { return strings.Compare(fmt.Sprint(a.RemoteAddr), fmt.Sprint(b.RemoteAddr)) })
	return out
}

// openPeer makes the question about a peer by the trust of now. Authorize is not asked
// again: it decides about handshakes.
func (b Builder) openPeer(source func() (*truststore.Snapshot, error), purpose truststore.Purpose, name string, chain []*x509.Certificate, staple []byte) *openPeer {
	return &openPeer{name, chain, func(ctx context.Context) error {
		trust, err := source()
		if err != nil {
			return &setupError{fmt.Errorf("tlsctx: recheck: %w", err)}
		}
		o := b.VerifyOptions(purpose, name)
		o.Staple, o.Context = staple, ctx
		_, err = trust.Verify(chain, o)
		return inBuilder(err)
	}}
}

// Recheck closes the open connections of a Dialer with Track set whose servers would no
// longer be accepted, and returns how many. Call it when trust has shrunk, for instance from
// trustkeep.WatchOptions.OnChange. Handshakes in progress are checked when they end.
func (d *Dialer) Recheck() int { return d.tracker.recheck() }

// Stale returns the connections that Recheck would close, and closes none.
func (d *Dialer) Stale() []StaleConn { return d.tracker.stale() }
