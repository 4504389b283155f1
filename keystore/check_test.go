package keystore_test

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestCheckBeforeSave: SaveOptions.Check sees what is about to be written, and what it
// refuses leaves the file and the store as they were.
func TestCheckBeforeSave(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, path := stored(t, trustkeep.JKS)
	opened, err := ks.Identity("one")
	if err != nil {
		t.Fatal(err)
	}
	added := newIdentity(t, pki.Server("three"))
	if err := ks.SetIdentityWithPassword("three", added, third); err != nil {
		t.Fatal(err)
	}
	if err := ks.SetTrusted("root", pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func() {
		t.Helper()
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
			t.Errorf("the file changed (%v)", err)
		}
	}
	refusal := errors.New("the peer reads something else")
	checks := 0
	see := func(e trustkeep.Encoded) error {
		checks++
		unchanged()
		if got := revealed(t, e.Password); string(got) != "first password" || e.Container != trustkeep.JKS {
			t.Errorf("%v", e)
		}
		read, err := keystore.Parse(e.Data, e.Password)
		if err != nil || len(e.Entries) != read.Len() {
			t.Fatalf("%d entries, %v", len(e.Entries), err)
		}
		for i, want := range []struct {
			alias, kind string
			public      crypto.PublicKey
			own         bool
		}{{"one", "key", opened.Signer().Public(), false}, {"two", "key", nil, false}, {"three", "key", added.Signer().Public(), true}, {"root", "trusted", nil, false}} {
			got := e.Entries[i]
			entry, err := read.Entry(got.Alias)
			if err != nil || got.Alias != want.alias || got.Kind != want.kind || (got.Password != nil) != want.own || len(got.Chain) != len(entry.RawChain) {
				t.Errorf("%+v, %v", got, err)
			}
			if (got.PublicKey == nil) != (want.public == nil) || want.public != nil && !want.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(got.PublicKey) {
				t.Errorf("%s: another public key", got.Alias)
			}
			if want.own && string(revealed(t, got.Password)) != "third password" {
				t.Error("another key password")
			}
		}
		return refusal
	}
	for about, check := range map[string]func(trustkeep.Encoded) error{
		"an error": see,
		"a panic":  func(trustkeep.Encoded) error { panic("index out of range") },
	} {
		err := ks.Save(path, trustkeep.SaveOptions{Check: check, Password: first})
		if err == nil || about == "an error" && !errors.Is(err, refusal) || about == "a panic" && !strings.Contains(err.Error(), "index out of range") {
			t.Errorf("%s: %v", about, err)
		}
		unchanged()
		update := check
		if about == "an error" {
			update = func(trustkeep.Encoded) error { return refusal }
		}
		err = keystore.Update(path, first, trustkeep.SaveOptions{Check: update}, func(next *keystore.Keystore) error {
			return next.SetTrusted("root", pki.Root.Cert)
		})
		if err == nil || about == "an error" && !errors.Is(err, refusal) {
			t.Errorf("Update with %s: %v", about, err)
		}
		unchanged()
	}
	if checks == 0 {
		t.Error("nothing was checked")
	}
	// The refused save has changed nothing about the store either.
	opensOnly(t, ks, "one", first)
	if err := ks.Save(path, trustkeep.SaveOptions{Check: func(trustkeep.Encoded) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if mustLoad(t, path, first).Len() != 4 {
		t.Error("the agreed store was not written")
	}
}
