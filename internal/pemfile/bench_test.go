package pemfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// bundle returns n certificates in PEM.
func bundle(tb testing.TB, n int) []byte {
	pki := testpki.New(tb, testpki.Options{})
	var out bytes.Buffer
	for i := range n {
		der := pki.Server(fmt.Sprintf("host-%d.example", i)).DERChain()[0]
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return out.Bytes()
}

// BenchmarkParse opens bundles to parsed certificates: this package against the
// loop of pem.Decode and x509.ParseCertificate that everybody writes. Run it
// with -cpu 1,2.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{144, 1_000, 10_000} {
		data := bundle(b, n)
		b.Run(fmt.Sprintf("certs=%d/std", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				certs := make([]*x509.Certificate, 0, n)
				for rest := data; ; {
					var block *pem.Block
					if block, rest = pem.Decode(rest); block == nil {
						break
					}
					cert, err := x509.ParseCertificate(block.Bytes)
					if err != nil {
						b.Fatal(err)
					}
					certs = append(certs, cert)
				}
				if len(certs) != n {
					b.Fatal(len(certs))
				}
			}
		})
		b.Run(fmt.Sprintf("certs=%d/trustkeep", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := Parse(data, options(none))
				if err != nil || len(s.Entries) != n {
					b.Fatal(err)
				}
				certs := make([]*entry.Certificate, n)
				for i, e := range s.Entries {
					certs[i] = e.Chain[0]
				}
				entry.ParseAll(certs)
			}
		})
		b.Run(fmt.Sprintf("certs=%d/lazy", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s, err := Parse(data, options(none)); err != nil || len(s.Entries) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
