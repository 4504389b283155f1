package formats_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// manifest is what TRUSTKEEP_CORPUS/manifest.json says of a file.
type manifest struct {
	File     string
	Format   string
	Password *string
	Expect   struct {
		Keys      *int
		KeySHA256 string
		Certs     *int
		Error     string
		Either    bool
	}
}

// TestCorpus reads the PEM, DER and PKCS#7 files of a folder of third-party
// files with known answers.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("TRUSTKEEP_CORPUS")
	if dir == "" {
		t.Skip("TRUSTKEEP_CORPUS names no folder")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files []manifest }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, m := range all.Files {
		if m.Format != "pem" && m.Format != "der" {
			continue
		}
		read++
		t.Run(m.File, func(t *testing.T) { checkCorpusFile(t, dir, m) })
	}
	if read == 0 {
		t.Fatal("no PEM or DER file in the manifest")
	}
}

func checkCorpusFile(t *testing.T, dir string, m manifest) {
	data, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	var password []byte
	if m.Password != nil {
		password = []byte(*m.Password)
	}
	s, err := formats.Parse(data, entry.ReadOptions{Password: password, Budget: limits.New(trustkeep.Limits{})})
	if m.Expect.Either {
		t.Logf("either result is allowed: %v", err)
		return
	}
	if err == nil && m.Expect.Error != "" {
		// A key that is kept but cannot be used is refused when asked for.
		for _, e := range s.Entries {
			if e.Key == nil {
				continue
			}
			der, openErr := e.Key.Open(password)
			if openErr == nil {
				_, openErr = pkcs8.ParseKey(der, limits.Unlimited{})
			}
			if openErr != nil {
				err = openErr
			}
		}
	}
	if m.Expect.Error != "" {
		if err == nil {
			t.Errorf("no error, want one: %s", m.Expect.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, total := 0, 0
	certs, sums := map[string]bool{}, map[string]bool{}
	for _, e := range s.Entries {
		if e.Err != nil {
			t.Logf("unusable: %v", e.Err)
		}
		for _, c := range e.Chain {
			certs[string(c.Raw)] = true
			total++
			if _, err := c.X509(); err != nil {
				t.Errorf("%s: %v", e.Alias, err)
			}
		}
		if e.Key == nil {
			continue
		}
		keys++
		der, err := e.Key.Open(password)
		if err != nil {
			t.Errorf("%s: %v", e.Alias, err)
			continue
		}
		old, ok := traditional(t, der)
		if !ok {
			t.Logf("no public key in %s to compare with", e.Key.Algorithm)
			return
		}
		sum := sha256.Sum256(old)
		sums[hex.EncodeToString(sum[:])] = true
	}
	// The counts of keys in PEM are those of openssl pkey, which stops after
	// the first one.
	if want := m.Expect.Keys; want != nil && (keys < *want || *want == 0 && keys > 0) {
		t.Errorf("%d keys, want %d", keys, *want)
	}
	// Nor is one that stands in several chains counted alike.
	if want := m.Expect.Certs; want != nil && (*want < len(certs) || *want > total) {
		t.Errorf("%d certificates in %d places, want %d", len(certs), total, *want)
	}
	if want := m.Expect.KeySHA256; want != "" && !sums[want] {
		t.Errorf("key %v, want %s", sums, want)
	}
}
