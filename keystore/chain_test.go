package keystore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// refusedChain is the chain of an identity whose issuer crypto/x509 refuses, for a
// negative serial number, but not the root above it.
func refusedChain(t testing.TB, id *testpki.Identity) [][]byte {
	t.Helper()
	chain := id.DERChain()
	o, ok := entry.NewCertificate(chain[1]).Outline()
	if !ok || len(chain) != 3 {
		t.Fatal("unexpected chain")
	}
	chain[1] = bytes.Replace(chain[1], o.Serial, append([]byte{o.Serial[0] | 0x80}, o.Serial[1:]...), 1)
	if _, err := x509.ParseCertificate(chain[1]); err == nil {
		t.Fatal("crypto/x509 takes the certificate")
	}
	return chain
}

// withChain makes a store of an identity with this chain.
func withChain(t testing.TB, f trustkeep.Format, id *testpki.Identity, chain [][]byte) []byte {
	t.Helper()
	e := &entry.Entry{Alias: "server", Kind: entry.Key, Key: new(entry.PrivateKey)}
	for _, der := range chain {
		e.Chain = append(e.Chain, entry.NewCertificate(der))
	}
	data, err := formats.Encode(&entry.Store{Format: f, Entries: []*entry.Entry{e}}, "", entry.WriteOptions{
		Password: revealed(t, first), Now: noon, Rand: quickkdf.Rand(),
		Key: func(*entry.Entry) (plain, password []byte, err error) { return id.PKCS8(), revealed(t, first), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sends checks what a TLS peer of the identity gets to see.
func sends(t *testing.T, id *keystore.Identity, chain [][]byte) {
	t.Helper()
	cert, err := id.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(cert.Certificate, chain, bytes.Equal) {
		t.Errorf("%d certificates are sent, or in another order, want %d", len(cert.Certificate), len(chain))
	}
	if !bytes.Equal(cert.Leaf.Raw, chain[0]) {
		t.Error("another leaf")
	}
}

// TestChainIsNotCut: an issuer that crypto/x509 refuses is sent, and what is above it too.
func TestChainIsNotCut(t *testing.T) {
	server := testpki.New(t, testpki.Options{}).Server("server")
	chain := refusedChain(t, server)
	mixed := [][]byte{chain[0], chain[2], chain[1]}
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		for about, stored := range map[string][][]byte{"in order": chain, "mixed up": mixed} {
			t.Run(fmt.Sprint(f, " ", about), func(t *testing.T) {
				for _, o := range []keystore.Options{{}, {Unlock: true}} {
					ks, err := o.Parse(withChain(t, f, server, stored), first)
					if err != nil {
						t.Fatal(err)
					}
					identity := func() *keystore.Identity {
						t.Helper()
						id, err := ks.Identity("server")
						if err != nil {
							t.Fatal(err)
						}
						return id
					}
					sends(t, identity(), chain)
					if n := len(identity().Chain()); n != 2 {
						t.Errorf("%d usable certificates", n)
					}
					if e, err := ks.Entry("server"); err != nil || e.Err == nil || len(e.RawChain) != 3 {
						t.Errorf("the refused certificate is not reported: %v, %d, %v", e.Err, len(e.RawChain), err)
					}
					// Through an edit, a copy and saves.
					if err := ks.Rename("server", "renamed"); err != nil {
						t.Fatal(err)
					}
					if err := ks.Rename("renamed", "server"); err != nil {
						t.Fatal(err)
					}
					sends(t, identity(), chain)
					other := keystore.New()
					if err := other.SetIdentity("server", identity()); err != nil {
						t.Fatal(err)
					}
					for _, to := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM} {
						data, err := other.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: to, Password: second})
						if err != nil {
							t.Fatal(err)
						}
						again, err := keystore.Parse(data, second)
						if err != nil {
							t.Fatal(err)
						}
						id, err := again.Identity("server")
						if err != nil {
							t.Fatal(err)
						}
						sends(t, id, chain)
					}
				}
			})
		}
	}
}

// TestIncompleteChainLeadsThroughRefusedIssuer: Java's stores may hold issuers in other
// entries; one that crypto/x509 refuses is a link like any other.
func TestIncompleteChainLeadsThroughRefusedIssuer(t *testing.T) {
	server := testpki.New(t, testpki.Options{}).Server("server")
	chain := refusedChain(t, server)
	entries := []*entry.Entry{{Alias: "server", Kind: entry.Key, Key: new(entry.PrivateKey), Chain: []*entry.Certificate{entry.NewCertificate(chain[0])}}}
	for i, der := range chain[1:] {
		entries = append(entries, &entry.Entry{Alias: fmt.Sprint("ca", i), Kind: entry.Trusted, Marked: true, Chain: []*entry.Certificate{entry.NewCertificate(der)}})
	}
	data, err := formats.Encode(&entry.Store{Format: trustkeep.JKS, Entries: entries}, "", entry.WriteOptions{
		Password: revealed(t, first), Now: noon,
		Key: func(*entry.Entry) (plain, password []byte, err error) { return server.PKCS8(), revealed(t, first), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Parse(data, first)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	sends(t, id, chain)
	// CompleteChain checks signatures, and says which certificate it cannot check.
	wantError(t, ks.CompleteChain("server"), trustkeep.ErrUnsupported)
	// Other edits leave the certificates alone that they are not about.
	if err := ks.SetChain("server", id.Chain()...); err != nil {
		t.Fatal(err)
	}
}

func TestPairSendsRefusedIssuer(t *testing.T) {
	server := testpki.New(t, testpki.Options{}).Server("server")
	chain := refusedChain(t, server)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var certs bytes.Buffer
	for _, der := range chain {
		certs.Write(pemBlock("CERTIFICATE", der))
	}
	for path, data := range map[string][]byte{certFile: certs.Bytes(), keyFile: server.KeyPEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := keystore.WatchPair(certFile, keyFile, nil, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	live, err := w.Identity("")
	if err != nil {
		t.Fatal(err)
	}
	sends(t, live.Identity(), chain)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Strict refuses a store with a certificate that crypto/x509 refuses, in the middle of a
// chain too.
func TestStrictRefusesChainWithRefusedCertificate(t *testing.T) {
	server := testpki.New(t, testpki.Options{}).Server("server")
	strict := keystore.Options{Strict: true}
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM} {
		if _, err := strict.Parse(withChain(t, f, server, server.DERChain()), first); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		ks, err := strict.Parse(withChain(t, f, server, refusedChain(t, server)), first)
		if ks != nil {
			t.Errorf("%s: opened", f)
		}
		wantError(t, err, trustkeep.ErrUnsupported, "server")
	}
}
