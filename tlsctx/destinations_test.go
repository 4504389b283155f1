package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// Each destination is reached with an identity and trust of its own.
func TestDestinationsOfClients(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	newServer := func(pki *testpki.PKI) *echo {
		return newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("*.example", "host.test")), Clock: a.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	}
	ofA, ofB := newServer(a), newServer(b)
	trustB := store(b.Root)
	builderA := tlsctx.Builder{Trusted: store(a.Root), Identity: identity(a.Client("me at A")), Clock: a.Now}
	builderB := tlsctx.Builder{Trusted: trustB, Identity: identity(b.Client("me at B")), Clock: a.Now}
	var reached *echo
	dialled := 0
	destinations := &tlsctx.Destinations{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialled++
		return new(net.Dialer).DialContext(ctx, network, reached.address)
	}}
	dial := func(e *echo, at string) (*tls.ConnectionState, error) {
		t.Helper()
		reached = e
		conn, err := destinations.DialContext(t.Context(), "tcp", at)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		s := conn.(*tls.Conn).ConnectionState()
		return &s, nil
	}
	reaches := func(e *echo, at, as string, resumed bool) {
		t.Helper()
		if s, err := dial(e, at); err != nil || s.DidResume != resumed || e.last.Load().PeerCertificates[0].Subject.CommonName != as {
			t.Errorf("%s: %+v, %v", at, s, err)
		}
	}
	fails := func(e *echo, at string) {
		t.Helper()
		if _, err := dial(e, at); err == nil {
			t.Errorf("%s: accepted", at)
		}
	}

	if _, err := dial(ofA, "a.example:443"); !errors.Is(err, trustkeep.ErrNotFound) || dialled != 0 {
		t.Errorf("no destination: %v, dialled %d times", err, dialled)
	}
	must(t, destinations.Set("A.example:8443", builderA))
	must(t, destinations.Set("*.example", builderB))
	if got := destinations.Patterns(); !slices.Equal(got, []string{"*.example", "a.example:8443"}) {
		t.Errorf("%q", got)
	}
	reaches(ofA, "a.example:8443", "me at A", false)
	reaches(ofB, "a.example:443", "me at B", false)
	reaches(ofB, "b.example:8443", "me at B", false)
	fails(ofB, "a.example:8443")
	fails(ofA, "a.example:443")
	reaches(ofA, "a.example:8443", "me at A", false) // the session went with the failure
	reaches(ofA, "a.example:8443", "me at A", true)
	if _, err := dial(ofA, "host.test:443"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, destinations.Set("*", builderA))
	reaches(ofA, "host.test:443", "me at A", false)

	// Changes: of a profile, of its trust, and its end.
	must(t, destinations.Set("a.example:8443", builderA))
	reaches(ofA, "a.example:8443", "me at A", false)
	must(t, trustB.Add("", a.Root.Cert))
	must(t, trustB.RemoveCertificate(b.Root.Cert))
	fails(ofB, "b.example:8443")
	must(t, destinations.Remove("a.example:8443"))
	fails(ofB, "a.example:8443")
	if err := destinations.Remove("a.example:8443"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "**", "a*.example", "*:443"} {
		if err := destinations.Set(bad, builderA); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}

	// A Builder that is of no use fails when it is used, and only there.
	must(t, destinations.Set("broken.example", tlsctx.Builder{Trusted: store()}))
	if _, err := dial(ofB, "broken.example:443"); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("%v", err)
	}
	if got, err := destinations.For("x.example:443"); err != nil || got.Trusted != builderB.Trusted {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDestinationsOfHTTP(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	ofA, ofB := newSite(t, a, true, nil), newSite(t, b, true, nil)
	destinations := new(tlsctx.Destinations)
	set := func(s *site, trusted *testpki.PKI, name string) {
		t.Helper()
		must(t, destinations.Set(s.Listener.Addr().String(), tlsctx.Builder{Trusted: store(trusted.Root), Identity: identity(trusted.Client(name)), Clock: a.Now}))
	}
	set(ofA, a, "me at A")
	set(ofB, b, "me at B")
	transport := destinations.Transport(&http.Transport{MaxIdleConns: 4})
	for range 2 {
		for s, want := range map[*site]string{ofA: "me at A;", ofB: "me at B;"} {
			if got := fetch(t, transport, s.URL); !strings.HasPrefix(got, want) || s.connections.Load() != 1 {
				t.Errorf("%q over %d connections, want %q", got, s.connections.Load(), want)
			}
		}
	}
	set(ofA, a, "another me")
	if got := fetch(t, transport, ofA.URL); !strings.HasPrefix(got, "another me;") {
		t.Errorf("%q", got)
	}
	set(ofA, b, "me at B")
	client := &http.Client{Transport: transport}
	if r, err := client.Get(ofA.URL); err == nil {
		r.Body.Close()
		t.Error("accepted under the trust of another destination")
	}
	must(t, destinations.Remove(ofA.Listener.Addr().String()))
	if r, err := client.Post(ofA.URL, "text/plain", strings.NewReader("x")); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v, %v", r, err)
	}
	client.CloseIdleConnections()
}

// A server presents an identity and trusts clients by the name that it is asked for.
func TestDestinationsOfServers(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	destinations := new(tlsctx.Destinations)
	must(t, destinations.Set("a.example", tlsctx.Builder{Identity: identity(a.Server("a.example")), ClientAuth: tlsctx.RequireClientAuth, Trusted: store(a.Root), Clock: a.Now}))
	must(t, destinations.Set("b.example", tlsctx.Builder{Identity: identity(b.Server("b.example")), ClientAuth: tlsctx.RequireClientAuth, Trusted: store(b.Root), Clock: a.Now}))
	server := destinations.Server()
	client := func(pki, own *testpki.PKI, name string) *tls.Config {
		return mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(own.Client("me")), ServerName: name, Clock: a.Now})
	}
	for _, version := range versions {
		ca := client(a, a, "a.example")
		ca.MaxVersion = version
		accept(t, ca, server, false)
		accept(t, ca, server, true)
	}
	accept(t, client(b, b, "b.example"), server, false)
	refuse(t, client(a, b, "a.example"), server)
	refuse(t, client(b, a, "b.example"), server)

	cb := tlsctx.Builder{Trusted: store(a.Root), ServerName: "c.example", Clock: a.Now}
	if e := explained(t, cb.ExplainError(refuse(t, mustClient(t, cb), server).clientErr)); e.Code != tlsctx.CodeUnknownName {
		t.Errorf("%v", e)
	}
	must(t, destinations.Set("*", tlsctx.Builder{Identity: identity(a.Server("c.example")), Clock: a.Now}))
	accept(t, mustClient(t, cb), server, false)
	must(t, destinations.Set("*", tlsctx.Builder{}))
	o := refuse(t, mustClient(t, cb), server)
	if e := explained(t, cb.ExplainServerError(o.serverErr)); e.Code != tlsctx.CodeSetup {
		t.Errorf("%v", e)
	}
}
