package truststore_test

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"runtime"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// What a policy, a URI and a scope cost does not grow with what a stranger sends beyond what
// crypto/x509 spends on it: under 1 MiB for 10,000 names.
func TestPolicyCostsLittle(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	many := pki.Issue(testpki.Request{CommonName: "many", Edit: func(c *x509.Certificate) {
		for i := range 10_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("n%d.server.example", i))
			c.EmailAddresses = append(c.EmailAddresses, fmt.Sprintf("n%d@server.example", i))
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "server.example", Path: fmt.Sprintf("/n%d", i)})
		}
	}})
	store := truststore.New(pki.Root.Cert)
	noError(t, store.SetScope(store.Aliases()[0], truststore.Scope{TrustDomains: []string{"server.example"}}))
	cost := func(o truststore.VerifyOptions, s *truststore.Truststore) int64 {
		o.Time = pki.Now()
		s.Verify(many.Chain, o) // makes the pool
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.Verify(many.Chain, o)
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	plain := cost(truststore.VerifyOptions{Purpose: truststore.Client}, truststore.New(pki.Root.Cert))
	for what, c := range map[string]struct {
		o truststore.VerifyOptions
		s *truststore.Truststore
	}{
		"strict":       {truststore.VerifyOptions{Purpose: truststore.Client, Policy: truststore.Strict()}, truststore.New(pki.Root.Cert)},
		"URI":          {truststore.VerifyOptions{URI: "spiffe://server.example/x"}, truststore.New(pki.Root.Cert)},
		"trust domain": {truststore.VerifyOptions{TrustDomain: "server.example"}, truststore.New(pki.Root.Cert)},
		"scope":        {truststore.VerifyOptions{Purpose: truststore.Client}, store},
	} {
		if got := cost(c.o, c.s); got > plain+1<<20 {
			t.Errorf("%s: %d bytes more", what, got-plain)
		} else {
			t.Logf("%s: %d bytes beside %d", what, got, plain)
		}
	}
}
