package tlsctx_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

const proxySecret = "hunter2-of-the-proxy"

// testProxy passes connections on to one address, whatever was asked for, if the user and password
// are right.
type testProxy struct {
	to      string
	tunnels atomic.Int64
	last    atomic.Value // what was asked for
}

// splice copies both ways until one ends.
func splice(a, b net.Conn) {
	go func() {
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
	b.Close()
}

// http speaks CONNECT over a connection.
func (p *testProxy) http(conn net.Conn) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	p.last.Store(r.Host)
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	if r.Method != http.MethodConnect || user != "me" || password != proxySecret {
		fmt.Fprintf(conn, "HTTP/1.1 407 because of %s %s\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", r.Header.Get("Proxy-Authorization"), password)
		return
	}
	p.pass(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
}

func (p *testProxy) pass(conn net.Conn, answer string) {
	target, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer target.Close()
	p.tunnels.Add(1)
	io.WriteString(conn, answer)
	splice(conn, target)
}

// socks speaks SOCKS 5 with a password (RFC 1928, RFC 1929).
func (p *testProxy) socks(conn net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			conn.Close()
		}
		return b
	}
	read(int(read(2)[1]))
	conn.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	if password := string(read(int(read(1)[0]))); user != "me" || password != proxySecret {
		conn.Write([]byte{1, 1})
		return
	}
	conn.Write([]byte{1, 0})
	name := string(read(int(read(5)[4]))) // a domain name
	p.last.Store(net.JoinHostPort(name, fmt.Sprint(binary.BigEndian.Uint16(read(2)))))
	p.pass(conn, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
}

// TestTransportTracksBehindProxy: behind each kind of proxy, connections are resumed, get the
// identity of a route, are told to Accepted and are ended by Recheck.
func TestTransportTracksBehindProxy(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	proxies := testpki.New(t, testpki.Options{Name: "Proxies"})
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		t.Run(scheme, func(t *testing.T) {
			s := newSite(t, pki, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto, " ", r.TLS.DidResume)
				for _, c := range r.TLS.PeerCertificates[:min(1, len(r.TLS.PeerCertificates))] {
					io.WriteString(w, " "+c.Subject.CommonName)
				}
			}))
			p := &testProxy{to: s.Listener.Addr().String()}
			own := tls.Config{Certificates: []tls.Certificate{proxies.Server("127.0.0.1").TLSCertificate()}, NextProtos: []string{"h2", "http/1.1"}}
			address := testnet.Serve(t, func(conn net.Conn) {
				switch scheme {
				case "http":
					p.http(conn)
				case "https":
					secure := tls.Server(conn, &own)
					defer secure.Close()
					p.http(secure)
				default:
					p.socks(conn)
				}
			})
			at := &url.URL{Scheme: scheme, Host: address, User: url.UserPassword("me", proxySecret)}
			trust, routes := store(pki.Root, proxies.Root), new(tlsctx.Routes)
			must(t, routes.Set("server.example", identity(pki.Client("routed"))))
			var accepted atomic.Int64
			b := tlsctx.Builder{
				Trusted: trust, Clock: pki.Now, ServerName: "127.0.0.1", Routes: routes,
				Accepted: func(tlsctx.Peer) { accepted.Add(1) },
			}
			transport, err := b.Transport(&http.Transport{Proxy: http.ProxyURL(at), TLSHandshakeTimeout: time.Minute})
			must(t, err)
			defer transport.CloseIdleConnections()
			const site = "https://server.example:8443"
			if got := fetch(t, transport, site); got != "HTTP/2.0 false routed" || p.last.Load() != "server.example:8443" {
				t.Errorf("%s, %v", got, p.last.Load())
			}
			transport.CloseIdleConnections()
			if got := fetch(t, transport, site); got != "HTTP/2.0 true routed" {
				t.Errorf("again: %s", got)
			}
			tracked := 1
			if scheme == "https" {
				tracked = 2
			}
			if n := accepted.Load(); n != int64(2*tracked) || p.tunnels.Load() != 2 {
				t.Errorf("%d accepted, %d tunnels", n, p.tunnels.Load())
			}
			if stale := transport.Stale(); len(stale) != 0 {
				t.Errorf("%+v", stale)
			}
			must(t, trust.Add("", other.Root.Cert))
			must(t, trust.RemoveCertificate(pki.Root.Cert))
			if stale := transport.Stale(); len(stale) != 1 || stale[0].ServerName != "127.0.0.1" {
				t.Errorf("%+v", stale)
			}
			if n := transport.Recheck(); n != 1 {
				t.Errorf("%d were closed", n)
			}
			_, err = (&http.Client{Transport: transport}).Get(site)
			if e := explained(t, err); e.Code != truststore.CodeUnknownIssuer || e.RemoteAddr != address || e.Port != "8443" {
				t.Errorf("%s, %s: %v", e.RemoteAddr, e.Port, e)
			}
			if scheme == "https" {
				must(t, trust.RemoveCertificate(proxies.Root.Cert))
				must(t, trust.Add("", pki.Root.Cert))
				_, err = (&http.Client{Transport: transport}).Get(site)
				if e := explained(t, err); e.Code != truststore.CodeUnknownIssuer || e.Port == "8443" {
					t.Errorf("the proxy is not trusted: %v", err)
				}
			}
		})
	}
}

