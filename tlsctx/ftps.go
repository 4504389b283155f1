package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep/truststore"
)

// FTPS makes the TLS connections of one FTPS session (RFC 4217): a control connection, and
// data connections that resume its TLS session, which many servers demand. It is for one
// session alone, since some servers compare with the very session of the control connection;
// no other session or identity can take up what it has begun. It is safe for concurrent use.
//
// The identity is that of its beginning. Trust is followed: each connection, resumed or not,
// is decided by the trust of its moment.
type FTPS struct {
	b       func() Builder // see hidden
	name    string
	id      *IdentityReport
	config  *tls.Config
	session tls.ClientSessionCache

	mu      sync.Mutex
	decider *decider // of the trust of the last connection
}

// FTPS returns the means for a session with the server whose control connection is at the
// address, host:port. The server must be trusted under Builder.ServerName, else under the
// host; Routes go by the address. For servers that cope with TLS 1.2 alone, set
// Builder.MaxVersion. The errors are those of Client.
func (b Builder) FTPS(address string) (*FTPS, error) {
	f, err := b.detached().ftps(address)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: ftps: %w", err)
	}
	return f, nil
}

func (b Builder) ftps(address string) (*FTPS, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := b.clientTrust(); err != nil {
		return nil, err
	}
	cfg, err := b.base()
	if err != nil {
		return nil, err
	}
	f := &FTPS{b: hidden(b), name: b.ServerName, session: tls.NewLRUClientSessionCache(1)}
	if f.name == "" {
		f.name = nameOf(host)
	}
	id, pattern := b.identityFor(host, port)
	if f.id = b.identityReport(id, pattern); id != nil {
		cert, err := certificate(id)
		if err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	// Without a name, crypto/tls would keep the session under the address with its port,
	// and find none for the port of a data connection.
	cfg.ServerName, cfg.ClientSessionCache = f.name, f.session
	cfg.InsecureSkipVerify = true // decided below, by the trust of the moment
	cfg.VerifyConnection = f.decide(context.Background())
	f.config = cfg
	return f, nil
}

// decide makes the decision for a handshake of that context.
func (f *FTPS) decide(ctx context.Context) func(tls.ConnectionState) error {
	return f.b().accepting(truststore.Server, f.name, func(s tls.ConnectionState) error { return f.decideNow(ctx, s) })
}

func (f *FTPS) decideNow(ctx context.Context, s tls.ConnectionState) error {
	trust, err := f.b().trustNow()
	if err != nil {
		return &setupError{fmt.Errorf("tlsctx: ftps: %w", err)}
	}
	f.mu.Lock()
	if f.decider == nil || f.decider.trust != trust {
		f.decider = f.b().decider(trust, truststore.Server)
	}
	d := f.decider
	f.mu.Unlock()
	return d.decide(ctx, f.name, s)
}

// Config returns the configuration of the session's connections, for FTP libraries that
// turn the control connection to TLS themselves. Data connections are better made by Data,
// whose Close loses nothing.
func (f *FTPS) Config() *tls.Config { return f.config.Clone() }

// Control makes the handshake on the control connection: at once for implicit FTPS, after
// the answer to AUTH TLS for explicit. The context bounds it. A failed handshake is a
// *HandshakeError, and closes the connection.
func (f *FTPS) Control(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	cfg := f.config.Clone()
	cfg.VerifyConnection = f.decide(ctx)
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, f.b().explainError(&HandshakeError{Err: err, ServerName: f.name, Identity: f.id})
	}
	return conn, nil
}

// CanResume reports whether a data connection could resume the session now. With TLS 1.3
// that takes reading from the control connection first, since the server's ticket comes
// after the handshake; any answer to a command will do. Some servers give no tickets.
func (f *FTPS) CanResume() bool {
	_, ok := f.session.Get(f.name)
	return ok
}

// Data makes the handshake on a data connection, resuming the session if it can, which
// ConnectionState.DidResume tells. See Control for errors.
func (f *FTPS) Data(ctx context.Context, raw net.Conn) (*FTPSData, error) {
	conn, err := f.Control(ctx, raw)
	if err != nil {
		return nil, err
	}
	return &FTPSData{Conn: conn, DrainTimeout: 10 * time.Second}, nil
}

// FTPSData is a data connection.
type FTPSData struct {
	*tls.Conn
	// DrainTimeout bounds for how long Close waits for the server; 10 seconds after
	// FTPS.Data.
	DrainTimeout time.Duration
}

// maxDrained is how much Close reads of what nobody wants, an aborted download for one.
const maxDrained = 1 << 20

// Close ends an upload without loss: it says that nothing more will come and waits until
// the server has taken all of it and hangs up. A socket that is closed while something in
// it is unread, such as the session ticket that a TLS 1.3 server sends, is reset instead
// (RFC 1122 section 4.2.2.13), and what the server has not read by then is gone.
func (d *FTPSData) Close() error {
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
