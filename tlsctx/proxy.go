package tlsctx

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"

	"github.com/trustkeep/trustkeep"
)

// tunnel dials through a proxy.
type tunnel struct {
	proxy  func() *url.URL        // see redact.Hidden
	base   func() *http.Transport // see redact.Hidden
	below  func(ctx context.Context, network, address string) (net.Conn, error)
	secure *Dialer // to proxies over TLS
}

const (
	connectTimeout   = time.Minute // as http.Transport
	maxConnectHeader = 1 << 20
)

// proxyError says why a proxy did not connect. Its texts hold nothing that the proxy has sent,
// since that can be what it was sent: a password.
type proxyError struct {
	at           string // host:port of the proxy
	text, remedy string
	err          error // to unwrap; may be nil
}

func (e *proxyError) Error() string { return "tlsctx: " + e.text }
func (e *proxyError) Unwrap() error { return e.err }

// dial opens a connection to the address, host:port, through the proxy.
func (t *tunnel) dial(ctx context.Context, network, address string) (net.Conn, error) {
	u := t.proxy()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("tlsctx: proxy: %w", err)
	}
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	if port == "" {
		return nil, &trustkeep.Error{
			Op: fmt.Sprintf("tlsctx: proxy with the scheme %q", trustkeep.Printable(u.Scheme)), Err: trustkeep.ErrUnsupported,
			Hint: "it is http, https, socks5 or socks5h",
		}
	}
	at := net.JoinHostPort(host, cmp.Or(u.Port(), port))
	below := t.below
	if u.Scheme == "https" {
		below = t.secure.DialContext
	}
	reach := func(ctx context.Context, network, at string) (net.Conn, error) {
		conn, err := below(ctx, network, at)
		if _, explained := errors.AsType[*HandshakeError](err); err != nil && !explained {
			err = &net.OpError{Op: "proxyconnect", Net: network, Err: err} // as net/http
		}
		return conn, err
	}
	if u.Scheme == "socks5" || u.Scheme == "socks5h" {
		return socks(ctx, reach, at, u.User, network, address)
	}
	conn, err := reach(ctx, network, at)
	if err != nil {
		return nil, err
	}
	if err := t.connect(ctx, conn, at, address); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// connect asks the proxy at the other end for the address.
func (t *tunnel) connect(ctx context.Context, conn net.Conn, at, address string) error {
	u, base := t.proxy(), t.base()
	header := base.ProxyConnectHeader
	if base.GetProxyConnectHeader != nil {
		var err error
		if header, err = base.GetProxyConnectHeader(ctx, u, address); err != nil {
			return err
		}
	}
	if header = header.Clone(); header == nil {
		header = make(http.Header)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: header}

	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := request.Write(conn)
	var response *http.Response
	if err == nil {
		limit := base.MaxResponseHeaderBytes
		if limit <= 0 {
			limit = maxConnectHeader
		}
		// What is read ahead is dropped, as by http.Transport: a TLS server waits for its client.
		response, err = http.ReadResponse(bufio.NewReader(io.LimitReader(conn, limit)), request)
	}
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		return answered(at, err)
	}
	if base.OnProxyConnectResponse != nil {
		if err := base.OnProxyConnectResponse(ctx, u, request, response); err != nil {
			return err
		}
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	e := &proxyError{at: at, text: fmt.Sprintf("the proxy %s does not connect to %s: %d %s",
		trustkeep.Printable(at), trustkeep.Printable(address), response.StatusCode, http.StatusText(response.StatusCode))}
	switch response.StatusCode {
	case http.StatusProxyAuthRequired:
		e.remedy = "set a user and a password in the URL of the proxy"
		if header.Get("Proxy-Authorization") != "" {
			e.remedy = "check the user and the password in the URL of the proxy, or in ProxyConnectHeader"
		}
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		e.remedy = "have its administrator permit CONNECT to that host and port"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.remedy = "check that the proxy can reach the host and port"
	}
	return e
}

// answered explains an answer that is none.
func answered(at string, err error) error {
	e := &proxyError{at: at, text: "the proxy " + trustkeep.Printable(at) + " does not answer as an HTTP proxy"}
	e.remedy = "check the port and the scheme in the URL of the proxy: https if it is spoken to over TLS"
	if _, alert := alertOf(err); alert || refusedHere(err) || isEnd(err) {
		e.text, e.err = "the proxy "+trustkeep.Printable(at)+" closed the connection without an answer", err
	} else if timeout, ok := errors.AsType[net.Error](err); ok {
		e.text, e.err = "the connection to the proxy "+trustkeep.Printable(at)+" failed", timeout
	}
	return e
}

// socks dials through a SOCKS proxy, which looks the host up.
func socks(ctx context.Context, reach dialFunc, at string, user *url.Userinfo, network, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if user != nil {
		auth = &proxy.Auth{User: user.Username()}
		auth.Password, _ = user.Password()
	}
	d, err := proxy.SOCKS5(network, at, auth, reach)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: proxy: %w", err)
	}
	conn, err := d.(proxy.ContextDialer).DialContext(ctx, network, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "socks" {
			if inner, ok := errors.AsType[*net.OpError](op.Err); ok && inner.Op == "proxyconnect" {
				return nil, inner
			}
		}
		return nil, &proxyError{at: at, text: "the proxy " + trustkeep.Printable(at) + " does not connect to " + trustkeep.Printable(address) + " by SOCKS",
			remedy: "check the URL of the proxy, with user and password, and that it can reach the host and port", err: err}
	}
	return conn, nil
}

// dialFunc is a proxy.Dialer.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial implements proxy.Dialer.
func (f dialFunc) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

// DialContext implements proxy.ContextDialer.
func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}