// TestProxyErrors: what a proxy does instead of connecting is explained, and neither errors nor
// the Transport show the password, which a proxy can send back.
func TestProxyErrors(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	answer := func(s string) func(net.Conn) {
		return func(conn net.Conn) {
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, s)
		}
	}
	p := &testProxy{to: "127.0.0.1:1"}
	for _, c := range []struct {
		name, scheme, password string
		serve                  func(net.Conn)
		text                   string
	}{
		{"wrong password", "http", "wrong-" + proxySecret, p.http, "407 Proxy Authentication Required; to fix it, check the user and the password"},
		{"wrong password", "socks5", "wrong-" + proxySecret, p.socks, "by SOCKS"},
		{"none", "http", "", p.http, "set a user and a password in the URL of the proxy"},
		{"forbidden", "http", proxySecret, answer("HTTP/1.1 403 you are " + proxySecret + "\r\n\r\n"), "permit CONNECT"},
		{"not reached", "http", proxySecret, answer("HTTP/1.1 502 " + proxySecret + "\r\n\r\n"), "502 Bad Gateway"},
		{"no HTTP", "http", proxySecret, answer("220 " + proxySecret + "\r\n"), "does not answer as an HTTP proxy"},
		{"endless", "http", proxySecret, answer("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20)), "closed the connection without an answer"},
		{"TLS", "http", proxySecret, answer("\x15\x03\x01\x00\x02\x02\x16"), "https if it is spoken to over TLS"},
		{"hangs up", "http", proxySecret, func(net.Conn) {}, "closed the connection without an answer"},
		{"no TLS", "https", proxySecret, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			io.ReadFull(conn, make([]byte, 5))
		}, "does not speak TLS on this port"},
	} {
		address := testnet.Serve(t, c.serve)
		at := &url.URL{Scheme: c.scheme, Host: address}
		if c.password != "" {
			at.User = url.UserPassword("me", c.password)
		}
		transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}.Transport(&http.Transport{Proxy: http.ProxyURL(at)})
		must(t, err)
		_, err = transport.RoundTrip(httptest.NewRequest(http.MethodGet, "https://server.example/", nil))
		e := explained(t, err)
		t.Log(e)
		if c.scheme != "https" && e.Code != tlsctx.CodeProxy || !strings.Contains(e.Error(), c.text) || e.RemoteAddr != address && c.name != "no TLS" {
			t.Errorf("%s: %s: %v", c.name, e.Code, e)
		}
		for _, text := range []string{e.Error(), fmt.Sprintf("%+v %s %#v", err, err, err), fmt.Sprintf("%+v %#v", transport, transport)} {
			if strings.Contains(text, proxySecret) || strings.Contains(text, "bWU6") {
				t.Errorf("%s: the password is in %.300s", c.name, text)
			}
		}
		for inner := err; inner != nil; inner = errors.Unwrap(inner) {
			if strings.Contains(inner.Error(), proxySecret) {
				t.Errorf("%s: the password is in %v", c.name, inner)
			}
		}
	}
	transport, err := tlsctx.Builder{Trusted: store(pki.Root)}.Transport(&http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "ftp", Host: "127.0.0.1:1"})})
	must(t, err)
	if _, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, "https://server.example/", nil)); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// TestProxyContext: a proxy that never answers costs no more than the context grants. As with every
// http.Transport, dialling goes on for a while, for the next request.
func TestProxyContext(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, scheme := range []string{"http", "https", "socks5"} {
		asked := make(chan struct{})
		address := testnet.Serve(t, func(conn net.Conn) {
			conn.Read(make([]byte, 1))
			close(asked)
			io.Copy(io.Discard, conn)
		})
		transport, err := tlsctx.Builder{Trusted: store(pki.Root)}.Transport(&http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: address})})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := transport.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "https://server.example/", nil))
			result <- err
		}()
		<-asked
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// TestProxyLeadsNowhere: a server behind a proxy that says nothing costs no more than
// TLSHandshakeTimeout.
func TestProxyLeadsNowhere(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	address := testnet.Serve(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(io.Discard, conn)
	})
	transport, err := tlsctx.Builder{Trusted: store(pki.Root)}.Transport(&http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address}), TLSHandshakeTimeout: 20 * time.Millisecond,
	})
	must(t, err)
	_, err = transport.RoundTrip(httptest.NewRequest(http.MethodGet, "https://server.example/", nil))
	if e := explained(t, err); e.Code != tlsctx.CodeTimeout || e.ServerName != "server.example" {
		t.Errorf("%s: %v", e.Code, e)
	}
}

// TestTransportPlainThroughProxy: http URLs go through the proxy as ever.
func TestTransportPlainThroughProxy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.String()) }))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	must(t, err)
	transport, err := tlsctx.Builder{Trusted: store(pki.Root)}.Transport(&http.Transport{Proxy: http.ProxyURL(at)})
	must(t, err)
	defer transport.CloseIdleConnections()
	if got := fetch(t, transport, "http://server.example/x"); got != "http://server.example/x" {
		t.Errorf("%s", got)
	}
}
