package javatest

import (
	"bytes"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// Now is the time that WriteOptions states.
var Now = time.Date(2026, 5, 4, 3, 2, 1, 987_654_321, time.UTC)

// KeepAll is an entry.WriteOptions.Keep.
func KeepAll(*entry.Entry) bool { return true }

// Identity returns a key entry that holds the PKCS#8 of id in the clear, for
// WriteOptions to give out.
func Identity(alias string, id *testpki.Identity) *entry.Entry {
	e := &entry.Entry{Alias: alias, Kind: entry.Key, Key: &entry.PrivateKey{Protected: id.PKCS8()}}
	for _, der := range id.DERChain() {
		e.Chain = append(e.Chain, entry.NewCertificate(der))
	}
	return e
}

// Anchor returns a trusted entry.
func Anchor(alias string, der []byte) *entry.Entry {
	return &entry.Entry{Alias: alias, Kind: entry.Trusted, Chain: []*entry.Certificate{entry.NewCertificate(der)}, Created: Now.Add(-time.Hour)}
}

// Secret returns a secret entry that holds key in the clear, as Identity does.
func Secret(alias, algorithm string, key []byte) *entry.Entry {
	return &entry.Entry{Alias: alias, Kind: entry.Secret, Key: &entry.PrivateKey{Protected: key, Algorithm: algorithm}}
}

// NewStore returns a store of three identities and a trusted root.
func NewStore(tb testing.TB) *entry.Store {
	pki := testpki.New(tb, testpki.Options{})
	return &entry.Store{Entries: []*entry.Entry{
		Identity("server", pki.Server("localhost")),
		Identity("schlüssel 鍵 🔑", pki.Client("client")),
		Anchor("root", pki.Root.DERChain()[0]),
		Identity("other", pki.Server("other")),
	}}
}

// WriteOptions protects every key with what keyPasswords has for its alias,
// else with the store password. The keys are those that Identity and Secret
// made.
func WriteOptions(password string, keyPasswords map[string]string) entry.WriteOptions {
	return entry.WriteOptions{
		Password: []byte(password),
		Rand:     quickkdf.Rand(),
		Now:      Now,
		Key: func(e *entry.Entry) ([]byte, []byte, error) {
			if p, ok := keyPasswords[e.Alias]; ok {
				return e.Key.Protected, []byte(p), nil
			}
			return e.Key.Protected, []byte(password), nil
		},
	}
}

// SameContent reports every difference between a store that was read and the
// one that was written: entries in order, times to that precision, chains, keys
// opened.
func SameContent(tb testing.TB, got, want *entry.Store, password string, keyPasswords map[string]string, precision time.Duration) {
	tb.Helper()
	if len(got.Entries) != len(want.Entries) {
		tb.Fatalf("%d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i, w := range want.Entries {
		g := got.Entries[i]
		if g.Alias != w.Alias || g.Kind != w.Kind || len(g.Chain) != len(w.Chain) {
			tb.Errorf("entry %d: %q, kind %d, %d certificates", i, g.Alias, g.Kind, len(g.Chain))
			continue
		}
		created := w.Created
		if created.IsZero() {
			created = Now
		}
		if !g.Created.Equal(created.Truncate(precision)) {
			tb.Errorf("%q: created %v, want %v", w.Alias, g.Created, created)
		}
		for k := range w.Chain {
			if !bytes.Equal(g.Chain[k].Raw, w.Chain[k].Raw) {
				tb.Errorf("%q: certificate %d differs", w.Alias, k)
			}
		}
		if w.Key == nil {
			continue
		}
		p, ok := keyPasswords[w.Alias]
		if !ok {
			p = password
		}
		plain, err := g.Key.Open([]byte(p))
		if err != nil || !bytes.Equal(plain, w.Key.Protected) {
			tb.Errorf("%q: key differs, %v", w.Alias, err)
		}
		if w.Kind == entry.Secret && g.Key.AlgorithmName() != w.Key.Algorithm {
			tb.Errorf("%q: algorithm %q, want %q", w.Alias, g.Key.AlgorithmName(), w.Key.Algorithm)
		}
	}
}
