package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// site is an HTTPS server that answers with the name of the client, and counts
// connections.
type site struct {
	*httptest.Server
	connections atomic.Int64
}

func newSite(t *testing.T, pki *testpki.PKI, http2 bool, handler http.Handler) *site {
	t.Helper()
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, c := range r.TLS.PeerCertificates {
				io.WriteString(w, c.Subject.CommonName+";")
			}
		})
	}
	s := &site{Server: httptest.NewUnstartedServer(handler)}
	s.EnableHTTP2 = http2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server("127.0.0.1").TLSCertificate()}, ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = quiet()
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// counted is an identity that counts how often it is asked.
type counted struct {
	swap
	asked atomic.Int64
}

func (c *counted) TLSCertificate() (*tls.Certificate, error) {
	c.asked.Add(1)
	return c.swap.TLSCertificate()
}

// cutChain presents the certificate without its issuers.
func (c *counted) cutChain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	short := *c.cert
	short.Certificate = short.Certificate[:1]
	c.cert = &short
}

func fetch(t *testing.T, transport http.RoundTripper, url string) string {
	t.Helper()
	r, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Requests go over connections with the identity of now, whether the routes have changed
// or what they lead to, and ask for that one identity alone.
func TestTransportFollowsRoutes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := newSite(t, pki, true, nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	routes := new(tlsctx.Routes)
	elsewhere := new(counted)
	elsewhere.set(pki.Client("elsewhere"), nil)
	for i := range 300 {
		must(t, routes.Set("host"+strconv.Itoa(i)+".example", elsewhere))
	}
	here := new(counted)
	one := pki.Client("one")
	here.set(one, nil)
	must(t, routes.Set("127.0.0.1:"+port, here))
	transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes}.Transport(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	step := func(what, want string, connections int64) {
		t.Helper()
		before := s.connections.Load()
		for range 3 {
			if got := fetch(t, transport, s.URL); got != want {
				t.Errorf("%s: presented %q, want %q", what, got, want)
			}
		}
		if n := s.connections.Load() - before; n != connections {
			t.Errorf("%s: %d connections, want %d", what, n, connections)
		}
	}
	step("at first", "one;Test Intermediate CA;", 1)
	here.set(one, nil)
	step("the same again", "one;Test Intermediate CA;", 0)
	here.cutChain()
	step("the chain is another", "one;", 1)
	here.set(pki.Client("two"), nil)
	step("the certificate is another", "two;Test Intermediate CA;", 1)
	must(t, routes.Set("127.0.0.1:"+port, identity(pki.Client("three"))))
	step("the route is another", "three;Test Intermediate CA;", 1)
	must(t, routes.Remove("127.0.0.1:"+port))
	step("no route", "", 1)
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("the identities of other routes were asked for %d times", n)
	}
}

// Recheck ends connections without a request, those that are idle and those that wait
// for an answer, and no others.
func TestTransportRecheck(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, http2 := range []bool{false, true} {
		trust := store(pki.Root, other.Root)
		transport, err := tlsctx.Builder{Trusted: trust, Clock: pki.Now}.Transport(nil)
		if err != nil {
			t.Fatal(err)
		}
		waiting, release := make(chan struct{}), make(chan struct{})
		slow := newSite(t, pki, http2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(waiting)
			<-release
		}))
		idle, stays := newSite(t, pki, http2, nil), newSite(t, other, http2, nil)
		fetch(t, transport, idle.URL)
		fetch(t, transport, stays.URL)
		answer := make(chan error, 1)
		go func() {
			r, err := (&http.Client{Transport: transport}).Get(slow.URL)
			if err == nil {
				r.Body.Close()
			}
			answer <- err
		}()
		<-waiting
		if n := transport.Recheck(); n != 0 {
			t.Errorf("%d were closed although nothing has changed", n)
		}
		must(t, trust.RemoveCertificate(pki.Root.Cert))
		if n := transport.Recheck(); n != 2 {
			t.Errorf("HTTP/2 %v: %d were closed, want 2", http2, n)
		}
		if err := <-answer; err == nil {
			t.Error("an answer came over a connection that is no longer trusted")
		}
		close(release)
		fetch(t, transport, stays.URL)
		transport.CloseIdleConnections()
	}
}

func TestTransportFollowsTrust(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", http2), func(t *testing.T) {
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
			server.EnableHTTP2 = http2
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server("127.0.0.1").TLSCertificate()}}
			server.Config.ErrorLog = quiet()
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()
			trust := store(pki.Root)
			transport, err := tlsctx.Builder{Trusted: trust, Clock: pki.Now}.Transport(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: transport}
			get := func() (string, error) {
				r, err := client.Get(server.URL)
				if err != nil {
					return "", err
				}
				defer r.Body.Close()
				body, err := io.ReadAll(r.Body)
				return string(body), err
			}
			want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
			for range 3 {
				if got, err := get(); err != nil || got != want {
					t.Fatalf("%s, %v", got, err)
				}
			}
			if connections.Load() != 1 {
				t.Errorf("%d connections", connections.Load())
			}
			if err := trust.Add("", other.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if err := trust.RemoveCertificate(pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if got, err := get(); err == nil {
				t.Errorf("%s over a connection that is no longer trusted", got)
			}
			if err := trust.Add("", pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if _, err := get(); err != nil {
				t.Error(err)
			}
			client.CloseIdleConnections()
		})
	}
}

// The proof case through a proxy, where http.Transport makes the handshake: the server
// runs A, A is among the system's roots or deployed, the connection's own is B.
func TestTransportThroughProxy(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server("server.example").TLSCertificate()}}
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	var tunnels atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
			return
		}
		tunnels.Add(1)
		tunnel(t, server.Listener.Addr().String()).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	get := func(b tlsctx.Builder, address string) (string, error) {
		t.Helper()
		b.Clock = pki.Now
		transport, err := b.Transport(&http.Transport{Proxy: http.ProxyURL(at)})
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get(address)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return string(body), err
	}
	const address = "https://server.example/"
	if got, err := get(tlsctx.Builder{Trusted: store(pki.Root)}, address); err != nil || got != "HTTP/2.0" {
		t.Errorf("A: %q, %v", got, err)
	}
	if got, err := get(tlsctx.Builder{Trusted: store(pki.Root), NextProtos: []string{"http/1.1"}}, address); err != nil || got != "HTTP/1.1" {
		t.Errorf("A: %q, %v", got, err)
	}
	for name, b := range map[string]tlsctx.Builder{
		"A deployed, B its own": {Global: store(pki.Root), Trusted: store(other.Root)},
		"another pinned":        {Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(other.Root.Cert)}},
		"not authorized":        {Trusted: store(pki.Root), Authorize: func(_ context.Context, _ tlsctx.Peer) error { return errors.New("no") }},
	} {
		if got, err := get(b, address); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, err := get(tlsctx.Builder{Trusted: store(pki.Root)}, "https://elsewhere.example/"); err == nil {
		t.Errorf("another name: %q", got)
	}
	if tunnels.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
}
