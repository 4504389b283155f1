package extract

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
)

// Options configures how a server is asked. The zero value speaks TLS from the first byte.
// It prints without the user and password of Proxy.
type Options struct {
	// StartTLS is the protocol that is spoken before TLS. If empty, none is.
	StartTLS Protocol
	// ServerName is the name that the server is asked for (SNI). If empty, the host of
	// the address.
	ServerName string
	// Proxy is an HTTP proxy, http://user:password@host:port or https://. If nil, the
	// server is dialled directly.
	Proxy *url.URL
	// Dial opens connections, to the proxy where there is one. If nil, a net.Dialer
	// does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// NextProtos are offered (ALPN), for servers that choose their
	// certificate by it.
	NextProtos []string
	// Timeout bounds the whole call. If zero, 30 seconds.
	Timeout time.Duration
	// FetchIssuer gets the certificate at a URL that a certificate names for
	// its issuer (RFC 5280 section 4.2.2.1), to complete a chain that the
	// server sends in part; HTTP has one. If nil, the chain is left as it was sent.
	FetchIssuer func(ctx context.Context, url string) ([]byte, error)
}

// Fetch connects to a server, host:port, and returns what it presents, even if the server
// then refuses the connection, for want of a client certificate for instance.
//
// Errors: those of the network; trustkeep.ErrInvalid for an address without port or an
// option that cannot be meant; trustkeep.ErrUnsupported for a server that does
// not offer TLS, trustkeep.ErrCorrupt for one that does not keep to the protocol,
// trustkeep.ErrLimit for one that goes on and on, trustkeep.ErrEmpty for one
// that presents nothing.
func Fetch(ctx context.Context, address string, o Options) (*Chain, error) {
	chain, err := o.fetch(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("extract: %s: %w", trustkeep.Printable(address), err)
	}
	return chain, nil
}

func (o Options) fetch(ctx context.Context, address string) (*Chain, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", trustkeep.ErrInvalid, err)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("timeout %s: %w", o.Timeout, trustkeep.ErrInvalid)
	}
	if o.StartTLS != "" {
		if err := o.StartTLS.check(); err != nil {
			return nil, err
		}
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := o.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := closeWhenDone(ctx, conn)
	defer stop()
	if o.StartTLS != "" {
		if err := StartTLS(conn, o.StartTLS); err != nil {
			return nil, orContext(ctx, err)
		}
	}
	chain := &Chain{Address: address, ServerName: o.ServerName}
	if chain.ServerName == "" {
		chain.ServerName = host
	}
	if err := chain.handshake(ctx, conn, o.NextProtos); err != nil {
		return nil, orContext(ctx, err)
	}
	chain.order()
	if o.FetchIssuer != nil {
		if err := chain.complete(ctx, o.FetchIssuer); err != nil {
			chain.Incomplete = err
		}
	}
	return chain, nil
}

// handshake listens to the server's side of a handshake. Nothing is sent
// afterwards, so there is nothing that a verification could protect.
func (c *Chain) handshake(ctx context.Context, conn net.Conn, protos []string) error {
	cfg := &tls.Config{
		InsecureSkipVerify: true, // to be looked at, not to be trusted
		ServerName:         c.ServerName,
		NextProtos:         protos,
		MinVersion:         tls.VersionTLS10, // old servers are looked at as well
		VerifyConnection: func(s tls.ConnectionState) error {
			c.Certificates, c.Staple = s.PeerCertificates, s.OCSPResponse
			c.Version, c.CipherSuite = s.Version, s.CipherSuite
			return nil
		},
		GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c.ClientCertificate = true
			c.AcceptableCAs = info.AcceptableCAs
			return &tls.Certificate{}, nil
		},
	}
	err := tls.Client(conn, cfg).HandshakeContext(ctx)
	if len(c.Certificates) > 0 {
		return nil
	}
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return &trustkeep.Error{Op: "not a TLS server", Err: trustkeep.ErrUnsupported, Hint: "does it expect STARTTLS, or is it another port?"}
	case err != nil:
		return errtext.Bound(err)
	}
	return &trustkeep.Error{Op: "no certificate was presented", Err: trustkeep.ErrEmpty}
}

// closeWhenDone makes reads and writes end with the context. The returned
// function ends the watch.
func closeWhenDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// orContext prefers the reason for which the context ended.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
