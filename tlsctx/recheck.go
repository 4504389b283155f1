package tlsctx

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
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
	tracker *tracker
	since   uint64       // the rechecks before it
	still   func() error // whether the peer would still be accepted; nil until it is. Under tracker.mu.
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

// Close also ends the tracking.
func (c *trackedConn) Close() error {
	c.tracker.mu.Lock()
	delete(c.tracker.open, c)
	c.tracker.mu.Unlock()
	return c.Conn.Close()
}

// accepted notes that the peer has been accepted and how to ask again. A recheck that
// came during the handshake has passed the connection over, so its question is asked
// now.
func (c *trackedConn) accepted(still func() error) error {
	c.tracker.mu.Lock()
	c.still = still
	missed := c.tracker.rechecks != c.since
	c.tracker.mu.Unlock()
	if missed {
		return still()
	}
	return nil
}

// recheck closes what would no longer be accepted, and returns how many.
func (t *tracker) recheck() (closed int) {
	t.mu.Lock()
	t.rechecks++
	stills := make(map[*trackedConn]func() error, len(t.open))
	for c := range t.open {
		if c.still != nil {
			stills[c] = c.still
		}
	}
	t.mu.Unlock()
	for c, still := range stills {
		if still() != nil {
			c.Close()
			closed++
		}
	}
	return closed
}

// wouldStill asks about a peer by the trust of now. Authorize is not asked again: it
// decides about handshakes.
func (b Builder) wouldStill(source func() (*truststore.Snapshot, error), purpose truststore.Purpose, name string, chain []*x509.Certificate, staple []byte) func() error {
	return func() error {
		trust, err := source()
		if err != nil {
			return err
		}
		_, err = trust.Verify(chain, truststore.VerifyOptions{
			Purpose: purpose, Name: name, Time: b.now(), Allow: b.Allow, Pins: b.Pins, Revocation: b.Revocation, Staple: staple,
		})
		return err
	}
}

// Recheck closes the open connections of a Dialer with Track set whose servers would no
// longer be accepted, and returns how many. Call it when trust has shrunk, from
// truststore.WatchOptions.OnChange for instance. A handshake that is under way is put to
// the same question at its end, and fails if the server would no longer be accepted.
func (d *Dialer) Recheck() int { return d.tracker.recheck() }

// Listener accepts TLS connections as Builder.Server has it, and knows those that are
// open. It is safe for concurrent use.
type Listener struct {
	net.Listener // the one below TLS
	config       *tls.Config
	tracker      tracker
}

// Listen returns a Listener on top of inner. The errors are those of Server.
func (b Builder) Listen(inner net.Listener) (*Listener, error) {
	b = b.detached()
	cfg, err := b.Server()
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: inner}
	l.config = cfg.Clone()
	choose := cfg.GetConfigForClient
	l.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := choose(hello)
		c, ok := hello.Conn.(*trackedConn)
		if err != nil || !ok || b.ClientAuth == NoClientAuth {
			return chosen, err
		}
		decide := chosen.VerifyConnection
		chosen = chosen.Clone()
		chosen.VerifyConnection = func(s tls.ConnectionState) error {
			if decide != nil {
				if err := decide(s); err != nil {
					return err
				}
			}
			if len(s.PeerCertificates) > 0 {
				return c.accepted(b.wouldStill(b.serverTrust, truststore.Client, "", s.PeerCertificates, nil))
			}
			return nil
		}
		return chosen, nil
	}
	return l, nil
}

func (b Builder) serverTrust() (*truststore.Snapshot, error) { return rawSnapshot(b.source()) }

// Accept returns a *tls.Conn, whose handshake is made when it is first used.
func (l *Listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: %w", err)
	}
	return tls.Server(l.tracker.wrap(raw), l.config), nil
}

// Recheck closes the open connections whose clients would no longer be accepted, and
// returns how many. Those of clients without a certificate stay. Handshakes that are
// under way are put to the same question.
func (l *Listener) Recheck() int { return l.tracker.recheck() }
