// Package grpccreds are credentials for gRPC clients that follow trust and identity.
package grpccreds

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// New returns credentials whose connections are those of the Dialer, which needs "h2" among
// Builder.NextProtos, as gRPC demands (and Track, for Recheck). Each handshake uses the trust and
// the identity of its moment, Dialer.Recheck ends connections, whereupon gRPC dials again, and a
// server that refuses the identity is explained in the status. The server must be trusted under
// Builder.ServerName, else under the host of the target or of grpc.WithAuthority.
func New(d *tlsctx.Dialer) credentials.TransportCredentials { return &creds{d: d} }

type creds struct {
	d    *tlsctx.Dialer
	name string // by OverrideServerName
}

func (c *creds) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	address := authority
	if c.name != "" {
		address = c.name
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "443") // as gRPC does
	}
	opened, err := c.d.Handshake(ctx, raw, address)
	if err != nil {
		return nil, nil, err
	}
	state := opened.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		opened.Close()
		return nil, nil, errors.New("grpccreds: the server does not speak HTTP/2, or Builder.NextProtos lacks h2")
	}
	info := credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	return &conn{opened, c.d}, info, nil
}

// ServerHandshake is for servers, which have credentials.NewTLS with the configuration of
// tlsctx.Builder.Server.
func (c *creds) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("grpccreds: these are the credentials of a client")
}

func (c *creds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (c *creds) Clone() credentials.TransportCredentials { return &creds{c.d, c.name} }

func (c *creds) OverrideServerName(name string) error { c.name = name; return nil }

// conn explains what the server says of the identity, which under TLS 1.3 comes with the first read,
// or in place of it with a write that fails.
type conn struct {
	net.Conn
	d *tlsctx.Dialer
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.d.Explain(c.Conn, err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.d.Explain(c.Conn, err)
}
