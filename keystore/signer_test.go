package keystore_test

import (
	"crypto"
	"fmt"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestSignerOfKeyWithoutCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a")
	ks, err := keystore.Parse(id.KeyPEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	alias := ks.Aliases()[0]
	_, err = ks.Identity(alias)
	wantError(t, err, trustkeep.ErrEmpty)
	key, err := ks.Signer(alias)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(id.Key.Public()) {
		t.Error("another key")
	}
	if again, err := ks.Signer(""); err != nil || again != key {
		t.Errorf("unlocked again: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", key, key, []any{key}); !strings.Contains(text, fmt.Sprint(redact.Key(id.Key))) || strings.Contains(text, "D:") {
		t.Errorf("prints %q", text)
	}
	// A chain for it makes it an identity.
	got, err := ks.Replace(mustEntry(t, ks, alias), keystore.Replacement{Chain: id.Chain})
	if err != nil || got.Signer() != key {
		t.Fatal(got, err)
	}
	if now, err := ks.Identity(alias); err != nil || now != got {
		t.Error(now, err)
	}
}

// A key whose certificate is another key's: what a failed renewal leaves behind.
func TestSignerOfKeyWithStrangeCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	right, wrong := pki.Server("right"), pki.Server("wrong")
	e := &entry.Entry{Alias: "mixed", Kind: entry.Key, Key: &entry.PrivateKey{}, Chain: []*entry.Certificate{entry.FromX509(wrong.Cert)}}
	data, err := formats.Encode(&entry.Store{Format: trustkeep.JKS, Entries: []*entry.Entry{e}}, "", entry.WriteOptions{
		Password: revealed(t, first),
		Keep:     func(*entry.Entry) bool { return false },
		Key:      func(*entry.Entry) (plain, password []byte, err error) { return right.PKCS8(), revealed(t, first), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Parse(data, first)
	if err != nil {
		t.Fatal(err)
	}
	// What the entry says of the key is wrong, and so are chains that agree with it; the
	// key decides as soon as it is unlocked.
	if id, err := ks.Replace(mustEntry(t, ks, "mixed"), keystore.Replacement{Chain: wrong.Chain}); err != nil || id != nil {
		t.Error(id, err)
	}
	_, err = ks.Identity("mixed")
	wantError(t, err, trustkeep.ErrKeyMismatch)
	key, err := ks.Signer("mixed")
	if err != nil || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(right.Key.Public()) {
		t.Fatal(key, err)
	}
	_, err = ks.Replace(mustEntry(t, ks, "mixed"), keystore.Replacement{Chain: wrong.Chain})
	wantError(t, err, trustkeep.ErrKeyMismatch)
	if id, err := ks.Replace(mustEntry(t, ks, "mixed"), keystore.Replacement{Chain: right.Chain}); err != nil || !id.Leaf().Equal(right.Cert) {
		t.Error(id, err)
	}
	if id, err := ks.Identity("mixed"); err != nil || !id.Leaf().Equal(right.Cert) {
		t.Error(id, err)
	}
}

func TestSignerRefused(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := withKeyPassword(t, pki, trustkeep.JKS, keystore.Options{})
	if err := ks.SetTrusted("ca", pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	_, err := ks.Signer("server")
	wantError(t, err, trustkeep.ErrIncorrectPassword, "keystore: signer", "password of its own")
	_, err = ks.Signer("none")
	wantError(t, err, trustkeep.ErrNotFound)
	_, err = ks.Signer("ca")
	wantError(t, err, trustkeep.ErrNotFound, "trusted")
	id, err := ks.Identity("other")
	if err != nil {
		t.Fatal(err)
	}
	if key, err := ks.Signer("other"); err != nil || key != id.Signer() {
		t.Error(key, err)
	}
}

// TestEntryOfKeyWithoutCertificate: what can be told of such a key is, more once it is
// unlocked.
func TestEntryOfKeyWithoutCertificate(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("a")
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.PEM} {
		t.Run(string(f), func(t *testing.T) {
			ks, err := keystore.Parse(withChain(t, f, id, nil), first)
			if err != nil {
				t.Fatal(err)
			}
			e, err := ks.Entry("server")
			if err != nil || e.Kind != keystore.KeyEntry || !e.Encrypted || e.Err != nil || len(e.RawChain) != 0 || e.Protection == "" {
				t.Errorf("%+v, %v", e, err)
			}
			if _, err := ks.Signer("server"); err != nil {
				t.Fatal(err)
			}
			if e, err = ks.Entry("server"); err != nil || e.Algorithm != "EC P-256" {
				t.Errorf("algorithm %q, %v", e.Algorithm, err)
			}
		})
	}
}

// A closed store knows no passwords, so it cannot check any.
func TestClosedStoreChecksNoPassword(t *testing.T) {
	ks, _ := stored(t, trustkeep.JKS)
	if err := ks.SetIdentity("set", newIdentity(t, testpki.New(t, testpki.Options{}).Server("a"))); err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	for _, password := range []trustkeep.PasswordSource{nil, first, second} {
		if id, err := ks.IdentityWithPassword("set", password); !isIncorrect(err) || id != nil {
			t.Errorf("%v, %v", id, err)
		}
	}
	opensOnly(t, ks, "one", first)
	if _, err := ks.Identity("set"); err != nil {
		t.Error(err)
	}
}
