package truststore_test

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func uris(texts ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, text := range texts {
			u, err := url.Parse(text)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

// A certificate without a DNS name is accepted by its URI, octet by octet, or by its
// SPIFFE trust domain, and by neither for any other.
func TestURINames(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	with := func(texts ...string) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: "workload", Edit: uris(texts...)})
	}
	const id = "spiffe://partner.example/pay/api"
	for _, c := range []struct {
		name        string
		peer        *testpki.Identity
		uri, domain string
		accept      bool
	}{
		{"exact", with(id), id, "", true},
		{"by domain", with(id), "", "partner.example", true},
		{"both", with(id), id, "partner.example", true},
		{"both, another domain", with(id), id, "other.example", false},
		{"both, another path", with(id), "spiffe://partner.example/pay", "partner.example", false},
		{"another path", with(id), "spiffe://partner.example/pay/ap", "", false},
		{"another case", with(id), "spiffe://partner.example/pay/API", "", false},
		{"the domain alone", with("spiffe://partner.example"), "spiffe://partner.example", "", true},
		{"the domain alone does not stand for its IDs", with(id), "spiffe://partner.example", "", false},
		{"a domain below", with("spiffe://x.partner.example/pay"), "", "partner.example", false},
		{"a domain above", with(id), "", "example", false},
		{"a prefix of the domain", with("spiffe://partner.example.evil.example/pay"), "", "partner.example", false},
		{"another scheme", with("https://partner.example/pay"), "", "partner.example", false},
		{"another scheme, exact", with("https://partner.example/pay"), "https://partner.example/pay", "", true},
		{"another scheme, one of two", with("urn:x:1", "https://partner.example/pay"), "https://partner.example/pay", "", true},
		{"a name of the scheme urn", with("urn:uuid:00000000-0000-0000-0000-000000000001"), "urn:uuid:00000000-0000-0000-0000-000000000001", "", true},
		{"two SPIFFE IDs", with(id, "spiffe://partner.example/other"), id, "", false},
		{"two SPIFFE IDs, by domain", with(id, "spiffe://partner.example/other"), "", "partner.example", false},
		{"a SPIFFE ID and another URI", with(id, "https://partner.example/"), id, "", false},
		{"a port", with("spiffe://partner.example:443/pay"), "", "partner.example", false},
		{"a user", with("spiffe://me@partner.example/pay"), "", "partner.example", false},
		{"a query", with(id + "?x"), "", "partner.example", false},
		{"a fragment", with(id + "#x"), "", "partner.example", false},
		{"an escape", with("spiffe://partner.example/p%61y"), "", "partner.example", false},
		{"a dot segment", with("spiffe://partner.example/pay/../admin"), "", "partner.example", false},
		{"an empty segment", with("spiffe://partner.example//pay"), "", "partner.example", false},
		{"a slash at the end", with("spiffe://partner.example/"), "", "partner.example", false},
		{"a large letter in the domain", with("spiffe://Partner.example/pay"), "", "partner.example", false},
		{"no URI", pki.Server("partner.example"), "", "partner.example", false},
		{"no URI, exact", pki.Server(host), "https://" + host, "", false},
	} {
		for name, store := range map[string]truststore.Source{
			"chain": truststore.New(pki.Root.Cert), "exact": truststore.New(c.peer.Cert), "pinned": truststore.Pinned(truststore.PinKey(c.peer.Cert)),
		} {
			s, err := store.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for _, purpose := range []truststore.Purpose{truststore.Server, truststore.Client} {
				o := truststore.VerifyOptions{Purpose: purpose, URI: c.uri, TrustDomain: c.domain, Time: pki.Now()}
				o.Allow = []truststore.Relaxation{truststore.AllowExpired, truststore.AllowCommonName}
				_, err := s.Verify(c.peer.Chain, o)
				if (err == nil) != c.accept {
					t.Errorf("%s, %s, %s: %v", c.name, name, purpose, err)
				}
				if err != nil && name != "pinned" && code(err) != truststore.CodeNameMismatch {
					t.Errorf("%s, %s, %s: code %q: %v", c.name, name, purpose, code(err), err)
				}
			}
		}
	}
	// A name besides has to fit as well.
	both := pki.Issue(testpki.Request{Names: []string{host}, Edit: uris(id)})
	store := truststore.New(pki.Root.Cert)
	for _, name := range []string{host, "other.example"} {
		_, err := store.Verify(both.Chain, truststore.VerifyOptions{Name: name, URI: id, Time: pki.Now()})
		if (err == nil) != (name == host) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := store.Verify(both.Chain, truststore.VerifyOptions{Name: host, TrustDomain: "other.example", Time: pki.Now()}); code(err) != truststore.CodeNameMismatch {
		t.Errorf("%v", err)
	}
}

