package tlsctx_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestRoutes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ids := map[string]trustkeep.Identity{}
	routes := new(tlsctx.Routes)
	for _, p := range []string{"*.example", "*.example:8443", "Host.Example.", "host.example:8443", "[::1]:8443", "192.0.2.1"} {
		ids[p] = identity(pki.Client(p))
		if err := routes.Set(p, ids[p]); err != nil {
			t.Fatal(err)
		}
	}
	if got := routes.Patterns(); !slices.Equal(got, []string{"*.example", "*.example:8443", "192.0.2.1", "[::1]:8443", "host.example", "host.example:8443"}) {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "*", "*.", "*.*.example", "a*.example", "host:", "host:*", "a b", "b\u2100cher.example", "a.example\x00"} {
		if err := routes.Set(bad, nil); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := routes.Set("x.example", (*swap)(nil)); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if err := routes.Remove("nobody.example"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := (tlsctx.Builder{Trusted: store(pki.Root), Routes: routes}).Client(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("Client with routes and no name: %v", err)
	}
}

func TestServerRoutes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	a, b, wild, fallback := pki.Server("a.example"), pki.Server("b.example"), pki.Server("*.wild.example"), pki.Server("fallback.example")
	routes := new(tlsctx.Routes)
	set := func(pattern string, id *testpki.Identity) {
		t.Helper()
		if err := routes.Set(pattern, identity(id)); err != nil {
			t.Fatal(err)
		}
	}
	set("a.example", a)
	set("*.wild.example", wild)
	client := func(name string) *tls.Config {
		return mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: name, Clock: pki.Now})
	}
	presented := func(t *testing.T, server *tls.Config, name string, want *testpki.Identity) {
		t.Helper()
		if o := accept(t, client(name), server, false); !o.client.PeerCertificates[0].Equal(want.Cert) || len(o.client.PeerCertificates) != 2 {
			t.Errorf("%s: %s", name, o.client.PeerCertificates[0].Subject)
		}
	}
	server := mustServer(t, tlsctx.Builder{Identity: identity(fallback), Routes: routes, Clock: pki.Now})
	presented(t, server, "a.example", a)
	presented(t, server, "x.wild.example", wild)
	presented(t, server, "fallback.example", fallback)
	refuse(t, client("b.example"), server)
	set("b.example", b) // while it runs
	presented(t, server, "b.example", b)
	if err := routes.Remove("a.example"); err != nil {
		t.Fatal(err)
	}
	refuse(t, client("a.example"), server)

	// Without an identity for the rest, other names are refused.
	strict := mustServer(t, tlsctx.Builder{Routes: routes, Clock: pki.Now})
	presented(t, strict, "b.example", b)
	refuse(t, client("fallback.example"), strict)

	// A session of one name is not resumed as another.
	both := client("")
	both.ServerName = "b.example"
	accept(t, both, server, false)
	accept(t, both, server, true)
}

// Each of many routes keeps its sessions, until it ends.
func TestServerRoutesKeepSessions(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	routes := new(tlsctx.Routes)
	id := identity(pki.Server("*.example"))
	const n = 300
	name := func(i int) string { return fmt.Sprintf("h%d.example", i) }
	for i := range n {
		must(t, routes.Set(name(i), id))
	}
	server := mustServer(t, tlsctx.Builder{Routes: routes, Clock: pki.Now})
	var clients []*tls.Config
	for i := range n {
		clients = append(clients, mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: name(i), Clock: pki.Now}))
		accept(t, clients[i], server, false)
	}
	must(t, routes.Set(name(1), id))
	for i, resumed := range []bool{true, false, true} {
		accept(t, clients[i], server, resumed)
	}
}

func TestExplainNamesPolicyAndRoute(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	routes := new(tlsctx.Routes)
	if err := routes.Set("*.example:8443", identity(pki.Client("for 8443"))); err != nil {
		t.Fatal(err)
	}
	b := tlsctx.Builder{
		Trusted: store(pki.Root), Identity: identity(pki.Client("fallback")), Routes: routes, Clock: pki.Now,
		Allow: truststore.JavaHTTPS(), Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}, Revocation: new(revoker), Authorize: only("x"),
	}
	for destination, want := range map[string]string{"a.example:8443": "route *.example:8443", "a.example:443": "no route fits", "a.example": "no route fits"} {
		e := b.For(destination).Explain()
		if e.Identity == nil || !strings.Contains(e.Identity.Why, want) || strings.Contains(e.Identity.Subject, "8443") != strings.Contains(want, "8443") || len(e.Errors) > 0 {
			t.Errorf("%s: %+v, %v", destination, e.Identity, e.Errors)
		}
		for _, line := range []string{"routes: *.example:8443", "[expired expired-anchor common-name any-usage]", "pins: [sha256/", "revocation: asked", "authorization: asked"} {
			if !strings.Contains(e.String(), line) {
				t.Errorf("no %q in %s", line, e)
			}
		}
		data, err := json.Marshal(e)
		if err != nil || !strings.Contains(string(data), `"allow":["expired","expired-anchor","common-name","any-usage"],"pins":["sha256/`) {
			t.Errorf("%s, %v", data, err)
		}
	}
}
