package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// An error of crypto/tls is explained under the whole policy of the Builder, pins and
// relaxations included.
func TestExplainErrorUnderPolicy(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	expired, good := pki.Expired(host), pki.Server(host)
	for _, c := range []struct {
		name   string
		server *testpki.Identity
		roots  []*testpki.Identity // of crypto/tls
		b      tlsctx.Builder
		code   trustkeep.Code
	}{
		{"nothing allowed", expired, []*testpki.Identity{expired}, tlsctx.Builder{Trusted: store(expired)}, "expired"},
		{"what is wrong is allowed", expired, []*testpki.Identity{expired}, tlsctx.Builder{Trusted: store(expired), Allow: truststore.JavaHTTPS()}, tlsctx.CodeChanged},
		{"the pin is another", good, []*testpki.Identity{other.Root}, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(other.Root.Cert)}}, "pin-mismatch"},
		{"the pin fits, the trust does not", good, []*testpki.Identity{other.Root}, tlsctx.Builder{Trusted: store(other.Root), Pins: []truststore.Pin{truststore.PinKey(good.Cert)}}, "unknown-issuer"},
	} {
		pool := x509.NewCertPool()
		for _, r := range c.roots {
			pool.AddCert(r.Cert)
		}
		plain := &tls.Config{RootCAs: pool, ServerName: host, Time: pki.Now}
		c.b.ServerName, c.b.Clock = host, pki.Now
		o := refuse(t, plain, mustServer(t, tlsctx.Builder{Identity: identity(c.server), Clock: pki.Now}))
		e := explained(t, c.b.ExplainError(o.clientErr))
		if e.Code != c.code {
			t.Errorf("%s: %s: %v", c.name, e.Code, e)
		}
		if p := e.Peer(); len(p) != 2 || p[0].SHA256 != trustkeep.DescribeCertificate(c.server.Cert).SHA256 {
			t.Errorf("%s: the peer is %+v", c.name, p)
		}
	}
}

// The identity of an explanation is the one that was presented, whichever route chose it.
func TestExplainErrorNamesTheRoutedIdentity(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	routes := new(tlsctx.Routes)
	must(t, routes.Set("server.example:8443", identity(other.Client("for 8443"))))
	must(t, routes.Set("none.example", nil))
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host, "none.example")), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)})
	for _, version := range versions {
		b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(other.Client("fallback")), Routes: routes, MaxVersion: version}
		e := newEcho(t, server)
		d := mustDialer(t, b)
		for at, want := range map[string]string{"server.example:8443": "for 8443", "server.example:443": "fallback", "none.example:443": ""} {
			_, err := e.dial(t, d, at)
			if err == nil {
				t.Fatal("accepted")
			}
			why := explained(t, b.For(at).ExplainError(err)) // with TLS 1.3, the server objects later
			if want == "" {
				if why.Identity != nil || why.Code != tlsctx.CodeIdentityRequired && version == tls.VersionTLS13 {
					t.Errorf("%s: %s: %+v: %v", at, why.Code, why.Identity, why)
				}
				continue
			}
			if why.Identity == nil || !strings.Contains(why.Identity.Subject, want) || why.Code != tlsctx.CodeIdentityRefused || !strings.Contains(why.Error(), want) {
				t.Errorf("%s: %s: %+v: %v", at, why.Code, why.Identity, why)
				continue
			}
			if chosen := strings.Contains(why.Identity.Why, "the route server.example:8443"); chosen != (want == "for 8443") {
				t.Errorf("%s: %s", at, why.Identity.Why)
			}
		}
		// Without a destination, nobody knows which it was, and nobody says so.
		_, err := e.dial(t, d, "server.example:8443")
		if version == tls.VersionTLS13 {
			if why := explained(t, b.ExplainError(err)); why.Identity != nil || why.Code != tlsctx.CodeIdentityRefused || strings.Contains(why.Error(), "fallback") || strings.Contains(why.Error(), "no identity") {
				t.Errorf("%s: %+v: %v", why.Code, why.Identity, why)
			}
		}
	}
}

// http.Client's errors have the destination in them.
func TestExplainErrorHTTPRoute(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	s := newSite(t, pki, false, nil)
	s.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	s.TLS.ClientCAs = pki.Roots()
	routes := new(tlsctx.Routes)
	must(t, routes.Set(s.Listener.Addr().String(), identity(other.Client("routed"))))
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("fallback")), Routes: routes}
	transport, err := b.Transport(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get(s.URL)
	if err == nil {
		r.Body.Close()
		t.Fatal("accepted")
	}
	if e := explained(t, b.ExplainError(err)); e.Identity == nil || !strings.Contains(e.Identity.Subject, "routed") {
		t.Errorf("%+v: %v", e.Identity, e)
	}
}

