package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// sslRequest asks for TLS: PostgreSQL, Frontend/Backend Protocol, SSLRequest.
var sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}

// UseTLS makes all connections of a pool by a Dialer, in place of the TLS of the connection string
// (sslmode, sslrootcert, sslcert and the like): each uses the current trust and identity, the server
// is verified under the name that is connected to, and Dialer.Recheck ends connections whose server
// is no longer trusted. Nothing is ever sent in clear. Requests to cancel a query, which hold no
// secrets but a number, are made without TLS, as by libpq before version 17.
//
// The error wraps trustkeep.ErrInvalid without a configuration or a Dialer, and for a host that is a
// socket, which has no TLS.
func UseTLS(config *pgxpool.Config, dialer *tlsctx.Dialer) error {
	if config == nil || config.ConnConfig == nil || dialer == nil {
		return failure("tls", fmt.Errorf("no configuration or no dialer: %w", trustkeep.ErrInvalid))
	}
	c := config.ConnConfig
	hosts := []string{c.Host}
	var fallbacks []*pgconn.FallbackConfig // with and without TLS, as sslmode has it
	seen := map[string]bool{fmt.Sprint(c.Host, " ", c.Port): true}
	for _, f := range c.Fallbacks {
		if name := fmt.Sprint(f.Host, " ", f.Port); !seen[name] {
			seen[name] = true
			hosts = append(hosts, f.Host)
			fallbacks = append(fallbacks, &pgconn.FallbackConfig{Host: f.Host, Port: f.Port})
		}
	}
	for _, host := range hosts {
		if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
			return failure("tls", fmt.Errorf("host %q is a socket: %w", trustkeep.Printable(host), trustkeep.ErrInvalid))
		}
	}
	c.TLSConfig, c.Fallbacks = nil, fallbacks
	// Names stay names until they are dialled: the server is verified under them.
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	dial := dialer.Dial
	if dial == nil {
		dial = c.DialFunc
	}
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return named{raw, address}, nil
	}
	next := c.AfterNetConnect
	c.AfterNetConnect = func(ctx context.Context, c *pgconn.Config, conn net.Conn) (net.Conn, error) {
		raw, ok := conn.(named)
		if !ok {
			return conn, errors.New("pgstore: the connection was not made by UseTLS")
		}
		encrypted, err := handshake(ctx, dialer, raw)
		if err != nil {
			return conn, err
		}
		if next != nil {
			return next(ctx, c, encrypted)
		}
		return encrypted, nil
	}
	return nil
}

// named is a connection that knows whom it is to.
type named struct {
	net.Conn
	address string
}

func handshake(ctx context.Context, dialer *tlsctx.Dialer, raw named) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	answer := make([]byte, 1)
	if _, err := raw.Write(sslRequest); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(raw, answer); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, fmt.Errorf("the server %s has no TLS: %w", raw.address, trustkeep.ErrUnsupported)
	}
	return dialer.Handshake(ctx, raw, raw.address)
}
