package cms_test

import (
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"strings"
	"testing"
	"time"

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
		plain()
		ours()
		plainCPU, plainBytes := least(plain)
		cpu, bytes := least(ours)
		if cpu > plainCPU+10*time.Millisecond { // other programs disturb the measure
			plainCPU, plainBytes = least(plain)
			cpu, bytes = least(ours)
		}
		t.Logf("%-45s %v, %d bytes more", a.Name, cpu-plainCPU, int64(bytes-plainBytes))
		if cpu > plainCPU+plainCPU/20+10*time.Millisecond || bytes > plainBytes+1<<20 {
			t.Errorf("%s: %v and %d bytes, crypto/x509 %v and %d", a.Name, cpu, bytes, plainCPU, plainBytes)
		}
	}
}

// least returns what f costs, the least of some runs.
func least(f func()) (cpu time.Duration, bytes uint64) {
	for i := range 3 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := testcpu.Used()
		f()
		used := testcpu.Since(start)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; i == 0 || n < bytes {
			bytes = n
		}
		if i == 0 || used < cpu {
			cpu = used
		}
	}
	return cpu, bytes
}
