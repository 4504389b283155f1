package jks

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strconv"
	"testing"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

var sizes = []int{144, 10_000}

// anchors returns n trusted entries of a few distinct RSA certificates.
func anchors(b *testing.B, n int) []*entry.Entry {
	pki := testpki.New(b, testpki.Options{KeyType: testpki.RSA2048, Seed: "bench"})
	var ders [][]byte
	for i := range 8 {
		ders = append(ders, pki.Issue(testpki.Request{CommonName: "CA " + strconv.Itoa(i), CA: true, SelfSigned: true}).DERChain()[0])
	}
	entries := make([]*entry.Entry, n)
	for i := range entries {
		entries[i] = javatest.Anchor("ca "+strconv.Itoa(i), ders[i%len(ders)])
	}
	return entries
}

func keys(b *testing.B, n int) *entry.Store {
	pki := testpki.New(b, testpki.Options{KeyType: testpki.RSA2048, Seed: "bench"})
	s := &entry.Store{}
	id := pki.Server("localhost")
	for i := range n {
		s.Entries = append(s.Entries, javatest.Identity("key "+strconv.Itoa(i), id))
	}
	return s
}

func benchParse(b *testing.B, data []byte, unlock bool) *entry.Store {
	s, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{}), Unlock: unlock})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func load(b *testing.B, data []byte) keystore.KeyStore {
	ks := keystore.New(keystore.WithCaseExactAliases())
	if err := ks.Load(bytes.NewReader(data), []byte(storePassword)); err != nil {
		b.Fatal(err)
	}
	return ks
}

// BenchmarkOpenCertificates: all certificates parsed.
func BenchmarkOpenCertificates(b *testing.B) {
	for _, n := range sizes {
		data := mustEncode(b, &entry.Store{Entries: anchors(b, n)}, entry.JKS, javatest.WriteOptions(storePassword, nil))
		b.Run(fmt.Sprintf("%d/trustkeep", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := benchParse(b, data, false)
				certs := make([]*entry.Certificate, 0, n)
				for _, e := range s.Entries {
					certs = append(certs, e.Chain...)
				}
				entry.ParseAll(certs)
			}
		})
		b.Run(fmt.Sprintf("%d/keystore-go", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ks := load(b, data)
				certs := make([]*x509.Certificate, 0, n)
				for _, alias := range ks.Aliases() {
					e, err := ks.GetTrustedCertificateEntry(alias)
					if err != nil {
						b.Fatal(err)
					}
					c, err := x509.ParseCertificate(e.Certificate.Content)
					if err != nil {
						b.Fatal(err)
					}
					certs = append(certs, c)
				}
				if len(certs) != n {
					b.Fatal(len(certs))
				}
			}
		})
		b.Run(fmt.Sprintf("%d/trustkeep-lazy", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchParse(b, data, false)
			}
		})
	}
}

// BenchmarkOpenKeys: all keys decrypted, and parsed.
func BenchmarkOpenKeys(b *testing.B) {
	const n = 1000
	data := mustEncode(b, keys(b, n), entry.JKS, javatest.WriteOptions(storePassword, nil))
	b.Run("trustkeep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := benchParse(b, data, true)
			entry.Parallel(len(s.Entries), func(i int) {
				if _, err := x509.ParsePKCS8PrivateKey(s.Entries[i].Key.Opened); err != nil {
					b.Error(err)
				}
			})
		}
	})
	b.Run("keystore-go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ks := load(b, data)
			for _, alias := range ks.Aliases() {
				e, err := ks.GetPrivateKeyEntry(alias, []byte(storePassword))
				if err == nil {
					_, err = x509.ParsePKCS8PrivateKey(e.PrivateKey)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("trustkeep-lazy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			benchParse(b, data, false)
		}
	})
}

func BenchmarkWriteCertificates(b *testing.B) {
	for _, n := range sizes {
		s := &entry.Store{Entries: anchors(b, n)}
		b.Run(fmt.Sprintf("%d/trustkeep", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustEncode(b, s, entry.JKS, javatest.WriteOptions(storePassword, nil))
			}
		})
		theirs := load(b, mustEncode(b, s, entry.JKS, javatest.WriteOptions(storePassword, nil)))
		b.Run(fmt.Sprintf("%d/keystore-go", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var buf bytes.Buffer
				if err := theirs.Store(&buf, []byte(storePassword)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWriteKeys: kept as they are, and protected anew.
func BenchmarkWriteKeys(b *testing.B) {
	plain := keys(b, 1000)
	data := mustEncode(b, plain, entry.JKS, javatest.WriteOptions(storePassword, nil))
	kept := benchParse(b, data, false)
	for name, keep := range map[string]bool{"kept": true, "anew": false} {
		b.Run(name, func(b *testing.B) {
			opts := javatest.WriteOptions(storePassword, nil)
			s := plain
			if keep {
				opts.Keep, s = javatest.KeepAll, kept
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				mustEncode(b, s, entry.JKS, opts)
			}
		})
	}
	theirs := load(b, data)
	b.Run("keystore-go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var buf bytes.Buffer
			if err := theirs.Store(&buf, []byte(storePassword)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
