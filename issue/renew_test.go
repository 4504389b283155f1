package issue_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestRenew(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	asks := signer(intermediate)
	tests := []struct {
		name            string
		o               issue.RenewOptions
		chain           int
		sameKey, signed bool
	}{
		{"self-signed again", issue.RenewOptions{}, 1, true, false},
		{"self-signed, new key", issue.RenewOptions{NewKey: true}, 1, false, false},
		{"signed by an identity", issue.RenewOptions{Certificate: issue.Options{Issuer: intermediate}}, 3, true, true},
		{"signed by a CA", issue.RenewOptions{Sign: asks}, 3, true, true},
		{"signed by a CA, new key", issue.RenewOptions{Sign: asks, NewKey: true, Trust: truststore.New(root.Leaf()), KeepAs: "old"}, 3, false, true},
		{"key of another type", issue.RenewOptions{NewKey: true, Certificate: issue.Options{Key: issue.Ed25519}}, 1, false, false},
		{"another name", issue.RenewOptions{Certificate: issue.Options{DNSNames: []string{"b.example"}}}, 1, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ks := newServer(t)
			old, err := ks.Identity("server")
			if err != nil {
				t.Fatal(err)
			}
			id, err := renew(t.Context(), ks, "SERVER", test.o)
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
			data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := at(noon.AddDate(0, 6, 0)).Parse(data, trustkeep.Password("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := loaded.Identity("server"); err != nil || !slices.EqualFunc(again.Chain(), id.Chain(), (*x509.Certificate).Equal) {
				t.Errorf("loaded %v, %v", again, err)
			}
			_, err = renew(t.Context(), loaded, "server", issue.RenewOptions{})
			if test.signed {
				wantError(t, err, trustkeep.ErrInvalid, "without Sign or Issuer")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRenewRefused(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	refusal := errors.New("the CA says no")
	ks := newServer(t)
	old, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := func(context.Context, []byte) ([]byte, error) {
		return sign(root, mustRequest(t, newServer(t), "server"), issue.Options{})
	}
	asks := signer(intermediate)
	tests := []struct {
		name, alias string
		o           issue.RenewOptions
		want        error
	}{
		{"unknown alias", "none", issue.RenewOptions{}, trustkeep.ErrNotFound},
		{"CA refuses", "server", issue.RenewOptions{NewKey: true, Sign: func(context.Context, []byte) ([]byte, error) { return nil, refusal }}, refusal},
		{"reply for another key", "server", issue.RenewOptions{Sign: wrongKey}, trustkeep.ErrKeyMismatch},
		{"root not trusted", "server", issue.RenewOptions{Sign: asks, Trust: truststore.New()}, trustkeep.ErrNotFound},
		{"kept under a taken alias", "server", issue.RenewOptions{KeepAs: "Server"}, trustkeep.ErrExists},
		{"validity asked of a CA", "server", issue.RenewOptions{Sign: asks, Certificate: issue.Options{Validity: time.Hour}}, trustkeep.ErrInvalid},
		{"two issuers", "server", issue.RenewOptions{Sign: asks, Certificate: issue.Options{Issuer: intermediate}}, trustkeep.ErrInvalid},
		{"unknown key type", "server", issue.RenewOptions{NewKey: true, Certificate: issue.Options{Key: 99}}, trustkeep.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := renew(t.Context(), ks, test.alias, test.o)
			wantError(t, err, test.want, "issue: renew")
			if now, err := ks.Identity("server"); err != nil || now != old || ks.Len() != 1 {
				t.Errorf("the store has %v, %v", now, err)
			}
		})
	}
}

// A CA renews within its own issuer's validity, and keeps being one.
func TestRenewedCA(t *testing.T) {
	ks, root, intermediate := newCA(t, atNoon)
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	later, err := at(noon.AddDate(7, 0, 0)).Parse(data, trustkeep.Password("secret"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := issue.Renew(t.Context(), later, "intermediate", issue.RenewOptions{Certificate: issue.Options{Issuer: root, Clock: func() time.Time { return noon.AddDate(7, 0, 0) }}})
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
	_, root, _ := newCA(t, atNoon)
	ks := newServer(t)
	var other *keystore.Identity
	_, err := renew(t.Context(), ks, "server", issue.RenewOptions{Sign: func(_ context.Context, csr []byte) ([]byte, error) {
		var err error
		if other, err = renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true}); err != nil {
			t.Fatal(err)
		}
		return sign(root, csr, issue.Options{})
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
	if err := ks.Save(path, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("storepass")}); err != nil {
		t.Fatal(err)
	}
	if err := ks.SetIdentityWithPassword("Server", id, trustkeep.Password("keypass")); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	o := at(noon)
	o.KeyPasswords = map[string]trustkeep.PasswordSource{"server": trustkeep.Password("keypass")}
	var renewed *keystore.Identity
	err = o.Update(path, trustkeep.Password("storepass"), trustkeep.SaveOptions{}, func(ks *keystore.Keystore) (err error) {
		renewed, err = renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true})
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
