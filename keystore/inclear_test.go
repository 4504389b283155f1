package keystore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestKeysInTheClearByNameOnly: a PEM file gets private keys in the clear only with
// NoPassword, or if that is how it was read.
func TestKeysInTheClearByNameOnly(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a")
	added := newIdentity(t, pki.Server("b"))
	parsed := func(data []byte, password trustkeep.PasswordSource) *keystore.Keystore {
		ks, err := keystore.Parse(data, password)
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	plain := append(id.KeyPEM(), id.ChainPEM()...)
	sealed, path := stored(t, trustkeep.PEM)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	add := func(ks *keystore.Keystore) error { return ks.SetIdentity("added", added) }
	for _, test := range []struct {
		name  string
		ks    *keystore.Keystore
		edit  func(*keystore.Keystore) error
		o     trustkeep.SaveOptions
		want  error
		clear bool // a key of the result
	}{
		{name: "certificates alone", ks: parsed(id.ChainPEM(), nil), edit: add, want: trustkeep.ErrUnsupported},
		{name: "locked keys", ks: parsed(file, nil), edit: add, want: trustkeep.ErrUnsupported},
		{name: "locked keys that stay", ks: parsed(file, nil), edit: func(ks *keystore.Keystore) error { return ks.Rename("one", "uno") }},
		{name: "a copy from elsewhere", ks: parsed(id.ChainPEM(), nil), edit: func(ks *keystore.Keystore) error { return ks.CopyFrom(sealed, "one") }, want: trustkeep.ErrUnsupported},
		{name: "closed", ks: parsed(file, first), edit: func(ks *keystore.Keystore) error {
			if err := add(ks); err != nil {
				return err
			}
			return ks.Close()
		}, want: trustkeep.ErrUnsupported},
		{name: "closed after a change", ks: parsed(plain, nil), edit: func(ks *keystore.Keystore) error {
			if err := ks.ChangePassword(nil, first); err != nil {
				return err
			}
			return ks.Close()
		}, want: trustkeep.ErrUnsupported},
		{name: "read that way", ks: parsed(plain, nil), edit: add, clear: true},
		{name: "by name", ks: parsed(file, first), edit: add, o: trustkeep.SaveOptions{NoPassword: true}, clear: true},
		{name: "the same password, given", ks: parsed(plain, first), edit: add, o: trustkeep.SaveOptions{Password: first}},
		{name: "both", ks: parsed(file, first), edit: add, o: trustkeep.SaveOptions{Password: first, NoPassword: true}, want: trustkeep.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.edit(test.ks); err != nil {
				t.Fatal(err)
			}
			test.o.Rand = quickkdf.Rand()
			encoded, err := test.ks.Encode(test.o)
			wantError(t, err, test.want)
			out := filepath.Join(t.TempDir(), "out.pem")
			wantError(t, test.ks.Save(out, test.o), test.want)
			saved, err := os.ReadFile(out)
			if (err == nil) != (test.want == nil) {
				t.Fatal(err)
			}
			for _, data := range [][]byte{encoded, saved} {
				if bytes.Contains(data, []byte("BEGIN PRIVATE KEY")) != test.clear {
					t.Errorf("a key in the clear: %v", !test.clear)
				}
			}
			if test.clear { // it goes on as it is now
				wantError(t, test.ks.SetIdentity("another", added), nil)
				wantError(t, test.ks.Save(out, trustkeep.SaveOptions{Rand: quickkdf.Rand()}), nil)
			}
		})
	}
}
