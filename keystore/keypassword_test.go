package keystore_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// opensOnly asks for a key with the right password, wrong ones and none.
func opensOnly(t *testing.T, ks *keystore.Keystore, alias string, right trustkeep.PasswordSource) {
	t.Helper()
	if _, err := ks.IdentityWithPassword(alias, right); err != nil {
		t.Errorf("%s: the right password: %v", alias, err)
	}
	for _, wrong := range []trustkeep.PasswordSource{nil, trustkeep.Password(""), trustkeep.Password("wrong"), trustkeep.Password("first passwore")} {
		if wrong == right {
			continue
		}
		if id, err := ks.IdentityWithPassword(alias, wrong); !isIncorrect(err) || id != nil {
			t.Errorf("%s: a wrong password: %v, %v", alias, id, err)
		}
	}
}

// TestGivenPasswordIsChecked: whatever the store has done to a key, a password that is
// given for it must be the right one.
func TestGivenPasswordIsChecked(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	save := func(t *testing.T, ks *keystore.Keystore, o trustkeep.SaveOptions) {
		t.Helper()
		o.Rand = quickkdf.Rand()
		if err := ks.Save(t.TempDir()+"/store", o); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range writable {
		t.Run(string(f), func(t *testing.T) {
			for about, change := range map[string]func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource{
				"read": func(*testing.T, *keystore.Keystore) trustkeep.PasswordSource { return first },
				"unlocked": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					_, err := ks.Identity("one")
					must(t, err)
					return first
				},
				"set": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					must(t, ks.SetIdentity("one", newIdentity(t, pki.Server("one"))))
					return first
				},
				"set and saved": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					must(t, ks.SetIdentity("one", newIdentity(t, pki.Server("one"))))
					save(t, ks, trustkeep.SaveOptions{})
					return first
				},
				"renamed": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					_, err := ks.Identity("one")
					must(t, err)
					must(t, ks.Delete("two"))
					must(t, ks.Rename("one", "x"))
					must(t, ks.Rename("x", "one"))
					return first
				},
				"saved in another profile": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					save(t, ks, trustkeep.SaveOptions{Profile: trustkeep.Legacy})
					return first
				},
				"saved in another format": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					other := trustkeep.PKCS12
					if f == other {
						other = trustkeep.JKS
					}
					save(t, ks, trustkeep.SaveOptions{Format: other})
					return first
				},
				"password changed": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					must(t, ks.ChangePassword(first, second))
					return second
				},
				"password changed and saved": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					must(t, ks.ChangePassword(first, second))
					save(t, ks, trustkeep.SaveOptions{})
					return second
				},
				"saved with another password": func(t *testing.T, ks *keystore.Keystore) trustkeep.PasswordSource {
					save(t, ks, trustkeep.SaveOptions{Password: third})
					return third
				},
			} {
				t.Run(about, func(t *testing.T) {
					ks, _ := stored(t, f)
					right := change(t, ks)
					opensOnly(t, ks, "one", right)
					if _, err := ks.Identity("one"); err != nil {
						t.Error(err)
					}
					opensOnly(t, ks, "one", right)
				})
			}
		})
	}
}

// A key's own password is checked too, before and after it is saved.
func TestGivenKeyPasswordIsChecked(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, path := stored(t, trustkeep.JKS)
	if err := ks.SetIdentityWithPassword("one", newIdentity(t, pki.Server("one")), second); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		opensOnly(t, ks, "one", second)
		opensOnly(t, ks, "two", first)
		if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.ChangeKeyPassword("two", second, third); !isIncorrect(err) {
		t.Errorf("changing with a wrong password: %v", err)
	}
	if err := ks.ChangeKeyPassword("two", first, third); err != nil {
		t.Fatal(err)
	}
	opensOnly(t, ks, "two", third)
	// PKCS#12 has one password for all.
	if err := ks.Save(t.TempDir()+"/p12", trustkeep.SaveOptions{Format: trustkeep.PKCS12}); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"one", "two"} {
		opensOnly(t, ks, alias, first)
		if e, err := ks.Entry(alias); err != nil || e.OwnPassword {
			t.Errorf("%s: own password %v, %v", alias, e.OwnPassword, err)
		}
	}
}

// A key that nothing ever protected has no password, so none is the right one but none.
func TestUnprotectedKeyHasNoPassword(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a")
	plain := append(id.KeyPEM(), id.ChainPEM()...)
	read, err := keystore.Parse(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	withPassword, err := keystore.Parse(plain, trustkeep.Password("first password"))
	if err != nil {
		t.Fatal(err)
	}
	set := keystore.New()
	if err := set.SetIdentity("a", newIdentity(t, id)); err != nil {
		t.Fatal(err)
	}
	for i, ks := range []*keystore.Keystore{read, withPassword, set} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			opensOnly(t, ks, "", nil)
			if _, err := ks.Identity(""); err != nil {
				t.Error(err)
			}
			opensOnly(t, ks, "", nil)
			if _, err := ks.IdentityWithPassword("", first); !isIncorrect(err) {
				t.Errorf("a password for a key in the clear: %v", err)
			}
		})
	}
	if err := read.ChangeKeyPassword(read.Aliases()[0], first, second); !isIncorrect(err) {
		t.Errorf("change with a wrong password: %v", err)
	}
	if err := read.ChangePassword(first, second); !isIncorrect(err) {
		t.Errorf("change with a wrong password: %v", err)
	}
}

