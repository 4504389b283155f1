package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Dialer opens TLS connections, each by the trust and identity of its moment:
// what is added to a store is trusted by the next connection, what is removed is no
// longer, and sessions of before are not resumed. It is safe for concurrent use.
type Dialer struct {
	// Dial opens the connections below TLS; nil is net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	b Builder

	mu          sync.Mutex
	generations map[string]*clientGeneration // by identity, see generation
}

// clientGeneration is the configuration for one identity, and what it was made
// of.
type clientGeneration struct {
	trust  *truststore.Snapshot
	cert   *tls.Certificate
	config *tls.Config
}

// maxIdentities bounds how many configurations are kept for identities of routes.
const maxIdentities = 256

// Dialer returns a Dialer. Its errors are those of Client for the trust and
// identity of now.
func (b Builder) Dialer() (*Dialer, error) {
	d := &Dialer{b: b}
	if _, err := b.clientTrust(); err != nil {
		return nil, fmt.Errorf("tlsctx: dialer: %w", err)
	}
	if _, err := d.generation(b.Identity); err != nil {
		return nil, fmt.Errorf("tlsctx: dialer: %w", err)
	}
	return d, nil
}

// DialContext connects to the address, host:port, and completes the handshake. The
// server must be trusted under Builder.ServerName, else under the host of the
// address. The context bounds both. A failed handshake is a *HandshakeError.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return d.Handshake(ctx, raw, address)
}

// Handshake is DialContext for a connection that is open already, such as one that
// has been turned to TLS by STARTTLS. The address says to whom. On an error the
// connection is closed.
func (d *Dialer) Handshake(ctx context.Context, raw net.Conn, address string) (net.Conn, error) {
	conn, err := d.handshake(ctx, raw, address)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func (d *Dialer) handshake(ctx context.Context, raw net.Conn, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: dial: %w", err)
	}
	name := d.b.ServerName
	if name == "" {
		name = host
	}
	cfg, err := d.config(name, host, port)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: dial: %w", err)
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		named := d.b
		named.ServerName = name
		return nil, named.ExplainError(err)
	}
	return conn, nil
}

// config returns the configuration for one connection.
func (d *Dialer) config(name, host, port string) (*tls.Config, error) {
	id, _ := d.b.identityFor(host, port)
	g, err := d.generation(id)
	if err != nil {
		return nil, err
	}
	cfg := g.config.Clone()
	cfg.ServerName = name
	// ConnectionState.ServerName is what was sent, which addresses are not and
	// trailing dots neither.
	var decide func(tls.ConnectionState) error
	if cfg.InsecureSkipVerify {
		decide = func(s tls.ConnectionState) error { return d.b.verify(g.trust, truststore.Server, name, s) }
	}
	cfg.VerifyConnection = d.b.noting(truststore.Server, name, decide)
	return cfg, nil
}

// generation returns the configuration of now for an identity. Sessions are kept
// with it, so that they end with the trust and the identity that they began with.
func (d *Dialer) generation(id Identity) (*clientGeneration, error) {
	trust, err := d.b.clientTrust()
	if err != nil {
		return nil, err
	}
	var cert *tls.Certificate
	key := ""
	if id != nil {
		if isNil(id) {
			_, err := certificate(id)
			return nil, err
		}
		if cert, err = id.TLSCertificate(); err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		if cert == nil || len(cert.Certificate) == 0 {
			return nil, &trustkeep.Error{Op: "identity", Err: trustkeep.ErrEmpty}
		}
		key = string(cert.Certificate[0])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.generations[key]; g != nil && g.trust == trust && sameIdentity(g.cert, cert) {
		return g, nil
	}
	b := d.b
	b.Identity, b.Routes = nil, nil
	if cert != nil {
		b.Identity = StaticIdentity(*cert)
	}
	cfg, err := b.clientConfig(trust)
	if err != nil {
		return nil, err
	}
	if d.generations == nil || len(d.generations) >= maxIdentities {
		d.generations = make(map[string]*clientGeneration)
	}
	g := &clientGeneration{trust, cert, cfg}
	d.generations[key] = g
	return g, nil
}
