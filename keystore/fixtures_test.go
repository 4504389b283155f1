package keystore_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// truth is what Java's KeyStore says about one entry of a fixture.
type truth struct {
	file, storePassword, alias, kind, keyPassword, key string
	certs                                              []string
}

func readTruth(t testing.TB) []truth {
	t.Helper()
	data, err := os.ReadFile("testdata/truth.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []truth
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Split(line, "\t"); len(f) >= 6 {
			all = append(all, truth{f[0], f[1], f[2], f[3], f[4], f[5], f[6:]})
		}
	}
	if len(all) < 40 {
		t.Fatalf("only %d entries in testdata/truth.txt", len(all))
	}
	return all
}

func password(s string) trustkeep.PasswordSource {
	if s == "-" {
		return nil
	}
	return trustkeep.Password(s)
}

// TestFixtures reads stores that keytool and openssl made, without either.
func TestFixtures(t *testing.T) {
	expected := map[string][]truth{}
	for _, e := range readTruth(t) {
		expected[e.file] = append(expected[e.file], e)
	}
	for file, entries := range expected {
		t.Run(file, func(t *testing.T) {
			ks, err := keystore.Load(filepath.Join("testdata", file), password(entries[0].storePassword))
			if err != nil {
				t.Fatal(err)
			}
			var aliases []string
			for _, e := range entries {
				checkEntry(t, ks, e)
				aliases = append(aliases, e.alias)
			}
			var have []string
			for _, e := range ks.Entries() {
				have = append(have, strings.ToLower(e.Alias))
			}
			slices.Sort(have)
			slices.Sort(aliases)
			if !slices.Equal(have, aliases) {
				t.Errorf("aliases %q, want %q", have, aliases)
			}
			if f := ks.Findings(); len(f) != 0 && entries[0].storePassword != "-" {
				t.Errorf("findings: %v", f)
			}
		})
	}
}

func checkEntry(t *testing.T, ks *keystore.Keystore, want truth) {
	t.Helper()
	e, err := ks.Entry(want.alias)
	if err != nil {
		t.Error(err)
		return
	}
	if e.Kind.String() != want.kind || e.Err != nil {
		t.Errorf("%s: kind %s, error %v; want %s", want.alias, e.Kind, e.Err, want.kind)
	}
	var certs []string
	for _, raw := range e.RawChain {
		certs = append(certs, fingerprint(raw))
	}
	if !slices.Equal(certs, want.certs) {
		t.Errorf("%s: certificates %v, want %v", want.alias, certs, want.certs)
	}
	if want.kind != "key" {
		return
	}
	id, err := ks.IdentityWithPassword(want.alias, trustkeep.Password(want.keyPassword))
	if err != nil {
		t.Error(err)
		return
	}
	// An elliptic key may repeat its public half in PKCS#8 or leave it out,
	// so only RSA encodings compare; that key and leaf match is checked by
	// Identity for all.
	if key, ok := reveal(id).(*rsa.PrivateKey); ok {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil || fingerprint(der) != want.key {
			t.Errorf("%s: another key than Java's (%v)", want.alias, err)
		}
	}
	cert, err := id.TLSCertificate()
	if err != nil || cert.Leaf == nil || len(cert.Certificate) != len(want.certs) {
		t.Errorf("%s: TLS certificate %v, %v", want.alias, cert, err)
	}
	if _, err := ks.IdentityWithPassword(want.alias, trustkeep.Password("wrong")); !isIncorrect(err) {
		t.Errorf("%s: with a wrong password: %v", want.alias, err)
	}
	if _, err := ks.IdentityWithPassword(want.alias, nil); !isIncorrect(err) {
		t.Errorf("%s: without a password: %v", want.alias, err)
	}
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func reveal(id *keystore.Identity) crypto.Signer {
	return id.Signer().(interface{ Reveal() crypto.Signer }).Reveal()
}

func isIncorrect(err error) bool { return errors.Is(err, trustkeep.ErrIncorrectPassword) }
