package truststore_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	jks "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// compare runs two functions in turns and reports the medians' ratio, which the
// machine's slow spells do not touch.
func compare(b *testing.B, ours, peer func()) {
	ours()
	peer()
	var o, p []time.Duration
	for b.Loop() {
		start := time.Now()
		peer()
		middle := time.Now()
		ours()
		p, o = append(p, middle.Sub(start)), append(o, time.Since(middle))
	}
	b.StopTimer()
	slices.Sort(o)
	slices.Sort(p)
	b.ReportMetric(float64(o[len(o)/2].Nanoseconds())/1e3, "ours-µs")
	b.ReportMetric(float64(o[len(o)/2])/float64(p[len(p)/2]), "ours/peer")
	b.ReportMetric(testing.AllocsPerRun(10, ours), "ours-allocs")
	b.ReportMetric(testing.AllocsPerRun(10, peer), "peer-allocs")
}

// cacerts makes a store of as many certificates as a JDK's.
func cacerts(b *testing.B, o trustkeep.SaveOptions) []byte {
	pki := testpki.New(b, testpki.Options{Seed: "bench", KeyType: testpki.RSA2048})
	var certs []*x509.Certificate
	for i := range 144 {
		certs = append(certs, pki.Issue(testpki.Request{CommonName: "Authority " + string(rune('0'+i%10)), CA: true, SelfSigned: true, KeyOf: pki.Root}).Cert)
	}
	data, err := truststore.New(certs...).Encode(o)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkOpenCacerts opens a trust store of 144 certificates to a ready pool,
// against keystore-go and x509.ParseCertificate.
func BenchmarkOpenCacerts(b *testing.B) {
	open := func(data []byte, password trustkeep.PasswordSource) func() {
		return func() {
			store, err := truststore.Parse(data, password)
			if err != nil {
				b.Fatal(err)
			}
			s, err := store.Snapshot()
			if err != nil || s.Len() != 144 {
				b.Fatal(s, err)
			}
			s.Pool()
		}
	}
	password := []byte("changeit")
	data := cacerts(b, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: changeit})
	peer := func() {
		store := jks.New()
		if err := store.Load(bytes.NewReader(data), password); err != nil {
			b.Fatal(err)
		}
		pool := x509.NewCertPool()
		for _, alias := range store.Aliases() {
			e, err := store.GetTrustedCertificateEntry(alias)
			if err != nil {
				b.Fatal(err)
			}
			c, err := x509.ParseCertificate(e.Certificate.Content)
			if err != nil {
				b.Fatal(err)
			}
			pool.AddCert(c)
		}
	}
	b.Run("JKS", func(b *testing.B) { compare(b, open(data, changeit), peer) })
	plain := cacerts(b, trustkeep.SaveOptions{Profile: trustkeep.Passwordless})
	b.Run("password-less PKCS12 against JKS", func(b *testing.B) { compare(b, open(plain, nil), peer) })
}

// BenchmarkVerify is the trust decision against x509.Certificate.Verify.
func BenchmarkVerify(b *testing.B) {
	pki := testpki.New(b, testpki.Options{Seed: "bench"})
	for name, n := range map[string]int{"1 anchor": 1, "10000 anchors": 10_000} {
		b.Run(name, func(b *testing.B) {
			certs := make([]*x509.Certificate, n)
			for i := range certs {
				c := *pki.Intermediate.Cert // another certificate to the pool
				c.Raw = append(slices.Clone(c.Raw), byte(i), byte(i>>8))
				c.RawSubject = append(slices.Clone(c.RawSubject), byte(i), byte(i>>8))
				certs[i] = &c
			}
			certs[0] = pki.Root.Cert
			store := truststore.New(certs...)
			s, err := store.Snapshot()
			if err != nil {
				b.Fatal(err)
			}
			chain := sent(pki.Server(host))
			compare(b, func() {
				if _, err := store.Verify(chain, truststore.VerifyOptions{Name: host}); err != nil {
					b.Fatal(err)
				}
			}, func() {
				intermediates := x509.NewCertPool()
				intermediates.AddCert(chain[1])
				if _, err := chain[0].Verify(x509.VerifyOptions{Roots: s.Pool(), Intermediates: intermediates, DNSName: host}); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
