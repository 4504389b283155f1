package truststore_test

import (
	"crypto/x509"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// An authority of a trust domain, or what may sign as one, is no workload of it (X509-SVID
// section 5.2), whoever asks: for the ID, for the domain, by a bundle.
func TestAuthoritiesProveNoSPIFFEID(t *testing.T) {
	const id = "spiffe://a.example/x"
	pki := testpki.New(t, testpki.Options{})
	peer := func(edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: "w", Edit: func(c *x509.Certificate) {
			uris(id)(c)
			edit(c)
		}})
	}
	for name, c := range map[string]struct {
		peer *testpki.Identity
		ok   bool
	}{
		"a workload":   {peer(func(*x509.Certificate) {}), true},
		"an authority": {peer(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }), false},
		"CA:true":      {peer(func(c *x509.Certificate) { c.IsCA = true }), false},
		"signs lists":  {peer(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), false},
	} {
		for question, o := range map[string]truststore.VerifyOptions{
			"the ID": {URI: id}, "the ID of a client": {Purpose: truststore.Client, URI: id}, "the domain": {TrustDomain: "a.example"}, "a bundle": {Purpose: truststore.Client},
		} {
			trust := truststore.Source(truststore.New(pki.Root.Cert))
			if question == "a bundle" {
				trust = truststore.Bundle("a.example", trust)
			}
			o.Time = pki.Now()
			snapshot, err := trust.Snapshot()
			noError(t, err)
			if _, err := snapshot.Verify(sent(c.peer), o); (err == nil) != c.ok {
				t.Errorf("%s, %s: %v", name, question, err)
			}
			if _, err := snapshot.Judge(sent(c.peer), [][]*x509.Certificate{c.peer.Chain}, o); (err == nil) != c.ok {
				t.Errorf("%s, %s, judged: %v", name, question, err)
			}
		}
	}
}
