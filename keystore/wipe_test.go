package keystore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// TestReplacedPasswordsAreWiped: a password that no state has any more is overwritten, and
// none that one still has.
func TestReplacedPasswordsAreWiped(t *testing.T) {
	made := testpki.New(t, testpki.Options{}).Server("a")
	id, err := NewIdentity(made.Key, made.Chain...)
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := trustkeep.Password("one"), trustkeep.Password("two"), trustkeep.Password("three")
	k := New()
	path := t.TempDir() + "/store"
	steps := []struct {
		name string
		do   func() error
		gone bool // the store's password and the key's
	}{
		{"set", func() error { return k.SetIdentityWithPassword("key", id, three) }, true},
		{"rename", func() error { return k.Rename("key", "renamed") }, false},
		{"change the password", func() error { return k.ChangePassword(one, two) }, true},
		{"change the key's", func() error { return k.ChangeKeyPassword("renamed", three, one) }, true},
		{"save with another", func() error { return k.Save(path, trustkeep.SaveOptions{Password: three}) }, true},
		{"delete", func() error { return k.Delete("renamed") }, true},
		{"close", k.Close, true},
	}
	if err := k.Save(path, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: one}); err != nil {
		t.Fatal(err)
	}
	if err := k.SetIdentityWithPassword("key", id, two); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		var before []*redact.Secret
		before = append(before, k.current().password)
		for _, it := range k.current().items {
			before = append(before, it.password)
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		held := map[*redact.Secret]bool{k.current().password: true}
		for _, it := range k.current().items {
			held[it.password] = true
		}
		gone := false
		for _, secret := range before {
			if wiped := secret != nil && len(secret.Bytes()) == 0; wiped == held[secret] && secret != nil {
				t.Errorf("%s: held %v, wiped %v", step.name, held[secret], wiped)
			}
			gone = gone || !held[secret]
		}
		if gone != step.gone {
			t.Errorf("%s: a password is gone: %v", step.name, gone)
		}
	}
}

// TestChangePasswordOfKeyBeyondLimits: a key that may not be opened here is not left behind
// under the password that nobody asks for any more.
func TestChangePasswordOfKeyBeyondLimits(t *testing.T) {
	k := New()
	old := trustkeep.Password("old")
	if err := k.ChangePassword(nil, old); err != nil {
		t.Fatal(err)
	}
	dear := &item{e: &entry.Entry{Alias: "dear", Kind: entry.Key, Key: &entry.PrivateKey{
		Protected: []byte{1}, Encrypted: true,
		Unlock: func([]byte, limits.Spender) ([]byte, error) {
			return nil, fmt.Errorf("key derivation: %w", trustkeep.ErrLimit)
		},
	}}}
	if err := k.exchange("test", nil, []*item{dear}); err != nil {
		t.Fatal(err)
	}
	if err := k.ChangePassword(old, trustkeep.Password("new")); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	if err := k.ChangePassword(old, old); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("the old password counts no longer: %v", err)
	}
}