// On servers, the name that the client asked for says which identity it was shown.
func TestExplainServerErrorOfARoute(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	routes := new(tlsctx.Routes)
	must(t, routes.Set(host, identity(other.Server(host))))
	b := tlsctx.Builder{Identity: identity(pki.Server("fallback.example")), Routes: routes, Clock: pki.Now}
	o := refuse(t, mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now}), mustServer(t, b))
	e := explained(t, b.For(host).ExplainServerError(o.serverErr))
	if e.Code != tlsctx.CodeIdentityRefused || e.Identity == nil || !strings.Contains(e.Identity.Subject, host) || e.ServerName != host || !e.Server {
		t.Errorf("%s, %+v: %v", e.Code, e.Identity, e)
	}
	if e := explained(t, b.ExplainServerError(o.serverErr)); e.Identity != nil || strings.Contains(e.Error(), "fallback") {
		t.Errorf("%+v: %v", e.Identity, e)
	}

	// A name that nobody serves.
	strict := tlsctx.Builder{Routes: routes, Clock: pki.Now}
	for _, version := range versions {
		cb := tlsctx.Builder{Trusted: store(pki.Root), ServerName: "nobody.example", Clock: pki.Now, MaxVersion: version}
		o = refuse(t, mustClient(t, cb), mustServer(t, strict))
		if e := explained(t, strict.For("nobody.example").ExplainServerError(o.serverErr)); e.Code != tlsctx.CodeUnknownName || !strings.Contains(e.Error(), "nobody.example") {
			t.Errorf("%s: %v", e.Code, e)
		}
		if e := explained(t, cb.ExplainError(o.clientErr)); e.Code != tlsctx.CodeUnknownName {
			t.Errorf("%s: %v", e.Code, e)
		}
	}
}

// The explanations of servers show the client's certificate: refused, not authorized,
// and in every form.
func TestExplainServerErrorShowsTheClient(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	stranger, known := other.Client("stranger"), pki.Client("known")
	for _, version := range versions {
		for _, c := range []struct {
			client *testpki.Identity
			b      tlsctx.Builder
			code   trustkeep.Code
		}{
			{stranger, tlsctx.Builder{}, "unknown-issuer"},
			{stranger, tlsctx.Builder{ConcealCAs: true}, "unknown-issuer"},
			{known, tlsctx.Builder{Authorize: only("somebody else")}, tlsctx.CodeNotAuthorized},
			{known, tlsctx.Builder{Authorize: func(_ context.Context, p tlsctx.Peer) error { // who asks other trust
				_, err := store(other.Root).Verify(p.Certificates, truststore.VerifyOptions{Purpose: truststore.Client, Time: pki.Now()})
				return err
			}}, tlsctx.CodeNotAuthorized},
			{known, tlsctx.Builder{Revocation: revokes(func(*x509.Certificate) bool { return true })}, "revoked"},
			{known, tlsctx.Builder{Pins: []truststore.Pin{truststore.PinCertificate(stranger.Cert)}}, "pin-mismatch"},
		} {
			b := c.b
			b.Trusted, b.Identity, b.ClientAuth, b.Clock, b.MaxVersion = store(pki.Root), identity(pki.Server(host)), tlsctx.RequireClientAuth, pki.Now, version
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(c.client), ServerName: host, Clock: pki.Now})
			o := connect(t, client, mustServer(t, b))
			if o.serverErr == nil {
				t.Fatal("accepted")
			}
			e := explained(t, b.For(host).ExplainServerError(o.serverErr))
			if p := e.Peer(); e.Code != c.code || len(p) != 2 || p[0].SHA256 != trustkeep.DescribeCertificate(c.client.Cert).SHA256 || !e.Server {
				t.Errorf("%s, want %s: %+v: %v", e.Code, c.code, p, e)
			}
			data, err := json.Marshal(e)
			if err != nil || !strings.Contains(string(data), trustkeep.DescribeCertificate(c.client.Cert).SHA256) {
				t.Errorf("%s, %v", data, err)
			}
			var line strings.Builder
			slog.New(slog.NewTextHandler(&line, nil)).Info("refused", "why", e)
			for _, want := range []string{"why.code=" + string(c.code), "why.peer.sha256=" + trustkeep.DescribeCertificate(c.client.Cert).SHA256, "why.server=true"} {
				if !strings.Contains(line.String(), want) {
					t.Errorf("no %q in %s", want, line.String())
				}
			}
		}
	}
}

// A server whose own sources fail says so.
func TestExplainServerErrorOfItsOwn(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := new(swap)
	id.set(pki.Server(host), nil)
	b := tlsctx.Builder{Identity: id, Clock: pki.Now}
	server := mustServer(t, b)
	gone := errors.New("the token is gone")
	id.set(nil, gone)
	o := refuse(t, mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now}), server)
	e := explained(t, b.ExplainServerError(o.serverErr))
	if e.Code != tlsctx.CodeSetup || !errors.Is(e, gone) || !strings.Contains(e.Error(), "the token is gone") {
		t.Errorf("%s: %v", e.Code, e)
	}

	trust := store(pki.Root)
	cb := tlsctx.Builder{Trusted: trust, ServerName: host, Clock: pki.Now}
	live := asLive["LiveClient"](t, cb)
	must(t, trust.RemoveCertificate(pki.Root.Cert))
	o = refuse(t, live, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	if e := explained(t, cb.ExplainError(o.clientErr)); e.Code != truststore.CodeEmptyStore || !errors.Is(e, trustkeep.ErrEmpty) || len(e.Chain) != 2 {
		t.Errorf("%s: %v", e.Code, e)
	}
}
