package tlsctx_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// upgrading answers requests for the protocol "echo" by switching to it, and others by their
// protocol.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "echo" {
		io.WriteString(w, r.Proto)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	rw.Flush()
	line, err := rw.ReadString('\n')
	if err == nil {
		io.WriteString(conn, line)
	}
}

// TestTransportUpgrade: a request with Upgrade, as WebSocket and reverse proxies send it, goes
// over HTTP/1.1 although the server speaks HTTP/2, and all others go over HTTP/2.
func TestTransportUpgrade(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := newSite(t, pki, true, http.HandlerFunc(upgrading))
	for name, protos := range map[string][]string{"default": nil, "HTTP/2 first": {"h2", "http/1.1"}, "HTTP/2 alone": {"h2"}} {
		transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, NextProtos: protos}.Transport(nil)
		must(t, err)
		defer transport.CloseIdleConnections()
		if got := fetch(t, transport, s.URL); got != "HTTP/2.0" {
			t.Errorf("%s: %s", name, got)
		}
		request, err := http.NewRequest(http.MethodGet, s.URL, nil)
		must(t, err)
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "echo")
		r, err := transport.RoundTrip(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stream, ok := r.Body.(io.ReadWriteCloser)
		if r.StatusCode != http.StatusSwitchingProtocols || !ok {
			t.Fatalf("%s: %s, %T", name, r.Status, r.Body)
		}
		io.WriteString(stream, "hello\n")
		if line, err := bufio.NewReader(stream).ReadString('\n'); line != "hello\n" {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		stream.Close()
		if got := fetch(t, transport, s.URL); got != "HTTP/2.0" {
			t.Errorf("%s: afterwards: %s", name, got)
		}
	}
}

// TestReverseProxyUpgrade: httputil.ReverseProxy passes an Upgrade through Transport.
func TestReverseProxyUpgrade(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := newSite(t, pki, true, http.HandlerFunc(upgrading))
	transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}.Transport(nil)
	must(t, err)
	defer transport.CloseIdleConnections()
	at, err := url.Parse(s.URL)
	must(t, err)
	front := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, ErrorLog: quiet(), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(at) }})
	defer front.Close()
	request, err := http.NewRequest(http.MethodGet, front.URL, nil)
	must(t, err)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "echo")
	r, err := front.Client().Transport.RoundTrip(request)
	must(t, err)
	defer r.Body.Close()
	stream, ok := r.Body.(io.ReadWriteCloser)
	if r.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("%s, %T", r.Status, r.Body)
	}
	io.WriteString(stream, "hello\n")
	if line, err := bufio.NewReader(stream).ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}
