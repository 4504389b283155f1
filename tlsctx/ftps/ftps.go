package ftps

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/settings"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Session makes the TLS connections of one FTPS session. Use a new one for each session,
// since some servers compare with the very session of the control connection; no other
// session or identity can take up what it has begun. It is safe for concurrent use.
//
// The identity is the one at the time of New. Trust is followed: each connection, resumed or
// not, is decided by the current trust. With a Builder of tlsctx.Follow, each is made by the current
// settings; where the definition has another identity now, it fails with trustkeep.ErrOutdated, since
// servers compare identities within a session. Open connections whose server would no longer be accepted are closed,
// those apart that a library has dialled by itself, without DialFunc.
type Session struct {
	b          func() tlsctx.Builder // a closure, since package fmt prints what fields hold
	o          Options
	presents   func() trustkeep.Identity // of the Builder at New; a closure as well
	identity   func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	tickets    *tickets
	shared     *sharedCache // of Config
	address    string
	serverName string

	mu      sync.Mutex
	begun   bool         // DialFunc was called
	ended   bool         // what it made was closed
	control *controlConn // of explicit FTPS, by DialFunc
}

// Options configures a Session. The zero value is explicit FTPS over net.Dialer.
type Options struct {
	// Implicit makes TLS at once on the control connection, as servers on port 990 want it.
	Implicit bool
	// Dial makes the connections below TLS for DialFunc, through a proxy for instance. If nil, it
	// is that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds each dialling, each handshake and, for DialFunc, the waiting for the server's
	// answers before the login. If zero, 30 seconds.
	Timeout time.Duration
	// IdleTimeout bounds how long the connections of DialFunc and Data wait for the server, each
	// Read and Write by itself: for a reply, which after an upload may take a server some time,
	// and for content. A deadline that is set on a connection replaces it. If zero, there is no
	// bound after the login, and a server that stalls is waited for until it hangs up.
	IdleTimeout time.Duration
	// AllowUnannouncedEnd takes a download for complete although the server has not announced the
	// end (close_notify). Some old servers never do. Whoever sits in between can then cut files off,
	// so compare sizes or digests.
	AllowUnannouncedEnd bool
	// DrainTimeout bounds how long closing an upload waits for the server to confirm it.
	// If zero, 10 seconds.
	DrainTimeout time.Duration
}

// New returns a Session with the server whose control connection is at the address,
// host:port. The server must be trusted under Builder.ServerName if that is set, else under
// the host; Routes go by the address. For servers that cope with TLS 1.2 alone, set
// Builder.MaxVersion. The errors are those of Builder.Client.
func New(b tlsctx.Builder, address string) (*Session, error) { return Options{}.New(b, address) }

// New is the function New with these options.
func (o Options) New(b tlsctx.Builder, address string) (*Session, error) {
	s, err := o.session(b, address)
	if err != nil {
		return nil, fmt.Errorf("ftps: %w", err)
	}
	return s, nil
}

func (o Options) session(b tlsctx.Builder, address string) (*Session, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, &trustkeep.Error{Op: `address "` + trustkeep.Printable(address) + `"`, Err: trustkeep.ErrInvalid, Hint: "write host:port"}
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 10 * time.Second
	}
	b = b.For(address)
	b.Allow, b.Pins, b.NextProtos = slices.Clone(b.Allow), slices.Clone(b.Pins), slices.Clone(b.NextProtos)
	b.RevocationExempt, b.Policy = slices.Clone(b.RevocationExempt), b.Policy.Clone()
	bare, err := b.Current()
	if err != nil {
		return nil, err
	}
	presents := bare.Identity
	bare.Accepted = nil // Control tells it
	begun, err := bare.Client()
	if err != nil {
		return nil, err
	}
	t := new(tickets)
	return &Session{
		b: func() tlsctx.Builder { return b }, o: o, presents: func() trustkeep.Identity { return presents }, tickets: t, shared: &sharedCache{t: t},
		identity: begun.GetClientCertificate, address: address, serverName: begun.ServerName,
	}, nil
}

// during returns the configuration for a handshake of that context, which ends what the hooks
// of the Builder wait for. It has the trust of the moment, and so resumes only what crypto/tls
// once verified and is still trusted.
func (s *Session) during(ctx context.Context) (*tls.Config, error) {
	b, err := s.now()
	if err != nil {
		return nil, err
	}
	return s.config(ctx, b)
}

// now returns the Builder as it is now.
func (s *Session) now() (tlsctx.Builder, error) {
	b, err := s.b().Current()
	if err == nil && !settings.Same(b.Identity, s.presents()) {
		err = fmt.Errorf("the definition of the connection has changed, ask again (Identity): %w", trustkeep.ErrOutdated)
	}
	return b, err
}

func (s *Session) config(ctx context.Context, b tlsctx.Builder) (*tls.Config, error) {
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
	cfg.GetClientCertificate = s.identity
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
// also refuses what is no longer trusted by then. If it is not used before a definition that the Builder
// follows has changed, handshakes fail with trustkeep.ErrOutdated. The first connection made with it begins the
// session, further ones resume it. Data connections are better made by DialFunc or Data, whose
// Close loses nothing. Builder.Accepted hears of handshakes by it only for connections of
// DialFunc. If the trust cannot be loaded, the configuration refuses every server.
func (s *Session) Config() *tls.Config {
	opened, err := s.b().Watch()
	var began *truststore.Snapshot
	if err == nil {
		began, err = s.trust()
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: s.serverName, MinVersion: tls.VersionTLS12}
	if err == nil {
		var built *tls.Config
		if built, err = s.config(context.Background(), s.b()); err == nil {
			cfg = built
		}
	}
	// It has a name: without one, crypto/tls would keep the session under the address with its port.
	cfg.ClientSessionCache = s.shared
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
		if err := s.verifyNow(began, state); err != nil {
			return err
		}
		return s.verified(state, opened)
	}
	return cfg
}

// verifyNow asks the trust of now, if it is another than the configuration's.
func (s *Session) verifyNow(began *truststore.Snapshot, state tls.ConnectionState) error {
	now, err := s.trust()
	if err != nil || now == began {
		return err
	}
	o := s.b().VerifyOptions(truststore.Server, s.serverName)
	o.Revocation = nil // it was asked before
	_, err = now.Verify(state.PeerCertificates, o)
	return err
}

// verified tells the control connection that DialFunc made that its server was accepted.
func (s *Session) verified(state tls.ConnectionState, opened tlsctx.Opened) error {
	s.mu.Lock()
	control := s.control
	s.mu.Unlock()
	if control == nil {
		return nil
	}
	return control.verified(state, opened)
}

// trust returns what is trusted now, nil for the system's roots, which do not change.
func (s *Session) trust() (*truststore.Snapshot, error) {
	b, err := s.now()
	switch {
	case err != nil:
		return nil, err
	case b.Trusted != nil:
		return given.Snapshot(b.Trusted)
	case b.Global != nil:
		return given.Snapshot(b.Global)
	}
	return nil, nil
}

// CanResume reports whether a data connection could resume the session now. With TLS 1.3 that
// takes reading from the control connection first, since the server's ticket comes after the
// handshake; any answer to a command will do. Some servers give no tickets.
func (s *Session) CanResume() bool { return s.tickets.any() }
