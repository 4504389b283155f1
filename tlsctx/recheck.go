package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// tracker knows the open connections, to close those that would no longer be accepted.
type tracker struct {
	mu       sync.Mutex
	open     map[*trackedConn]struct{}
	rechecks uint64 // how many there have been
	ended    int    // connections, since the last recheck; a changed definition ends some too

	ending sync.RWMutex // held for reading while one is ended
}

// trackedConn is the connection below TLS.
type trackedConn struct {
	net.Conn
	tracker *tracker  // nil if nobody asks
	since   uint64    // the rechecks before it
	peer    *openPeer // nil until it is accepted; under tracker.mu
	stop    func()    // ends the following of a definition; nil for none; under tracker.mu
	client  *openPeer // of a Listener, before its certificate is known; nil for none
	to      *target   // of a Dialer; nil otherwise
}

// openPeer is the peer of an open connection, and the question whether it would still be
// accepted.
type openPeer struct {
	name  string
	chain []*x509.Certificate
	live  func() *live // see redact.Hidden
	// ask returns what decides now. The trust is nil where nobody has to be trusted.
	ask func() (*state, *truststore.Snapshot, error)
	// still decides by that; before is what has accepted it.
	still func(ctx context.Context, before, s *state, trust *truststore.Snapshot) error

	mu sync.Mutex
	by func() (*state, *truststore.Snapshot) // what has accepted it; see redact.Hidden
}

func decidedBy(s *state, trust *truststore.Snapshot) func() (*state, *truststore.Snapshot) {
	return func() (*state, *truststore.Snapshot) { return s, trust }
}

// StaleConn describes an open connection whose peer would no longer be accepted.
type StaleConn struct {
	RemoteAddr net.Addr
	// ServerName is the name that the peer was accepted under; empty for clients.
	ServerName string
	// Chain is what the peer sent, its own certificate first.
	Chain []*x509.Certificate
	// Err is the reason: a *truststore.VerifyError, unless the trust cannot be loaded, or its
	// definition demands a certificate of the client or other parameters now.
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
	c.forget(0)
	return c.Conn.Close()
}

// forget ends the tracking, and counts that unless it was done.
func (c *trackedConn) forget(count int) {
	c.tracker.mu.Lock()
	if _, open := c.tracker.open[c]; open {
		c.tracker.ended += count
	}
	delete(c.tracker.open, c)
	stop := c.stop
	c.stop = nil
	c.tracker.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// end closes a connection whose peer would no longer be accepted. It is counted first: whoever reads
// from it closes it as well. Whoever finds it counted finds it closed, by waiting for ending.
func (c *trackedConn) end() {
	c.tracker.ending.RLock()
	defer c.tracker.ending.RUnlock()
	c.forget(1)
	c.Conn.Close()
}

// accepted notes that the peer has been accepted and how to ask again. A recheck that
// came during the handshake has passed the connection over, so its question is asked
// now, and so is it if the definition has changed.
func (c *trackedConn) accepted(ctx context.Context, peer *openPeer) error {
	c.tracker.mu.Lock()
	c.peer = peer
	missed := c.tracker.rechecks != c.since
	c.tracker.mu.Unlock()
	if !peer.live().follows() {
		if missed {
			return peer.accepted(ctx, true)
		}
		return nil
	}
	stop := peer.live().notify(c.changed)
	c.tracker.mu.Lock()
	_, open := c.tracker.open[c]
	if open {
		c.stop = stop
	}
	c.tracker.mu.Unlock()
	if !open {
		stop()
	}
	return peer.accepted(ctx, missed)
}

// changed is called when the definition of a connection has changed.
func (c *trackedConn) changed(ctx context.Context) {
	if c.peer.accepted(ctx, false) != nil {
		c.end()
	}
}

// accepted asks whether the peer would still be accepted, if anything has changed since it last was.
// Hooks that panic refuse it: in goroutines of ours nobody else would stop the panic.
func (p *openPeer) accepted(ctx context.Context, anyway bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &setupError{fmt.Errorf("tlsctx: a hook of the Builder has panicked: %v", v)}
		}
	}()
	s, trust, err := p.ask()
	if err != nil {
		return &setupError{fmt.Errorf("tlsctx: recheck: %w", err)}
	}
	p.mu.Lock()
	before, trusted := p.by()
	p.mu.Unlock()
	if before == s && trusted == trust && !anyway {
		return nil
	}
	if err := p.still(ctx, before, s, trust); err != nil {
		return inBuilder(err)
	}
	p.mu.Lock()
	p.by = decidedBy(s, trust)
	p.mu.Unlock()
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
		if peer.accepted(context.Background(), true) != nil {
			c.end()
		}
	}
	t.ending.Lock()
	defer t.ending.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	closed, t.ended = t.ended, 0
	return closed
}

