package pgp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp"
)

// TestKeyWithoutAPartForTheUse: the refusal says what its owner has to do.
func TestKeyWithoutAPartForTheUse(t *testing.T) {
	key, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{"a@example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err = key.RevokeSubkey(key.Info(pgp.Options{}).Subkeys[0].Fingerprint, pgp.ReasonRetired, "", pgp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := key.CanEncrypt(pgp.Options{}); !errors.Is(err, trustkeep.ErrRejected) || !strings.Contains(err.Error(), "add a subkey") {
		t.Errorf("%v", err)
	}
	if err := key.CanSign(pgp.Options{}); err != nil {
		t.Error(err)
	}
}
