package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// spelledOtherwise are addresses that lead where the pattern says, in another spelling.
var spelledOtherwise = map[string][]string{
	"xn--bcher-kva.example:443":    {"b\u00fccher.example:443", "B\u00dcCHER.example.:443", "XN--BCHER-KVA.example:443"},
	"a.example:443":                {"A.EXAMPLE.:443", "a.example:https", "a.example:0443"},
	"a.example:https":              {"a.example:443"},
	"a.example:0443":               {"a.example:443"},
	"[2001:DB8:0:0::1]:443":        {"[2001:db8::1]:443", "[2001:db8:0:0:0:0:0:1]:443"},
	"2001:db8:0::1":                {"[2001:db8::1]:443"},
	"B\u00fccher\u3002example:443": {"xn--bcher-kva.example:443"},
	"*.\u00e4.example":             {"b\u00fccher.xn--4ca.example:443"},
	"192.0.2.1":                    {"192.0.2.1:443", "[::ffff:192.0.2.1]:443", "[::ffff:c000:201]:443"},
	"::ffff:192.0.2.1":             {"192.0.2.1:443"},
	"fe80::1%eth0":                 {"[fe80:0::1%eth0]:443"},
}

// A destination has one policy and one identity, however its address is spelled.
func TestDestinationsAndRoutesInAnySpelling(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	var errReached = errors.New("reached")
	for pattern, addresses := range spelledOtherwise {
		destinations := &tlsctx.Destinations{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errReached }}
		must(t, destinations.Set("*", tlsctx.Builder{Trusted: store(pki.Root), NextProtos: []string{"other"}}))
		must(t, destinations.Set(pattern, tlsctx.Builder{Trusted: store(pki.Root), NextProtos: []string{"right"}}))
		alone := &tlsctx.Destinations{Dial: destinations.Dial}
		must(t, alone.Set(pattern, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}))
		routes := new(tlsctx.Routes)
		must(t, routes.Set(pattern, identity(pki.Client("right"))))
		routed := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes, Identity: identity(pki.Client("other"))}
		for _, address := range append(addresses, addresses[0]) {
			if b, err := destinations.For(address); err != nil || b.NextProtos[0] != "right" {
				t.Errorf("%s: For(%s) is %v, %v", pattern, address, b.NextProtos, err)
			}
			if _, err := alone.DialContext(t.Context(), "tcp", address); !errors.Is(err, errReached) {
				t.Errorf("%s: DialContext(%s): %v", pattern, address, err)
			}
			c, err := mustClient(t, routed.For(address)).GetClientCertificate(&tls.CertificateRequestInfo{})
			if err != nil || c.Leaf.Subject.CommonName != "right" {
				t.Errorf("%s: route for %s: %v", pattern, address, err)
			}
		}
		must(t, destinations.Remove(pattern))
	}
}

// The Dialer presents the identity of the route in any spelling too.
func TestDialerRoutesInAnySpelling(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("2001:db8::1")), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	routes := new(tlsctx.Routes)
	must(t, routes.Set("[2001:DB8:0::1]:0443", identity(pki.Client("right"))))
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes, Identity: identity(pki.Client("other"))})
	for _, address := range []string{"[2001:db8::1]:443", "[2001:db8:0:0::1]:https"} {
		if _, err := e.dial(t, d, address); err != nil || e.last.Load().PeerCertificates[0].Subject.CommonName != "right" {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What is no destination is no pattern, and For says so instead of taking what "*" has.
func TestNoDestination(t *testing.T) {
	routes, destinations := new(tlsctx.Routes), new(tlsctx.Destinations)
	must(t, destinations.Set("*", tlsctx.Builder{}))
	for _, bad := range []string{"a.example:65536", "a.example:-1", "a.example:+443", "a:b:c", "1:2:3", "[a.example]:443", "a.example:44 3", "[fe80::1%]:443"} {
		if err := routes.Set(bad, nil); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("route %s: %v", bad, err)
		}
		if err := destinations.Set(bad, tlsctx.Builder{}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("destination %s: %v", bad, err)
		}
		if _, err := destinations.For(bad); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("For(%s): %v", bad, err)
		}
	}
}

// A client cannot reach a pattern with a port by asking for a name that looks like one.
func TestServerNameIsNoPattern(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	routes, destinations := new(tlsctx.Routes), new(tlsctx.Destinations)
	b := tlsctx.Builder{Identity: identity(pki.Server("right.example")), Clock: pki.Now}
	for _, pattern := range []string{"a.example:8443", "*.b.example:8443", "*.c.example"} {
		must(t, routes.Set(pattern, identity(pki.Server("wrong.example"))))
		wrong := b
		wrong.Identity = identity(pki.Server("wrong.example"))
		must(t, destinations.Set(pattern, wrong))
	}
	must(t, destinations.Set("*", b))
	b.Routes = routes
	for what, cfg := range map[string]*tls.Config{"Routes": mustServer(t, b), "Destinations": destinations.Server()} {
		for _, name := range []string{"a.example:8443", "[a.example]:8443", "x.b.example:8443", "*.b.example:8443", "*.c.example", ".c.example"} {
			chosen, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{ServerName: name})
			if err != nil || chosen.Certificates[0].Leaf.Subject.CommonName != "right.example" {
				t.Errorf("%s: %q is answered by a pattern, %v", what, name, err)
			}
		}
	}
}