// stale returns what recheck would close, by the address of the peer.
func (t *tracker) stale() []StaleConn {
	var out []StaleConn
	for c, peer := range t.peers(false) {
		if err := peer.accepted(context.Background(), true); err != nil {
			out = append(out, StaleConn{c.RemoteAddr(), peer.name, peer.chain, err})
		}
	}
	slices.SortFunc(out, func(a, b StaleConn) int { return strings.Compare(fmt.Sprint(a.RemoteAddr), fmt.Sprint(b.RemoteAddr)) })
	return out
}

// server is the question about the server at the address of a Dialer, accepted by that state
// and trust. Authorize is not asked again: it decides about handshakes.
func (l *live) server(address string, open tls.ConnectionState, s *state, trust *truststore.Snapshot) *openPeer {
	name := ""
	if to, err := s.b.target(address); err == nil {
		name = to.name
	}
	return &openPeer{
		name: name, chain: open.PeerCertificates, live: redact.Hidden(l), by: decidedBy(s, trust),
		ask: func() (*state, *truststore.Snapshot, error) { return l.trusting(Builder.clientTrust) },
		still: func(ctx context.Context, before, s *state, trust *truststore.Snapshot) error {
			to, err := s.b.target(address)
			if err != nil {
				return err
			}
			o := s.b.VerifyOptions(truststore.Server, to.name)
			o.Staple, o.Context = open.OCSPResponse, ctx
			return stillAccepted(before, s, trust, open, o)
		},
	}
}

// visitor is the question about a client whose handshake begins.
func (l *live) visitor() (*openPeer, error) {
	p := &openPeer{live: redact.Hidden(l)}
	p.ask = func() (*state, *truststore.Snapshot, error) {
		return l.trusting(func(b Builder) (*truststore.Snapshot, error) {
			if b.ClientAuth == NoClientAuth && len(p.chain) == 0 {
				return nil, nil
			}
			return b.serverTrust()
		})
	}
	s, trust, err := p.ask()
	p.by = decidedBy(s, trust)
	return p, err
}

// is completes the question, when the handshake is.
func (p *openPeer) is(open tls.ConnectionState) *openPeer {
	p.chain = open.PeerCertificates
	p.still = func(ctx context.Context, before, s *state, trust *truststore.Snapshot) error {
		o := s.b.VerifyOptions(truststore.Client, "")
		o.Context = ctx
		return stillAccepted(before, s, trust, open, o)
	}
	return p
}

// decides has the peer judged once more at the end of a handshake by that configuration, which began with
// the settings of before.
func (p *openPeer) decides(ctx context.Context, cfg *tls.Config) {
	decide := cfg.VerifyConnection
	cfg.VerifyConnection = func(open tls.ConnectionState) error {
		if decide != nil {
			if err := decide(open); err != nil {
				return err
			}
		}
		return p.is(open).accepted(ctx, false)
	}
}

// stillAccepted decides about the peer of an open connection.
func stillAccepted(before, s *state, trust *truststore.Snapshot, open tls.ConnectionState, o truststore.VerifyOptions) error {
	low, err := s.b.minVersion()
	outdated := func(what string) error {
		return fmt.Errorf("tlsctx: %s is no longer permitted: %w", what, trustkeep.ErrOutdated)
	}
	switch {
	case err != nil:
		return err
	case open.Version < low, s.b.MaxVersion != 0 && open.Version > s.b.MaxVersion:
		return outdated(tls.VersionName(open.Version))
	case open.Version < tls.VersionTLS13 && !s.b.permits(open.CipherSuite, &before.b):
		return outdated(tls.CipherSuiteName(open.CipherSuite))
	case open.CurveID != 0 && len(s.b.CurvePreferences) > 0 && !slices.Contains(s.b.CurvePreferences, open.CurveID):
		return outdated(open.CurveID.String())
	case len(open.PeerCertificates) > 0:
		_, err = trust.Verify(open.PeerCertificates, o)
	case s.b.ClientAuth == RequireClientAuth:
		err = fmt.Errorf("tlsctx: clients need a certificate now: %w", trustkeep.ErrOutdated)
	}
	return err
}

// Recheck closes the open connections of a Dialer with Track set whose servers would no
// longer be accepted, and returns how many. Call it when trust has shrunk, for instance from
// trustkeep.WatchOptions.OnChange. Handshakes in progress are checked when they end. A Dialer that
// follows a definition ends connections by itself; they are counted with the next call.
func (d *Dialer) Recheck() int { return d.tracker.recheck() }

// Stale returns the connections that Recheck would close, and closes none.
func (d *Dialer) Stale() []StaleConn { return d.tracker.stale() }