// Passwords of Options.KeyPasswords are as good as they open their key.
func TestOptionsKeyPasswordIsChecked(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("a")
	plain := append(id.KeyPEM(), id.ChainPEM()...)
	ks, err := keystore.Parse(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	alias := ks.Aliases()[0]
	o := keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{alias: second}}
	if ks, err = o.Parse(plain, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Identity(alias); !isIncorrect(err) {
		t.Errorf("a password for a key in the clear: %v", err)
	}
	o.Unlock = true
	if _, err = o.Parse(plain, nil); !isIncorrect(err) {
		t.Errorf("Unlock with a password for a key in the clear: %v", err)
	}
	sealed, path := stored(t, trustkeep.JKS)
	_ = sealed
	o = keystore.Options{Unlock: true, KeyPasswords: map[string]trustkeep.PasswordSource{"one": second}}
	if _, err := o.Load(path, first); !isIncorrect(err) {
		t.Errorf("Unlock with a wrong key password: %v", err)
	}
}

// Aliases are compared without regard to case, those of passwords too.
func TestTwoPasswordsForOneKey(t *testing.T) {
	_, path := stored(t, trustkeep.JKS)
	_, err := keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"one": first, "ONE": second}}.Load(path, first)
	wantError(t, err, trustkeep.ErrInvalid, "two passwords")
}

// TestOwnPasswordIsKnown: that a key's password is not the store's stays visible when the
// key has been opened.
func TestOwnPasswordIsKnown(t *testing.T) {
	own := func(ks *keystore.Keystore, alias string) bool {
		t.Helper()
		e, err := ks.Entry(alias)
		if err != nil {
			t.Fatal(err)
		}
		return e.OwnPassword
	}
	ks := mustLoad(t, "testdata/keytool-two.jks", trustkeep.Password("storepass"))
	if _, err := ks.Identity("first"); !isIncorrect(err) {
		t.Fatal(err)
	}
	if _, err := ks.IdentityWithPassword("first", trustkeep.Password("firstpass")); err != nil {
		t.Fatal(err)
	}
	if !own(ks, "first") || own(ks, "second") {
		t.Error("opened: a password of its own that nobody sees")
	}
	if err := ks.Rename("first", "FIRST"); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(t.TempDir()+"/store", trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if !own(ks, "first") || own(ks, "second") {
		t.Error("saved: a password of its own that nobody sees")
	}
	if _, err := ks.IdentityWithPassword("second", trustkeep.Password("storepass")); err != nil {
		t.Fatal(err)
	}
	if own(ks, "second") {
		t.Error("the store's password is no password of its own")
	}
	if err := ks.ChangeKeyPassword("first", trustkeep.Password("firstpass"), nil); err != nil {
		t.Fatal(err)
	}
	if own(ks, "first") {
		t.Error("the key has the store's password now")
	}
}

// emptyPasswords: what an empty password would protect lies open.
func TestEmptyPasswordProtectsNoKey(t *testing.T) {
	empty := trustkeep.Password("")
	id := newIdentity(t, testpki.New(t, testpki.Options{}).Server("a"))
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		t.Run(string(f), func(t *testing.T) {
			ks := keystore.New()
			if err := ks.SetIdentity("a", id); err != nil {
				t.Fatal(err)
			}
			path := t.TempDir() + "/store"
			wantError(t, ks.Save(path, trustkeep.SaveOptions{Format: f, Password: empty}), trustkeep.ErrInvalid)
			_, err := ks.Encode(trustkeep.SaveOptions{Format: f, Password: empty})
			wantError(t, err, trustkeep.ErrInvalid)
			wantError(t, keystore.Update(path, empty, trustkeep.SaveOptions{Format: f}, func(ks *keystore.Keystore) error {
				return ks.SetIdentity("a", id)
			}), trustkeep.ErrInvalid)
			if _, err := os.Stat(path); err == nil {
				t.Error("something was written")
			}
			stored, _ := stored(t, f)
			wantError(t, stored.ChangePassword(first, empty), trustkeep.ErrInvalid)
			wantError(t, stored.ChangeKeyPassword("one", first, empty), trustkeep.ErrInvalid)
			wantError(t, stored.SetIdentityWithPassword("new", id, empty), trustkeep.ErrInvalid)
		})
	}
}
