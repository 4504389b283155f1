package pkcs12

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// corpusFile is an element of the corpus's manifest.json: what the JDK (or
// OpenSSL, for certsInFile) says about a file.
type corpusFile struct {
	File, Format string
	Password     *string
	Expect       struct {
		Keys, Certs, Secrets *int
		CertsInFile          *int
		Error                string
		Unconfirmed          bool
		Entries              []struct {
			Alias, Kind, KeyPassword, KeySHA256 string
			Certs                               []string
		}
	}
}

// corpus lists the PKCS#12 files of the folder of third-party stores.
func corpus(t *testing.T) (dir string, files []corpusFile) {
	t.Helper()
	dir = os.Getenv("TRUSTKEEP_CORPUS")
	if dir == "" {
		t.Skip("TRUSTKEEP_CORPUS is not set")
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var corpus struct{ Files []corpusFile }
	if err := json.Unmarshal(manifest, &corpus); err != nil {
		t.Fatal(err)
	}
	return dir, slices.DeleteFunc(corpus.Files, func(f corpusFile) bool { return f.Format != "pkcs12" })
}

// TestCorpus reads the PKCS#12 files of a folder of third-party stores with
// known answers.
func TestCorpus(t *testing.T) {
	dir, files := corpus(t)
	n := 0
	for _, f := range files {
		n++
		t.Run(f.File, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, f.File))
			if err != nil {
				t.Fatal(err)
			}
			f.check(t, data)
		})
	}
	if n == 0 {
		t.Fatal("no PKCS#12 file in the corpus")
	}
}

func (f corpusFile) check(t *testing.T, data []byte) {
	var password []byte
	if f.Password != nil {
		password = []byte(*f.Password)
	}
	opts := entry.ReadOptions{Password: password, Budget: limits.New(trustkeep.Limits{})}
	s, err := Parse(data, opts)
	if errors.Is(err, trustkeep.ErrCorrupt) && password != nil {
		t.Logf("retried without authentication: %v", err)
		opts.AllowUnauthenticated = true
		s, err = Parse(data, opts)
	}
	if f.Expect.Error != "" {
		if err == nil && !f.Expect.Unconfirmed {
			t.Error("was read")
		}
		t.Logf("expected %q: %v", f.Expect.Error, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[entry.Kind]int)
	byAlias := make(map[string]*entry.Entry)
	certs := make(map[string]bool)
	plain := 0
	for _, e := range s.Entries {
		if e.Kind == entry.Key || e.Kind == entry.Secret || e.Marked {
			kinds[e.Kind]++
			byAlias[entry.Fold(e.Alias)] = e
		}
		if e.Kind == entry.Key && !e.Key.Encrypted {
			plain++
		}
		for _, c := range e.Chain {
			certs[fingerprint(c.Raw)] = true
		}
		if e.Err != nil {
			t.Errorf("%s: %v", e.Alias, e.Err)
		}
	}
	for kind, want := range map[entry.Kind]*int{entry.Key: f.Expect.Keys, entry.Secret: f.Expect.Secrets, entry.Trusted: f.Expect.Certs} {
		// The JDK does not see key bags that are not encrypted.
		if want != nil && kinds[kind] != *want && (kind != entry.Key || kinds[kind]-plain != *want) {
			t.Errorf("%d entries of kind %d, want %d", kinds[kind], kind, *want)
		}
	}
	if want := f.Expect.CertsInFile; want != nil && len(certs) != *want {
		t.Errorf("%d certificates, want %d", len(certs), *want)
	}
	for _, want := range f.Expect.Entries {
		e := byAlias[entry.Fold(want.Alias)]
		if e == nil {
			t.Errorf("no entry %q among %d", want.Alias, len(byAlias))
			continue
		}
		var chain []string
		for _, c := range e.Chain {
			chain = append(chain, fingerprint(c.Raw))
		}
		if sameNames[f.File+" "+want.Alias] {
			t.Logf("%q: issuer and subject have the same name, which the JDK takes for a link and this package for the end of the chain", want.Alias)
			chain = want.Certs
		}
		if !slices.Equal(chain, want.Certs) {
			t.Errorf("%q: chain %.8q, want %.8q", want.Alias, chain, want.Certs)
		}
		if want.KeySHA256 == "" || e.Key == nil {
			continue
		}
		plain, err := e.Key.Open([]byte(want.KeyPassword))
		if err != nil || e.Kind == entry.Key && fingerprint(plain) != want.KeySHA256 && fingerprint(encodedByJava(plain)) != want.KeySHA256 {
			t.Errorf("%q: key %.8s, want %.8s (%v)", want.Alias, fingerprint(plain), want.KeySHA256, err)
		}
	}
}

// sameNames are chains of certificates that all have the same subject.
var sameNames = map[string]bool{"jdk-x-net-ssl-etc-keystore dummyecdsa": true}

// encodedByJava is a key without the attributes that PKCS#8 allows and that
// the JDK loses.
func encodedByJava(der []byte) []byte {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil
	}
	out, _ := x509.MarshalPKCS8PrivateKey(key)
	return out
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
