// Package javatest holds the key stores of the packages jks, bks and bcfks to
// what Java reads from them. It serves tests only.
package javatest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"

	"github.com/trustkeep/trustkeep"
)

// Store is a key store as Java sees it.
type Store struct {
	File     string
	Provider string // "" or "BC"
	Type     string
	Password string
	Entries  []Entry
}

// Entry is an entry as Java sees it. Key fields are empty for kind "trusted".
type Entry struct {
	Alias        string
	Created      int64  // ms since 1970
	Kind         string // "key", "secret" or "trusted"
	KeyPassword  string
	KeyAlgorithm string
	KeySHA256    string   // of getEncoded, PKCS#8 for private keys
	ScalarSHA256 string   // of the private value in hexadecimal, EC keys only
	Certificates []string // SHA-256, hex
}

// Load reads dir/truth.json. Finding no store there is fatal.
func Load(tb testing.TB, dir string) []Store {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return decode(tb, b)
}

func decode(tb testing.TB, b []byte) []Store {
	tb.Helper()
	var stores []Store
	if err := json.Unmarshal(b, &stores); err != nil {
		tb.Fatalf("%v in %s", err, b)
	}
	if len(stores) == 0 {
		tb.Fatal("no store")
	}
	return stores
}

// Budget returns a fresh default budget.
func Budget() *limits.Budget { return limits.New(trustkeep.Limits{}) }

// Read reads a file of dir.
func (s Store) Read(tb testing.TB, dir string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, s.File))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Check reports every difference between what Go and what Java read: aliases,
// kinds, times, chains, and keys opened with their passwords.
func (s Store) Check(tb testing.TB, got *entry.Store) {
	tb.Helper()
	byAlias := make(map[string]*entry.Entry)
	for _, e := range got.Entries {
		// encoding/json has made U+FFFD of half surrogate pairs.
		byAlias[strings.ToValidUTF8(e.Alias, "\uFFFD")] = e
	}
	if len(byAlias) != len(s.Entries) || len(got.Entries) != len(s.Entries) {
		tb.Errorf("%s: %d entries, Java has %d", s.File, len(got.Entries), len(s.Entries))
	}
	for _, want := range s.Entries {
		e := byAlias[want.Alias]
		if e == nil {
			tb.Errorf("%s: alias %q missing", s.File, want.Alias)
			continue
		}
		want.check(tb, s.File, e)
	}
}

func (want Entry) check(tb testing.TB, file string, e *entry.Entry) {
	tb.Helper()
	if e.Err != nil {
		tb.Errorf("%s: %q: %v", file, want.Alias, e.Err)
	}
	kinds := map[string]entry.Kind{"key": entry.Key, "secret": entry.Secret, "trusted": entry.Trusted}
	if e.Kind != kinds[want.Kind] {
		tb.Errorf("%s: %q: kind %d, want %s", file, want.Alias, e.Kind, want.Kind)
		return
	}
	if !e.Created.Equal(time.UnixMilli(want.Created)) {
		tb.Errorf("%s: %q: created %v, want %v", file, want.Alias, e.Created, time.UnixMilli(want.Created))
	}
	var chain []string
	for _, c := range e.Chain {
		chain = append(chain, hash(c.Raw))
	}
	if strings.Join(chain, " ") != strings.Join(want.Certificates, " ") {
		tb.Errorf("%s: %q: chain %v, want %v", file, want.Alias, chain, want.Certificates)
	}
	if want.KeySHA256 == "" {
		if e.Key != nil {
			tb.Errorf("%s: %q: unexpected key", file, want.Alias)
		}
		return
	}
	plain, err := e.Key.Open([]byte(want.KeyPassword))
	if err != nil {
		tb.Errorf("%s: %q: %v", file, want.Alias, err)
	} else if hash(plain) != want.KeySHA256 && (want.ScalarSHA256 == "" || scalarHash(plain) != want.ScalarSHA256) {
		tb.Errorf("%s: %q: key %x, want SHA-256 %s", file, want.Alias, plain, want.KeySHA256)
	}
}

// scalarHash identifies an EC key however it is encoded.
func scalarHash(pkcs8 []byte) string {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return err.Error()
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return "no EC key"
	}
	scalar, err := ec.Bytes()
	if err != nil {
		return err.Error()
	}
	return hash([]byte(new(big.Int).SetBytes(scalar).Text(16)))
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
