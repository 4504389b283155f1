package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Dialer opens TLS connections. Each uses the current trust and identity, and
// sessions from before a change are not resumed. It is safe for concurrent use.
type Dialer struct {
	// Dial opens the connections below TLS. If nil, it is that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Track makes the Dialer remember its open connections, for Stale and Recheck. Set
	// it before the first is opened.
	Track bool

	live    func() *live // see redact.Hidden
	tracker tracker

	mu          sync.Mutex
	generations map[string]*clientGeneration // by identity, see generation
}

// clientGeneration is the configuration for one identity, and what it was made
// of.
type clientGeneration struct {
	state   uint64 // of the Builder, see state.client
	trust   *truststore.Snapshot
	certs   []*tls.Certificate // nil where nothing is presented
	config  *tls.Config
	decider *decider
}

// maxIdentities bounds how many configurations are kept for identities of routes.
const maxIdentities = 256

// Dialer returns a Dialer. The errors are those of Client.
func (b Builder) Dialer() (*Dialer, error) {
	d, err := b.dialer(nil)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: dialer: %w", err)
	}
	return d, nil
}

func (b Builder) dialer(shape func(*Builder)) (*Dialer, error) {
	l, err := b.live(true, shape)
	if err != nil {
		return nil, err
	}
	d := &Dialer{live: redact.Hidden(l)}
	s, trust, err := l.trusting(Builder.clientTrust)
	if err != nil {
		return nil, err
	}
	if _, err := d.generation(s, trust, s.b.Identity); err != nil {
		return nil, err
	}
	return d, nil
}

// DialContext connects to the address, host:port, and completes the handshake. The
// server must be trusted under Builder.ServerName, else under the host of the
// address. The context bounds both. A failed handshake is a *HandshakeError.
//
// A host beyond ASCII is dialled and verified in its form of IDNA (RFC 5891), as net/http
// does; one without such a form is trustkeep.ErrInvalid, and nothing is dialled.
//
// If a resumed session is refused, because the server's certificate of that session is no
// longer accepted, the server is dialled once more for a full handshake.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dialBy(ctx, dialing{}, network, address)
}

// dialing is how a connection is opened; the zero one is as the Dialer does.
type dialing struct {
	below  func(ctx context.Context, network, address string) (net.Conn, error) // nil for that of the Dialer
	protos []string                                                             // nil for those of the Builder
	// handshake bounds the handshake; zero for the context alone.
	handshake time.Duration
}

func (d *Dialer) dialBy(ctx context.Context, how dialing, network, address string) (net.Conn, error) {
	conn, resumed, err := d.dial(ctx, how, network, address)
	if resumed && err != nil {
		conn, _, err = d.dial(ctx, how, network, address)
	}
	return conn, err
}

func (d *Dialer) dial(ctx context.Context, how dialing, network, address string) (conn net.Conn, resumed bool, err error) {
	if how.below == nil {
		how.below = d.below()
	}
	address, err = asciiAddress(address)
	if err != nil {
		return nil, false, fmt.Errorf("tlsctx: dial: %w", err)
	}
	raw, err := how.below(ctx, network, address)
	if err != nil {
		return nil, false, err
	}
	return d.handshake(ctx, how, raw, address)
}

// below returns what opens the connections below TLS.
func (d *Dialer) below() func(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial
	}
	return new(net.Dialer).DialContext
}

// Handshake is DialContext for an open connection to the address, for instance after
// STARTTLS. If it fails, the connection is closed.
func (d *Dialer) Handshake(ctx context.Context, raw net.Conn, address string) (net.Conn, error) {
	conn, _, err := d.handshake(ctx, dialing{}, raw, address)
	return conn, err
}

// handshake also reports whether it was a resumed session that our own verification
// has refused. Then the sessions of that generation are given up.
func (d *Dialer) handshake(ctx context.Context, how dialing, raw net.Conn, address string) (_ net.Conn, resumed bool, err error) {
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	if how.handshake > 0 {
		bounded, cancel := context.WithTimeout(ctx, how.handshake)
		defer cancel()
		ctx = bounded
	}
	l := d.live()
	s, trust, err := l.trusting(Builder.clientTrust)
	if err != nil {
		return nil, false, fmt.Errorf("tlsctx: dial: %w", err)
	}
	b := &s.b
	to, err := b.target(address)
	if err != nil {
		return nil, false, fmt.Errorf("tlsctx: dial: %w", err)
	}
	to.remote, to.explain = remoteOf(raw), d.explain
	id, _ := to.identity()
	g, err := d.generation(s, trust, id)
	if err != nil {
		return nil, false, fmt.Errorf("tlsctx: dial: %w", err)
	}
	tracked := &trackedConn{Conn: raw}
	if d.Track || l.follows() {
		tracked = d.tracker.wrap(raw)
	}
	tracked.to, raw = to, tracked
	cfg := d.config(ctx, g, to, &resumed)
	if how.protos != nil {
		cfg.NextProtos = how.protos
	}
	conn := tls.Client(tracked, cfg)
	err = conn.HandshakeContext(ctx)
	if err != nil && resumed {
		d.forget(g)
	}
	if err == nil && tracked.tracker != nil {
		err = tracked.accepted(ctx, l.server(address, conn.ConnectionState(), s, trust))
	}
	if err != nil {
		return nil, resumed, b.explainError(to.explains(b, err))
	}
	to.complete.Store(true)
	if b.Accepted != nil {
		b.tellAccepted(truststore.Server, to.name, conn.ConnectionState())
	}
	return conn, false, nil
}

// config returns the configuration for one connection. refused is set when the
// decision of VerifyConnection goes against a resumed session.
func (d *Dialer) config(ctx context.Context, g *clientGeneration, to *target, refused *bool) *tls.Config {
	cfg := g.config.Clone()
	cfg.ServerName = to.name
	present := cfg.GetClientCertificate
	cfg.GetClientCertificate = func(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		to.asks.Store(true)
		if present == nil {
			return new(tls.Certificate), nil // none
		}
		return present(asks)
	}
	// ConnectionState.ServerName is what was sent, which addresses are not and
	// trailing dots neither.
	if g.decider != nil {
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			err := g.decider.decide(ctx, to.name, s)
			*refused = err != nil && s.DidResume
			return err
		}
	}
	return cfg
}

// forget gives up a generation with its sessions.
func (d *Dialer) forget(g *clientGeneration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, have := range d.generations {
		if have == g {
			delete(d.generations, key)
		}
	}
}

// generation returns the configuration of now for an identity. Sessions are kept
// with it, so that they end with the trust and the identity that they began with.
func (d *Dialer) generation(of *state, trust *truststore.Snapshot, id trustkeep.Identity) (*clientGeneration, error) {
	certs, err := presented(id)
	if err != nil {
		return nil, err
	}
	key := ""
	for _, c := range certs {
		key += string(c.Certificate[0])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.generations[key]; g != nil && g.state == of.client && g.trust == trust && sameIdentities(g.certs, certs) {
		return g, nil
	}
	b := of.b
	b.Identity, b.Routes = unchanging(certs), nil
	cfg, err := b.clientConfig(trust)
	if err != nil {
		return nil, err
	}
	if d.generations == nil {
		d.generations = make(map[string]*clientGeneration)
	}
	for key := range d.generations {
		if len(d.generations) < maxIdentities {
			break
		}
		delete(d.generations, key) // whichever: it costs one full handshake
	}
	g := &clientGeneration{state: of.client, trust: trust, certs: certs, config: cfg, decider: of.b.clientDecider(trust)}
	d.generations[key] = g
	return g, nil
}
