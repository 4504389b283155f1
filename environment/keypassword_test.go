package environment_test

import (
	"errors"
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
