package keystore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

var (
	first  = trustkeep.Password("first password")
	second = trustkeep.Password("second password")
	third  = trustkeep.Password("third password")
)

// revealed is a password in bytes.
func revealed(t testing.TB, p trustkeep.PasswordSource) []byte {
	t.Helper()
	b, err := p.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var writable = []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.PEM}

// stored saves a store of two identities and loads it again.
func stored(t testing.TB, f trustkeep.Format) (ks *keystore.Keystore, path string) {
	t.Helper()
	pki := testpki.New(t, testpki.Options{})
	ks = keystore.New()
	for _, alias := range []string{"one", "two"} {
		if err := ks.SetIdentity(alias, newIdentity(t, pki.Server(alias))); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "store")
	if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: f, Password: first}); err != nil {
		t.Fatal(err)
	}
	return mustLoad(t, path, first), path
}

func mustLoad(t testing.TB, path string, password trustkeep.PasswordSource) *keystore.Keystore {
	t.Helper()
	ks, err := keystore.Load(path, password)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestChangePassword(t *testing.T) {
	for _, f := range writable {
		t.Run(string(f), func(t *testing.T) {
			ks, path := stored(t, f)
			wantError(t, ks.ChangePassword(second, third), trustkeep.ErrIncorrectPassword, "keystore: change password")
			wantError(t, ks.ChangePassword(nil, third), trustkeep.ErrIncorrectPassword)
			wantError(t, ks.ChangePassword(first, nil), trustkeep.ErrInvalid)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			facts, err := ks.Inspect(trustkeep.SaveOptions{})
			if err != nil || !facts.IsPassword(revealed(t, first)) || facts.IsPassword(revealed(t, third)) || facts.IsPassword(nil) {
				t.Error("a refused change counts")
			}
			if err := ks.ChangePassword(first, second); err != nil {
				t.Fatal(err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
				t.Error("the file changed before it was saved")
			}
			if _, err := ks.Identity("one"); err != nil { // still unlocks
				t.Error(err)
			}
			for range 2 { // the second save writes again what the first one left
				if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
					t.Fatal(err)
				}
				loaded := mustLoad(t, path, second)
				for _, alias := range []string{"one", "two"} {
					if _, err := loaded.Identity(alias); err != nil {
						t.Error(err)
					}
				}
			}
			if loaded, err := keystore.Load(path, first); err == nil {
				if _, err = loaded.Identity("one"); err == nil { // PEM is locked key by key
					t.Error("the old password opens the store")
				}
			}
		})
	}
}

// Saving under another password and going on working.
func TestSaveWithPasswordThenGoOn(t *testing.T) {
	for _, f := range writable {
		t.Run(string(f), func(t *testing.T) {
			ks, path := stored(t, f)
			if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand(), Password: second}); err != nil {
				t.Fatal(err)
			}
			if _, err := ks.Identity("one"); err != nil {
				t.Error(err)
			}
			if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
				t.Fatal(err)
			}
			if _, err := mustLoad(t, path, second).Identity("two"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChangeKeyPassword(t *testing.T) {
	ks, path := stored(t, trustkeep.JKS)
	wantError(t, ks.ChangeKeyPassword("one", third, second), trustkeep.ErrIncorrectPassword, "keystore: change key password")
	wantError(t, ks.ChangeKeyPassword("none", first, second), trustkeep.ErrNotFound)
	if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
		t.Fatal(err)
	}
	if _, err := mustLoad(t, path, first).Identity("one"); err != nil {
		t.Errorf("a refused change counts: %v", err)
	}
	if err := ks.ChangeKeyPassword("one", first, second); err != nil {
		t.Fatal(err)
	}
	// The key is open in memory now; the password is asked for all the same.
	wantError(t, ks.ChangeKeyPassword("one", first, third), trustkeep.ErrIncorrectPassword)
	if err := ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
		t.Fatal(err)
	}
	loaded := mustLoad(t, path, first)
	_, err := loaded.Identity("one")
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	if _, err := loaded.IdentityWithPassword("one", second); err != nil {
		t.Error(err)
	}
	if _, err := loaded.Identity("two"); err != nil {
		t.Error(err)
	}
	// The store's password can change without this key's.
	if err := loaded.ChangePassword(first, third); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
		t.Fatal(err)
	}
	loaded = mustLoad(t, path, third)
	if _, err := loaded.IdentityWithPassword("one", second); err != nil {
		t.Error(err)
	}
	// And the key can go back to the store's.
	if err := loaded.ChangeKeyPassword("one", second, nil); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
		t.Fatal(err)
	}
	if _, err := mustLoad(t, path, third).Identity("one"); err != nil {
		t.Error(err)
	}
}

func TestKeyPasswordWhereTheFormatHasNone(t *testing.T) {
	ks, _ := stored(t, trustkeep.PKCS12)
	wantError(t, ks.ChangeKeyPassword("one", first, second), trustkeep.ErrUnsupported, "pkcs12")
}

func TestCopyFrom(t *testing.T) {
	for i, from := range writable {
		for k, to := range writable {
			if !testtool.Long() && k != i && k != (i+1)%len(writable) {
				continue
			}
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				source, _ := stored(t, from)
				target, path := stored(t, to)
				wantError(t, target.CopyFrom(source), trustkeep.ErrExists, "keystore: copy")
				wantError(t, target.CopyFrom(source, "one", "none"), trustkeep.ErrNotFound)
				wantError(t, target.CopyFrom(nil), trustkeep.ErrInvalid)
				if target.Len() != 2 {
					t.Fatalf("aliases %q after refusals", target.Aliases())
				}
				if err := source.Rename("one", "three"); err != nil {
					t.Fatal(err)
				}
				pki := testpki.New(t, testpki.Options{})
				if err := source.SetTrusted("ca", pki.Root.Cert); err != nil {
					t.Fatal(err)
				}
				if err := target.CopyFrom(source, "THREE", "ca"); err != nil {
					t.Fatal(err)
				}
				source.Close() // the copy does not depend on it
				if to == trustkeep.PEM {
					// PEM has no mark for trust beside keys.
					if err := target.Delete("ca"); err != nil {
						t.Fatal(err)
					}
				}
				if err := target.ChangePassword(first, second); err != nil {
					t.Fatal(err)
				}
				if err := target.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
					t.Fatal(err)
				}
				loaded := mustLoad(t, path, second)
				id, err := loaded.Identity("three")
				if err != nil || len(id.Chain()) != 3 {
					t.Fatalf("%v, %v", id, err)
				}
				if e, err := loaded.Entry("ca"); to != trustkeep.PEM && (err != nil || e.Kind != keystore.TrustedEntry) {
					t.Errorf("%v, %v", e.Kind, err)
				}
			})
		}
	}
}
