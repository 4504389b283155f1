package certinfo_test

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/certinfo"
)

// A stranger chooses what is in a certificate, so an explanation of it is short.
func TestBriefIsBounded(t *testing.T) {
	c := &x509.Certificate{Raw: []byte("x"), SerialNumber: new(big.Int).Lsh(big.NewInt(1), 100_000)}
	c.Subject.CommonName, c.Issuer.CommonName = strings.Repeat("ö\x1b", 10_000), strings.Repeat("n", 10_000)
	for range 1000 {
		c.DNSNames = append(c.DNSNames, strings.Repeat("d", 1000))
	}
	d := certinfo.Brief(c)
	if len(d.Names) != 5 {
		t.Errorf("%d names", len(d.Names))
	}
	for _, text := range append(d.Names, d.Subject, d.Issuer, d.Serial) {
		if len(text) > 160 || !strings.HasSuffix(text, "…") {
			t.Errorf("%d bytes: %.200s", len(text), text)
		}
	}
	if certinfo.Brief(nil).SHA256 != "" {
		t.Error("nil")
	}
}
