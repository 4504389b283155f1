package tlsctx_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
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
