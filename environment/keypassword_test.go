package environment_test

import (
	"errors"
	"os"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// A JKS whose key has a password of its own is imported with both.
func TestImportOfAKeyWithAPasswordOfItsOwn(t *testing.T) {
	w := newWorld(t, environment.Options{})
	store, key := trustkeep.Password("store password"), trustkeep.Password("key password")
	ks := keystore.New()
	must(t, ks.SetIdentity("server", pkitest.New(t).Client))
	data := check(ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: store}))(t)
	ks = check(keystore.Parse(data, store))(t)
	must(t, ks.ChangeKeyPassword("server", store, key))
	data = check(ks.Encode(trustkeep.SaveOptions{}))(t)

	if _, err := w.Import(t.Context(), "server", data, environment.ComponentOptions{Password: store}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("without the password of the key: %v", err)
	}
	c := check(w.Import(t.Context(), "server", data, environment.ComponentOptions{Password: store, KeyPassword: key, NewPassword: trustkeep.Password("new")}))(t)
	if _, err := keystore.IdentityOf(c, trustkeep.Password("new")); err != nil {
		t.Error(err)
	}
}

// A JKS with several keys, each under a password of its own, becomes several components.
func TestImportAllOfAStore(t *testing.T) {
	w := newWorld(t, environment.Options{})
	file := check(os.ReadFile("../keystore/testdata/java-key-passwords.p12"))(t)
	o := environment.ComponentOptions{
		Password: trustkeep.Password("storepass"), NewPassword: trustkeep.Password("new"),
		KeyPasswords: map[string]trustkeep.PasswordSource{"first": trustkeep.Password("firstpass"), "second": trustkeep.Password("wrong")},
	}
	if all, err := w.ImportAll(t.Context(), file, o); !errors.Is(err, trustkeep.ErrIncorrectPassword) || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	if stored := check(w.Components(t.Context()))(t); len(stored) != 0 {
		t.Errorf("%v", stored)
	}
	o.KeyPasswords["second"] = trustkeep.Password("secondpass")
	for i, c := range check(w.ImportAll(t.Context(), file, o))(t) {
		if c.Name() != []string{"first", "second"}[i] {
			t.Errorf("%v", c)
		}
		check(keystore.IdentityOf(c, check(w.Password(t.Context(), c.ID()))(t)))(t)
	}
	// A PGP keyring, too.
	var ring []byte
	for _, id := range []string{"p", "q"} {
		_, key, err := w.pgpKey(id).ExportPublic("")
		must(t, err)
		ring = append(ring, key...)
	}
	if all := check(w.ImportAll(t.Context(), ring, environment.ComponentOptions{}))(t); len(all) != 2 || all[0].Kind() != trustkeep.PGP {
		t.Errorf("%v", all)
	}
}
