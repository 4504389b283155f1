package environment_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"os"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// The keys of tests: anna may change and release everything, ben connections of "test".
// "production" is released by two of carl, dora and emil. dater dates.
var (
	rootKey  = signingKey(1)
	anna     = signingKey(2)
	ben      = signingKey(3)
	carl     = signingKey(4)
	dora     = signingKey(5)
	emil     = signingKey(6)
	dater    = signingKey(7)
	stranger = signingKey(8)
)

func signingKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func keyID(t testing.TB, k crypto.Signer) string {
	t.Helper()
	p, err := authority.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return p.ID()
}

func keyIDs(t testing.TB, keys ...crypto.Signer) (out []string) {
	for _, k := range keys {
		out = append(out, keyID(t, k))
	}
	return out
}

func authorityDocument(t testing.TB) authority.Document {
	member := func(name string, k crypto.Signer) authority.Member {
		p, err := authority.NewPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return authority.Member{Name: name, Key: p}
	}
	return authority.Document{
		Registry: "tests", Number: 1,
		Keys: []authority.Member{
			member("root", rootKey), member("anna", anna), member("ben", ben), member("carl", carl),
			member("dora", dora), member("emil", emil), member("dater", dater),
		},
		Root: authority.Role{Keys: keyIDs(t, rootKey), Threshold: 1},
		Grants: []authority.Grant{
			{Keys: keyIDs(t, anna, carl), Kinds: authority.Kinds(), Environments: []string{authority.Everywhere}},
			{Keys: keyIDs(t, ben), Kinds: []authority.Kind{authority.Connections}, Environments: []string{"test"}},
		},
		Environments: map[string]authority.Environment{
			authority.Everywhere: {Release: authority.Role{Keys: keyIDs(t, anna, ben), Threshold: 1}, Dating: keyIDs(t, dater), Lifetime: 24 * time.Hour},
			"production":         {Release: authority.Role{Keys: keyIDs(t, carl, dora, emil), Threshold: 2}, Dating: keyIDs(t, dater), Lifetime: 24 * time.Hour},
		},
	}
}

func signDocument(t testing.TB, d authority.Document, by ...crypto.Signer) []byte {
	t.Helper()
	s, err := authority.Make(d)
	for _, k := range by {
		if err == nil {
			s, err = s.Sign(nil, k)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Encode()
}

func testAuthority(t testing.TB) *authority.Authority {
	t.Helper()
	a, err := authority.Trust(signDocument(t, authorityDocument(t), rootKey))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signedWorld is a world whose storage is not trusted: anna is who changes it.
type signedWorld struct {
	*world
	authority *authority.Authority
	key       string // of the sealer
}

func newSignedWorld(t *testing.T) *signedWorld {
	t.Helper()
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	a := testAuthority(t)
	w := newWorld(t, environment.Options{Authority: a, Signer: anna, Sealer: environment.FileSealer(path)})
	return &signedWorld{w, a, path}
}

// as opens the registry again, with another signer; nil for none.
func (w *signedWorld) as(t *testing.T, signer crypto.Signer, storage environment.Storage) *environment.Registry {
	t.Helper()
	return check(w.open(t, signer, storage))(t)
}

func (w *signedWorld) open(t *testing.T, signer crypto.Signer, storage environment.Storage) (*environment.Registry, error) {
	t.Helper()
	return environment.Open(t.Context(), storage, environment.Options{
		Authority: w.authority, Signer: signer, Sealer: environment.FileSealer(w.key), Clock: w.clock.Now, Rand: quickkdf.Rand(),
	})
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
