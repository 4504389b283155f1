package extract

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/trustkeep/trustkeep"
)

// connect opens the connection to the server, through the proxy where there is
// one.
func (o Options) connect(ctx context.Context, address string) (net.Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if o.Proxy == nil {
		return dial(ctx, "tcp", address)
	}
	port := o.Proxy.Port()
	switch {
	case o.Proxy.Scheme != "http" && o.Proxy.Scheme != "https":
		return nil, fmt.Errorf("proxy of scheme %q: %w", trustkeep.Printable(o.Proxy.Scheme), trustkeep.ErrInvalid)
	case port == "" && o.Proxy.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(o.Proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	stop := closeWhenDone(ctx, conn)
	defer stop()
	if o.Proxy.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: o.Proxy.Hostname(), MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("proxy: %w", orContext(ctx, err))
		}
		conn = secure
	}
	tunnel, err := connectThrough(conn, o.Proxy.User, address)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy: %w", orContext(ctx, err))
	}
	return tunnel, nil
}

// connectThrough sends CONNECT (RFC 9110 section 9.3.6).
func connectThrough(conn net.Conn, user *url.Userinfo, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		// SetBasicAuth encodes; the header of proxies has another name.
		request.SetBasicAuth(user.Username(), password)
		request.Header["Proxy-Authorization"] = request.Header["Authorization"]
		request.Header.Del("Authorization")
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: conn, N: maxPreamble}
	r := bufio.NewReader(bounded)
	response, err := http.ReadResponse(r, request)
	if err != nil {
		if bounded.N <= 0 {
			return nil, fmt.Errorf("%w: more than %d bytes of headers", trustkeep.ErrLimit, maxPreamble)
		}
		return nil, err
	}
	response.Body.Close() // has none
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %q", trustkeep.Printable(response.Status))
	}
	if r.Buffered() == 0 {
		return conn, nil
	}
	// A server that speaks first, as those of FTP do, may have been heard
	// already.
	heard, err := r.Peek(r.Buffered())
	if err != nil {
		return nil, err
	}
	return &resumedConn{Conn: conn, heard: heard}, nil
}

// resumedConn first reads what was heard before.
type resumedConn struct {
	net.Conn
	heard []byte
}

func (c *resumedConn) Read(p []byte) (int, error) {
	if len(c.heard) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.heard)
	c.heard = c.heard[n:]
	return n, nil
}
