package keystore_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestRenew(t *testing.T) {
	ca, root, intermediate := newCA(t, at(noon))
	sign := func(csr []byte) ([]byte, error) {
		return ca.SignRequest("intermediate", csr, keystore.CertificateOptions{})
	}
	tests := []struct {
		name            string
		o               keystore.RenewOptions
		chain           int
		sameKey, signed bool
	}{
		{"self-signed again", keystore.RenewOptions{}, 1, true, false},
		{"self-signed, new key", keystore.RenewOptions{NewKey: true}, 1, false, false},
		{"signed by an identity", keystore.RenewOptions{Certificate: keystore.CertificateOptions{Issuer: intermediate}}, 3, true, true},
		{"signed by a CA", keystore.RenewOptions{Sign: sign}, 3, true, true},
		{"signed by a CA, new key", keystore.RenewOptions{Sign: sign, NewKey: true, Trust: truststore.New(root.Leaf()), KeepAs: "old"}, 3, false, true},
		{"key of another type", keystore.RenewOptions{NewKey: true, Certificate: keystore.CertificateOptions{Key: keystore.Ed25519}}, 1, false, false},
		{"another name", keystore.RenewOptions{Certificate: keystore.CertificateOptions{DNSNames: []string{"b.example"}}}, 1, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ks := newServer(t)
			old, err := ks.Identity("server")
			if err != nil {
				t.Fatal(err)
			}
			id, err := ks.Renew("SERVER", test.o)
			if err != nil {
				t.Fatal(err)
			}
			if id.Alias() != "Server" || len(id.Chain()) != test.chain || equalKeys(id, old) != test.sameKey || id.SelfSigned() == test.signed || id.Leaf().Equal(old.Leaf()) {
				t.Errorf("%v, chain of %d", id, len(id.Chain()))
			}
			if names := test.o.Certificate.DNSNames; names == nil && !slices.Equal(id.Leaf().DNSNames, old.Leaf().DNSNames) || names != nil && !slices.Equal(id.Leaf().DNSNames, names) {
				t.Errorf("names %v", id.Leaf().DNSNames)
			}
			if !slices.Equal(id.Leaf().ExtKeyUsage, old.Leaf().ExtKeyUsage) {
				t.Errorf("usages %v", id.Leaf().ExtKeyUsage)
			}
			if test.o.KeepAs != "" {
				if kept, err := ks.Identity(test.o.KeepAs); err != nil || !kept.Leaf().Equal(old.Leaf()) {
					t.Errorf("kept %v, %v", kept, err)
				}
			}
			// What is renewed can be saved, loaded and renewed again.
			data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := at(noon.AddDate(0, 6, 0)).Parse(data, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := loaded.Identity("server"); err != nil || !slices.EqualFunc(again.Chain(), id.Chain(), (*x509.Certificate).Equal) {
				t.Errorf("loaded %v, %v", again, err)
			}
			_, err = loaded.Renew("server", keystore.RenewOptions{})
			if test.signed {
				wantError(t, err, trustkeep.ErrEmpty, "without Sign or Issuer")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRenewRefused(t *testing.T) {
	ca, _, intermediate := newCA(t, at(noon))
	refusal := errors.New("the CA says no")
	ks := newServer(t)
	old, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := func([]byte) ([]byte, error) {
		return ca.SignRequest("root", mustRequest(t, newServer(t), "server"), keystore.CertificateOptions{})
	}
	sign := func(csr []byte) ([]byte, error) {
		return ca.SignRequest("intermediate", csr, keystore.CertificateOptions{})
	}
	tests := []struct {
		name, alias string
		o           keystore.RenewOptions
		want        error
	}{
		{"unknown alias", "none", keystore.RenewOptions{}, trustkeep.ErrNotFound},
		{"CA refuses", "server", keystore.RenewOptions{NewKey: true, Sign: func([]byte) ([]byte, error) { return nil, refusal }}, refusal},
		{"reply for another key", "server", keystore.RenewOptions{Sign: wrongKey}, trustkeep.ErrKeyMismatch},
		{"root not trusted", "server", keystore.RenewOptions{Sign: sign, Trust: truststore.New()}, trustkeep.ErrNotFound},
		{"kept under a taken alias", "server", keystore.RenewOptions{KeepAs: "Server"}, trustkeep.ErrExists},
		{"validity asked of a CA", "server", keystore.RenewOptions{Sign: sign, Certificate: keystore.CertificateOptions{Validity: time.Hour}}, trustkeep.ErrUnsupported},
		{"two issuers", "server", keystore.RenewOptions{Sign: sign, Certificate: keystore.CertificateOptions{Issuer: intermediate}}, trustkeep.ErrUnsupported},
		{"unknown key type", "server", keystore.RenewOptions{NewKey: true, Certificate: keystore.CertificateOptions{Key: 99}}, trustkeep.ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ks.Renew(test.alias, test.o)
			wantError(t, err, test.want, "keystore: renew")
			if now, err := ks.Identity("server"); err != nil || now != old || ks.Len() != 1 {
				t.Errorf("the store has %v, %v", now, err)
			}
		})
	}
}

// A CA renews within its own issuer's validity, and keeps being one.
func TestRenewedCA(t *testing.T) {
	ks, root, intermediate := newCA(t, at(noon))
	data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	later, err := at(noon.AddDate(7, 0, 0)).Parse(data, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := later.Renew("intermediate", keystore.RenewOptions{Certificate: keystore.CertificateOptions{Issuer: root}})
	if err != nil {
		t.Fatal(err)
	}
	c := id.Leaf()
	if !c.IsCA || !c.MaxPathLenZero || !c.NotAfter.Equal(root.Leaf().NotAfter) || !bytes.Equal(c.SubjectKeyId, intermediate.Leaf().SubjectKeyId) {
		t.Errorf("CA %v, path length %d, until %v", c.IsCA, c.MaxPathLen, c.NotAfter)
	}
}

// While the CA is asked, somebody else replaces the entry.
func TestRenewalMeetsAnother(t *testing.T) {
	ca, _, _ := newCA(t, at(noon))
	ks := newServer(t)
	var other *keystore.Identity
	_, err := ks.Renew("server", keystore.RenewOptions{Sign: func(csr []byte) ([]byte, error) {
		var err error
		if other, err = ks.Renew("server", keystore.RenewOptions{NewKey: true}); err != nil {
			t.Fatal(err)
		}
		return ca.SignRequest("root", csr, keystore.CertificateOptions{})
	}})
	wantError(t, err, trustkeep.ErrConflict)
	if now, err := ks.Identity("server"); err != nil || now != other {
		t.Errorf("the store has %v, %v", now, err)
	}
}

// A renewal within Update is one step on disk too, and keeps a key password.
func TestRenewOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.jks")
	ks := newServer(t)
	id, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.SaveWith(path, keystore.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("storepass")}); err != nil {
		t.Fatal(err)
	}
	if err := ks.SetIdentityWithPassword("Server", id, trustkeep.Password("keypass")); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path); err != nil {
		t.Fatal(err)
	}
	o := at(noon)
	o.KeyPasswords = map[string]trustkeep.PasswordSource{"server": trustkeep.Password("keypass")}
	var renewed *keystore.Identity
	err = o.Update(path, trustkeep.Password("storepass"), keystore.SaveOptions{}, func(ks *keystore.Keystore) (err error) {
		renewed, err = ks.Renew("server", keystore.RenewOptions{NewKey: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := keystore.Load(path, trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = loaded.Identity("server")
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	if got, err := loaded.IdentityWithPassword("server", trustkeep.Password("keypass")); err != nil || !got.Leaf().Equal(renewed.Leaf()) {
		t.Errorf("loaded %v, %v", got, err)
	}
}
