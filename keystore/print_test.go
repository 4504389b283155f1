package keystore_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestNothingPrintsSecrets prints every exported type that can hold a password or a key.
func TestNothingPrintsSecrets(t *testing.T) {
	const canary = "canary-password"
	password, secret := trustkeep.Password(canary), []byte(canary)
	made := testpki.New(t, testpki.Options{}).Server("a")
	scalar, err := made.Key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ed := testpki.New(t, testpki.Options{KeyType: testpki.Ed25519}).Server("a")
	seed := ed.Key.(ed25519.PrivateKey).Seed()
	id, edID := newIdentity(t, made), newIdentity(t, ed)
	symmetric, err := keystore.NewSecretKey("AES", secret)
	if err != nil {
		t.Fatal(err)
	}

	ks := keystore.New()
	for alias, id := range map[string]*keystore.Identity{"a": id, "ed": edID} {
		if err := ks.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.SetSecretKey("symmetric", symmetric); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store.p12")
	var encoded trustkeep.Encoded
	save := trustkeep.SaveOptions{Rand: quickkdf.Rand(), Password: password, Check: func(e trustkeep.Encoded) error { encoded = e; return nil }}
	if err := ks.Save(path, save); err != nil {
		t.Fatal(err)
	}
	o := keystore.Options{Unlock: true, KeyPasswords: map[string]trustkeep.PasswordSource{"a": password}}
	w, err := o.Watch(path, password, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	live, err := w.Identity("ed")
	if err != nil {
		t.Fatal(err)
	}
	// fmt reads unexported fields as they are, so nothing may go on in them.
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{secret, scalar, seed}
	testleak.Check(t, ks, secrets...)
	testleak.Check(t, w.Keystore(), secrets...)
	e := mustEntry(t, w.Keystore(), "ed")
	e.Chain, e.RawChain = nil, nil // long and public
	testleak.Check(t, e, secrets...)
	testleak.Check(t, *edID, secrets...)
	testleak.Check(t, *symmetric, secrets...)
	testleak.Check(t, w, secrets...)
	testleak.Check(t, live, secrets...)
	testleak.Check(t, o, secrets...)
	testleak.Check(t, save, secrets...)
	encoded.Entries[0].Chain = nil
	testleak.Check(t, encoded.Entries[0], secrets...)
	testleak.Check(t, keystore.Replacement{Key: edID.Signer(), Chain: ed.Chain}, secrets...)
	for _, key := range []*testpki.Identity{made, ed} {
		testleak.CheckExported(t, keystore.Replacement{Key: key.Key, Chain: key.Chain}, secrets...)
	}

	if _, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, Password: password, Check: save.Check}); err == nil {
		t.Error("PEM holds no secret keys")
	}
	if err := ks.Delete("symmetric"); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true, Check: save.Check}); err != nil {
		t.Fatal(err)
	}
	testleak.CheckExported(t, encoded, encoded.Data[:60], encoded.Data[60:])
}
