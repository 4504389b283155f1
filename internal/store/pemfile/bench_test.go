package pemfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/store/entry"
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

// withStd opens a bundle with the loop that everybody writes.
func withStd(tb testing.TB, data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			tb.Fatal(err)
		}
		certs = append(certs, cert)
	}
}

// withPackage opens a bundle with this package, to parsed certificates.
func withPackage(tb testing.TB, data []byte) []*entry.Certificate {
	s, err := Parse(data, options(none))
	if err != nil {
		tb.Fatal(err)
	}
	certs := make([]*entry.Certificate, len(s.Entries))
	for i, e := range s.Entries {
		certs[i] = e.Chain[0]
	}
	entry.ParseAll(certs)
	return certs
}

// BenchmarkParse opens bundles to parsed certificates with encoding/pem and
// crypto/x509 and with this package by turns, and reports the median of the
// ratios as x-std, which a busy machine distorts less than times. Run it with
// -cpu 1,2.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{144, 1_000, 10_000} {
		data := bundle(b, n)
		b.Run(fmt.Sprintf("certs=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var ratios []float64
			for b.Loop() {
				b.StopTimer()
				start := time.Now()
				if certs := withStd(b, data); len(certs) != n {
					b.Fatal(len(certs))
				}
				std := time.Since(start)
				b.StartTimer()
				start = time.Now()
				if certs := withPackage(b, data); len(certs) != n {
					b.Fatal(len(certs))
				}
				ratios = append(ratios, float64(time.Since(start))/float64(std))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-std")
		})
	}
}

// BenchmarkParseLazily opens bundles without parsing any certificate.
func BenchmarkParseLazily(b *testing.B) {
	data := bundle(b, 1_000)
	b.ReportAllocs()
	for b.Loop() {
		if s, err := Parse(data, options(none)); err != nil || len(s.Entries) != 1_000 {
			b.Fatal(err)
		}
	}
}
