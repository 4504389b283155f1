package pkcs12

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// The benchmarks stand beside go-pkcs12 doing the same; compare the two in one
// run, with -cpu 1,2. Iterations are the JDK's 10,000.

func benchmarkParse(b *testing.B, data []byte, use func(*entry.Store) error, unlock bool) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		opts := readOptions("changeit")
		opts.Unlock = unlock
		s, err := Parse(data, opts)
		if err == nil {
			err = use(s)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// useAll parses all keys and certificates, as go-pkcs12 does.
func useAll(s *entry.Store) error {
	var certs []*entry.Certificate
	for _, e := range s.Entries {
		certs = append(certs, e.Chain...)
		if e.Key != nil {
			if e.Key.OpenErr != nil {
				return e.Key.OpenErr
			}
			if _, err := pkcs8.ParseKey(e.Key.Opened, limits.Unlimited{}); err != nil {
				return err
			}
		}
	}
	entry.ParseAll(certs)
	for _, c := range certs {
		if _, err := c.X509(); err != nil {
			return err
		}
	}
	return nil
}

func useNothing(*entry.Store) error { return nil }

func BenchmarkOpen(b *testing.B) {
	one := encoded(b, newStore(b, 1, 0), Modern(), writeOptions("", "changeit"))
	legacy := encoded(b, newStore(b, 1, 0), LegacyRC2(), writeOptions("", "changeit"))
	for name, data := range map[string][]byte{"1key": one, "1key-legacy": legacy} {
		b.Run(name+"/trustkeep", func(b *testing.B) { benchmarkParse(b, data, useAll, true) })
		b.Run(name+"/go-pkcs12", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := pkcs12.DecodeChain(data, "changeit"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	twenty := encoded(b, newStore(b, 20, 0), Modern(), writeOptions("", "changeit"))
	b.Run("20keys/trustkeep-lazy", func(b *testing.B) { benchmarkParse(b, twenty, useNothing, false) })
	b.Run("20keys/trustkeep", func(b *testing.B) { benchmarkParse(b, twenty, useAll, true) })
	b.Run("20keys/go-pkcs12", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			//lint:ignore SA1019 nothing else in it reads several keys
			if _, err := pkcs12.ToPEM(twenty, "changeit"); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{144, 10_000} {
		certs := encoded(b, manyTrusted(b, n), Modern(), writeOptions("", "changeit"))
		b.Run(fmt.Sprintf("%dcerts/trustkeep", n), func(b *testing.B) { benchmarkParse(b, certs, useAll, false) })
		b.Run(fmt.Sprintf("%dcerts/trustkeep-lazy", n), func(b *testing.B) { benchmarkParse(b, certs, useNothing, false) })
		b.Run(fmt.Sprintf("%dcerts/go-pkcs12", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pkcs12.DecodeTrustStore(certs, "changeit"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	one := newStore(b, 1, 0)
	b.Run("1key/trustkeep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded(b, one, Modern(), writeOptions("", "changeit"))
		}
	})
	plain, err := one.Entries[0].Key.Open(nil)
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		b.Fatal(err)
	}
	chain := parsed(b, one.Entries[0].Chain)
	b.Run("1key/go-pkcs12", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := pkcs12.Modern2023.WithIterations(10_000).Encode(key, chain[0], chain[1:], "changeit"); err != nil {
				b.Fatal(err)
			}
		}
	})
	many := manyTrusted(b, 10_000)
	b.Run("10000certs/trustkeep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded(b, many, Modern(), writeOptions("", "changeit"))
		}
	})
	var entries []pkcs12.TrustStoreEntry
	for _, e := range many.Entries {
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: parsed(b, e.Chain)[0], FriendlyName: e.Alias})
	}
	b.Run("10000certs/go-pkcs12", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := pkcs12.Modern2023.WithIterations(10_000).EncodeTrustStoreEntries(entries, "changeit"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func parsed(b *testing.B, certs []*entry.Certificate) (out []*x509.Certificate) {
	b.Helper()
	for _, c := range certs {
		x, err := c.X509()
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// manyTrusted makes n RSA certificates that differ in their serial number only.
func manyTrusted(b *testing.B, n int) *entry.Store {
	b.Helper()
	model := testpki.New(b, testpki.Options{KeyType: testpki.RSA2048}).Server("localhost").DER
	s := &entry.Store{Format: entry.PKCS12}
	for i := range n {
		der := withSerial(b, model, i)
		s.Entries = append(s.Entries, &entry.Entry{
			Kind: entry.Trusted, Marked: true, Alias: fmt.Sprintf("certificate %d", i), Chain: []*entry.Certificate{entry.NewCertificate(der)},
		})
	}
	return s
}

// withSerial returns the certificate with the last octets of its serial number
// overwritten.
func withSerial(tb testing.TB, der []byte, i int) []byte {
	tb.Helper()
	o, ok := entry.NewCertificate(der).Outline()
	at := bytes.Index(der, o.Serial)
	if !ok || at < 0 || len(o.Serial) < 4 {
		tb.Fatal("no serial number to change")
	}
	out := bytes.Clone(der)
	last := out[at+len(o.Serial)-3 : at+len(o.Serial)]
	last[0], last[1], last[2] = byte(i>>16), byte(i>>8), byte(i)
	return out
}
