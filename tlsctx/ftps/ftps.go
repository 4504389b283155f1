package ftps

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Session makes the TLS connections of one FTPS session. Use a new one for each session,
// since some servers compare with the very session of the control connection; no other
// session or identity can take up what it has begun. It is safe for concurrent use.
//
// The identity is that of the moment of New. Trust is followed: each connection, resumed or
// not, is decided by the trust of its moment.
type Session struct {
	b          func() tlsctx.Builder // a closure, since package fmt prints what fields hold
	identity   func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	cache      tls.ClientSessionCache
	serverName string
}

// New returns a Session with the server whose control connection is at the address,
// host:port. The server must be trusted under Builder.ServerName if that is set, else under
// the host; Routes go by the address. For servers that cope with TLS 1.2 alone, set
// Builder.MaxVersion. The errors are those of Builder.Client.
func New(b tlsctx.Builder, address string) (*Session, error) {
	s, err := newSession(b, address)
	if err != nil {
		return nil, fmt.Errorf("ftps: %w", err)
	}
	return s, nil
}

func newSession(b tlsctx.Builder, address string) (*Session, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, &trustkeep.Error{Op: `address "` + trustkeep.Printable(address) + `"`, Err: trustkeep.ErrInvalid, Hint: "write host:port"}
	}
	b = b.For(address)
	b.Allow, b.Pins, b.NextProtos = slices.Clone(b.Allow), slices.Clone(b.Pins), slices.Clone(b.NextProtos)
	b.RevocationExempt, b.Policy = slices.Clone(b.RevocationExempt), b.Policy.Clone()
	bare := b
	bare.Accepted = nil // Control tells it
	begun, err := bare.Client()
	if err != nil {
		return nil, err
	}
	return &Session{
		b:        func() tlsctx.Builder { return b },
		identity: begun.GetClientCertificate,
		// It has a name: without one, crypto/tls would keep the session under the address with its
		// port, and find none for the port of a data connection.
		cache: tls.NewLRUClientSessionCache(1), serverName: begun.ServerName,
	}, nil
}

// during returns the configuration for a handshake of that context, which ends what the hooks
// of the Builder wait for. It has the trust of the moment, and so resumes only what crypto/tls
// once verified and is still trusted.
func (s *Session) during(ctx context.Context) (*tls.Config, error) {
	b := s.b()
	if b.Revocation != nil {
		b.Revocation = bounded{ctx, b.Revocation}
	}
	if authorize := b.Authorize; authorize != nil {
		b.Authorize = func(_ context.Context, p tlsctx.Peer) error { return authorize(ctx, p) }
	}
	b.Identity, b.Routes, b.Accepted = nil, nil, nil // see identity and Control
	b.MayBeEmpty = true                              // trust that has run empty is explained by the handshake
	cfg, err := b.Client()
	if err != nil {
		return nil, err
	}
	cfg.GetClientCertificate, cfg.ClientSessionCache = s.identity, s.cache
	return cfg, nil
}

// bounded asks a checker under the context of a handshake.
type bounded struct {
	ctx context.Context
	truststore.RevocationChecker
}

// CheckRevocation implements truststore.RevocationChecker.
func (c bounded) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return c.RevocationChecker.CheckRevocation(c.ctx, q)
}

// Config returns a configuration of the session's connections, for FTP libraries that turn the
// control connection to TLS themselves. It has the trust of this moment, and VerifyConnection
// also refuses what is no longer trusted by then. Data connections are better made by Data, whose
// Close loses nothing. Builder.Accepted hears nothing of handshakes by it. If the trust cannot be
// loaded, the configuration refuses every server.
func (s *Session) Config() *tls.Config {
	began, err := s.trust()
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: s.serverName, MinVersion: tls.VersionTLS12}
	if err == nil {
		var built *tls.Config
		if built, err = s.during(context.Background()); err == nil {
			cfg = built
		}
	}
	decide := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if err != nil {
			return fmt.Errorf("ftps: %w", err)
		}
		if decide != nil {
			if err := decide(state); err != nil {
				return err
			}
		}
		now, err := s.trust()
		if err != nil || now == began {
			return err
		}
		b := s.b()
		o := b.VerifyOptions(truststore.Server, s.serverName)
		o.Revocation = nil // it was asked above
		_, err = now.Verify(state.PeerCertificates, o)
		return err
	}
	return cfg
}

// trust returns what is trusted now, nil for the system's roots, which do not change.
func (s *Session) trust() (*truststore.Snapshot, error) {
	switch b := s.b(); {
	case b.Trusted != nil:
		return given.Snapshot(b.Trusted)
	case b.Global != nil:
		return given.Snapshot(b.Global)
	}
	return nil, nil
}

// Control makes the handshake on the control connection: at once for implicit FTPS, after the
// answer to AUTH TLS for explicit. The context bounds it. A failed handshake is a
// *tlsctx.HandshakeError, and closes the connection.
func (s *Session) Control(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	cfg, err := s.during(ctx)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("ftps: %w", err)
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, s.b().ExplainError(err)
	}
	if accepted := s.b().Accepted; accepted != nil {
		state := conn.ConnectionState()
		accepted(tlsctx.Peer{
			Purpose: truststore.Server, Certificates: state.PeerCertificates, ServerName: s.serverName, Resumed: state.DidResume, Proved: true,
		})
	}
	return conn, nil
}

// CanResume reports whether a data connection could resume the session now. With TLS 1.3 that
// takes reading from the control connection first, since the server's ticket comes after the
// handshake; any answer to a command will do. Some servers give no tickets.
func (s *Session) CanResume() bool {
	_, ok := s.cache.Get(s.serverName)
	return ok
}

// Data makes the handshake on a data connection and resumes the session if it can, which
// ConnectionState.DidResume tells. See Control for errors.
func (s *Session) Data(ctx context.Context, raw net.Conn) (*DataConn, error) {
	conn, err := s.Control(ctx, raw)
	if err != nil {
		return nil, err
	}
	return &DataConn{Conn: conn, DrainTimeout: 10 * time.Second}, nil
}

// DataConn is a data connection.
type DataConn struct {
	*tls.Conn
	// DrainTimeout bounds how long Close waits for the server; Session.Data sets 10 seconds.
	DrainTimeout time.Duration
}

// maxDrained is how much Close reads of what nobody wants, an aborted download for one.
const maxDrained = 1 << 20

// Close ends an upload without loss: it says that nothing more will come and waits until
// the server has taken all of it and hangs up. A socket that is closed while something in
// it is unread, such as the session ticket that a TLS 1.3 server sends, is reset instead
// (RFC 1122 section 4.2.2.13), and what the server has not read by then is gone.
func (d *DataConn) Close() error {
	if err := d.CloseWrite(); err != nil { // close_notify
		d.Conn.Close()
		return err
	}
	if half, ok := d.NetConn().(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	d.SetReadDeadline(time.Now().Add(d.DrainTimeout))
	io.CopyN(io.Discard, d.Conn, maxDrained)
	return d.Conn.Close()
}