// The spelling in the certificate counts, and not what net/url makes of it.
func TestURIsAreComparedAsTheyAreSpelled(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	peer := pki.Issue(testpki.Request{CommonName: "x", Edit: uris("https://partner.example/a%2Fb")})
	store := truststore.New(pki.Root.Cert)
	for uri, accept := range map[string]bool{"https://partner.example/a%2Fb": true, "https://partner.example/a%2fb": false, "https://partner.example/a/b": false} {
		if _, err := store.Verify(peer.Chain, truststore.VerifyOptions{URI: uri, Time: pki.Now()}); (err == nil) != accept {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// CVE-2026-78665: crypto/x509 lets the constraint "host.example.com" admit
// spiffe://x.host.example.com. The identity does not rest on constraints.
func TestURIsDoNotRestOnNameConstraints(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ca := pki.Issue(testpki.Request{CommonName: "Constrained", CA: true, Issuer: pki.Root, Edit: func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedURIDomains = true, []string{"host.example.com"}
	}})
	peer := pki.Issue(testpki.Request{CommonName: "x", Issuer: ca, Edit: uris("spiffe://x.host.example.com/a")})
	store := truststore.New(pki.Root.Cert)
	if _, err := store.Verify(peer.Chain, truststore.VerifyOptions{TrustDomain: "x.host.example.com", Time: pki.Now()}); err != nil {
		t.Log("crypto/x509 is mended:", err)
	}
	for _, o := range []truststore.VerifyOptions{{TrustDomain: "host.example.com"}, {URI: "spiffe://host.example.com/a"}} {
		o.Time = pki.Now()
		if _, err := store.Verify(peer.Chain, o); err == nil {
			t.Errorf("%q %q: accepted", o.URI, o.TrustDomain)
		}
	}
}

func TestWrongURIs(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	peer, store := pki.Server(host), truststore.New(pki.Root.Cert)
	for _, o := range []truststore.VerifyOptions{
		{URI: "partner.example"}, {URI: "/x"}, {URI: ":"}, {URI: "spiffe://"}, {URI: "spiffe://Partner.example/x"}, {URI: "spiffe://partner.example/"},
		{URI: "spiffe://partner.example/x?y"}, {URI: "spiffe:partner.example"}, {URI: "SPIFFE://partner.example/x"}, {URI: "spiffe://a/" + strings.Repeat("x", 2048)},
		{TrustDomain: "spiffe://partner.example"}, {TrustDomain: "Partner.example"}, {TrustDomain: "partner.example/x"}, {TrustDomain: "partner.example:1"}, {TrustDomain: strings.Repeat("x", 256)},
		{Purpose: truststore.Email, URI: "https://x.example"}, {Purpose: truststore.Any, TrustDomain: "x.example"},
	} {
		o.Time = pki.Now()
		if _, err := store.Verify(peer.Chain, o); code(err) != truststore.CodeWrongName || !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q %q: %v", o.URI, o.TrustDomain, err)
		}
	}
}

// Bundles of several trust domains: the authority of one does not vouch for another.
func TestTrustDomainsOfScopes(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	store := truststore.New()
	for alias, ca := range map[string]*testpki.PKI{"a": a, "b": b} {
		if err := store.Add(alias, ca.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if err := store.SetScope(alias, truststore.Scope{TrustDomains: []string{alias + ".example"}}); err != nil {
			t.Fatal(err)
		}
	}
	id := func(ca *testpki.PKI, uri string) *testpki.Identity {
		return ca.Issue(testpki.Request{CommonName: "w", Edit: uris(uri)})
	}
	for _, c := range []struct {
		peer   *testpki.Identity
		accept bool
	}{
		{id(a, "spiffe://a.example/x"), true}, {id(b, "spiffe://b.example/x"), true},
		{id(a, "spiffe://b.example/x"), false}, {id(b, "spiffe://a.example/x"), false},
		{a.Issue(testpki.Request{Names: []string{host}}), false},
	} {
		for _, o := range []truststore.VerifyOptions{{Purpose: truststore.Client}, {Purpose: truststore.Server, TrustDomain: domainOf(c.peer.Cert)}} {
			if o.Purpose == truststore.Server && o.TrustDomain == "" {
				continue
			}
			o.Time = a.Now()
			if _, err := store.Verify(c.peer.Chain, o); (err == nil) != c.accept || err != nil && code(err) != truststore.CodeOutOfScope {
				t.Errorf("%v, %s: %v", c.peer.Cert.URIs, o.Purpose, err)
			}
		}
	}
	// The names of a scope take URIs too.
	if err := store.SetScope("a", truststore.Scope{Names: []string{"spiffe://a.example/x", "spiffe://c.example"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer string
		o    truststore.VerifyOptions
		ok   bool
	}{
		{"spiffe://a.example/x", truststore.VerifyOptions{URI: "spiffe://a.example/x"}, true},
		{"spiffe://a.example/y", truststore.VerifyOptions{URI: "spiffe://a.example/y"}, false},
		{"spiffe://a.example/x", truststore.VerifyOptions{TrustDomain: "a.example"}, false},
		{"spiffe://c.example/y", truststore.VerifyOptions{URI: "spiffe://c.example/y"}, true},
		{"spiffe://c.example/y", truststore.VerifyOptions{TrustDomain: "c.example"}, true},
		{"spiffe://c.example.evil/y", truststore.VerifyOptions{URI: "spiffe://c.example.evil/y"}, false},
		{"spiffe://c.example/y", truststore.VerifyOptions{Purpose: truststore.Client}, false},
	} {
		c.o.Time = a.Now()
		if _, err := store.Verify(id(a, c.peer).Chain, c.o); (err == nil) != c.ok || err != nil && code(err) != truststore.CodeOutOfScope {
			t.Errorf("%s, %q %q: %v", c.peer, c.o.URI, c.o.TrustDomain, err)
		}
	}
}

func domainOf(c *x509.Certificate) string {
	if len(c.URIs) == 0 {
		return ""
	}
	return c.URIs[0].Host
}
