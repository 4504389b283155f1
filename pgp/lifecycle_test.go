package pgp

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

func TestLifecycleRefusals(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("pw")}, Options{})
	locked := k.forget()
	subkey := k.Info(Options{}).Subkeys[0].Fingerprint
	for name, change := range map[string]func(*Key) (*Key, error){
		"expiry":        func(k *Key) (*Key, error) { return k.SetExpiry(time.Time{}, Options{}) },
		"subkey expiry": func(k *Key) (*Key, error) { return k.SetSubkeyExpiry(subkey, time.Time{}, Options{}) },
		"subkey":        func(k *Key) (*Key, error) { return k.AddSubkey(SubkeyOptions{Usage: UsageSign}) },
		"rotation":      func(k *Key) (*Key, error) { return k.RotateSubkey(subkey, SubkeyOptions{}) },
		"user ID":       func(k *Key) (*Key, error) { return k.AddUserID("x", Options{}) },
		"revocation":    func(k *Key) (*Key, error) { return k.Revoke(ReasonNone, "", Options{}) },
	} {
		if _, err := change(k.Public()); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%s of a public key: %v", name, err)
		}
		if _, err := change(locked); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s of a locked key: %v", name, err)
		}
		before := grammar.Join(k.state().packets)
		if changed, err := change(k); err != nil || changed.IsLocked() {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, grammar.Join(k.state().packets)) {
			t.Errorf("%s changed the old key", name)
		}
	}
	for name, tt := range map[string]struct {
		err  func() error
		want error
	}{
		"unknown subkey":     {func() error { _, err := k.RevokeSubkey("00", ReasonNone, "", Options{}); return err }, trustkeep.ErrNotFound},
		"user ID twice":      {func() error { _, err := k.AddUserID("Test <test@example.com>", Options{}); return err }, trustkeep.ErrExists},
		"only user ID":       {func() error { _, err := k.RevokeUserID("Test <test@example.com>", "", Options{}); return err }, trustkeep.ErrRejected},
		"unknown user ID":    {func() error { _, err := k.RevokeUserID("x", "", Options{}); return err }, trustkeep.ErrNotFound},
		"expiry before 1970": {func() error { _, err := k.SetExpiry(time.Unix(-1, 0), Options{}); return err }, trustkeep.ErrInvalid},
		"subkey for nothing": {func() error { _, err := k.AddSubkey(SubkeyOptions{}); return err }, trustkeep.ErrInvalid},
		"foreign revocation": {func() error {
			_, other, err := Generate(GenerateOptions{UserIDs: []string{"o"}})
			if err != nil {
				return err
			}
			_, err = k.ApplyRevocation(other)
			return err
		}, trustkeep.ErrKeyMismatch},
	} {
		if err := tt.err(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	// A new subkey has no passphrase until the key is locked again.
	added, err := k.AddSubkey(SubkeyOptions{Usage: UsageEncrypt})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := added.MarshalPrivate(); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
	relocked, err := added.Lock(pw("pw"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := relocked.MarshalPrivate(); err != nil {
		t.Error(err)
	}
	if _, err := relocked.Unlock(pw("pw"), Options{}); err != nil {
		t.Error(err)
	}
}

// TestLifecycleVersion6 takes a version 6 key, which GnuPG cannot judge,
// through the same changes.
func TestLifecycleVersion6(t *testing.T) {
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	at := start
	c := Options{Clock: func() time.Time { return at }}
	k := newKey(t, GenerateOptions{Preset: PresetRFC9580, Expires: start.Add(time.Hour), SigningSubkey: true}, c)
	at = start.Add(2 * time.Hour)
	if info := k.Info(c); !info.Expired || !info.Subkeys[0].Expired {
		t.Errorf("%+v", info)
	}
	k, err := k.SetExpiry(start.Add(1000*time.Hour), c)
	if err != nil {
		t.Fatal(err)
	}
	if info := k.Info(c); info.Expired || !info.Expires.Equal(start.Add(1000*time.Hour)) {
		t.Errorf("%+v", info)
	}
	old := k.Info(c).Subkeys
	for _, s := range old {
		at = at.Add(time.Hour)
		if k, err = k.RotateSubkey(s.Fingerprint, SubkeyOptions{Options: c, RevokeOld: true}); err != nil {
			t.Fatal(err)
		}
	}
	if k, err = k.AddUserID("Second <2@example.com>", c); err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Hour)
	if k, err = k.RevokeUserID("Test <test@example.com>", "", c); err != nil {
		t.Fatal(err)
	}
	info := k.Info(c)
	if len(info.Subkeys) != 4 || !info.Subkeys[0].Revoked || !info.Subkeys[1].Revoked || info.Subkeys[2].Revoked || info.Subkeys[3].Usage != UsageSign ||
		!info.UserIDs[0].Revoked || !info.UserIDs[1].Valid {
		t.Errorf("%+v", info)
	}
	var message, out bytes.Buffer
	if err := (Encryption{Options: c, To: []*Key{k}, Signers: []*Key{k}}).Encrypt(&message, bytes.NewReader([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	if res, err := (Decryption{Options: c, Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(&out, &message); err != nil || res.Signatures[0].KeyID != info.Subkeys[3].KeyID {
		t.Errorf("%v", err)
	}
}

// TestConcurrentUse lets goroutines use one key in every way.
func TestConcurrentUse(t *testing.T) {
	k := newKey(t, GenerateOptions{}, Options{})
	done := make(chan error)
	const workers = 8
	for i := range workers {
		go func() {
			policy := Strict
			if i%2 == 1 {
				policy = Legacy
			}
			c := Options{Allow: policy}
			var message, out bytes.Buffer
			err := Encryption{Options: c, To: []*Key{k}, Signers: []*Key{k}}.Encrypt(&message, bytes.NewReader(make([]byte, 100_000)))
			if err == nil {
				_, err = Decryption{Options: c, Keys: []*Key{k}, Signers: []*Key{k}}.Decrypt(&out, &message)
			}
			if err == nil {
				_, err = k.SetExpiry(time.Time{}, c)
			}
			k.Info(c)
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
