package cms_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// Refusing the signature of a stranger costs little more than having crypto/x509 refuse the
// certificates, whatever is in them.
func TestRefusingCostlySigners(t *testing.T) {
	if testcpu.Raced {
		t.Skip("the race detector makes other things slow than what is measured")
	}
	for _, a := range testpki.CostlySmall(t, "server.example") {
		pair := tls.Certificate{Certificate: a.ID.DERChain(), PrivateKey: a.ID.Key}
		signed, err := cms.Sign([]byte("content"), cms.IdentityFunc(func() (*tls.Certificate, error) { return &pair, nil }))
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		pool, trusted := x509.NewCertPool(), truststore.New()
		for _, c := range a.Trusted {
			pool.AddCert(c.Cert)
		}
		certs := make([]*x509.Certificate, len(a.Trusted))
		for i, c := range a.Trusted {
			certs[i] = c.Cert
		}
		trusted = truststore.New(certs...)
		plain := func() {
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			o := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}
			for _, der := range pair.Certificate[1:] {
				c, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				o.Intermediates.AddCert(c)
			}
			if _, err := leaf.Verify(o); err == nil {
				t.Fatalf("%s: accepted", a.Name)
			}
		}
		ours := func() {
			_, err := cms.Verify(signed, trusted)
			if err == nil {
				t.Fatalf("%s: accepted", a.Name)
			}
			if text := err.Error(); len(text) > 4<<10 || strings.ContainsRune(text, 0x1b) {
				t.Errorf("%s: %d bytes: %.300s", a.Name, len(text), text)
			}
		}
		testcpu.LittleMore(t, a.Name, plain, ours)
	}
}
