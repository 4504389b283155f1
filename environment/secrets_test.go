package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/pkitest"
)

func TestPasswordsAreKeptEncryptedAndTellOnlyWhetherTheyChanged(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	w.pgpKey("p")
	for _, id := range []string{"x", "p"} {
		password := check(check(w.Password(ctx, id))(t).Reveal())(t)
		if string(password) != "secret-"+id {
			t.Errorf("%s: another password", id)
		}
		if _, err := w.ChangePassword(ctx, id, trustkeep.Password("wrong"), trustkeep.Password("next")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s: changed without its password: %v", id, err)
		}
		check(w.ChangePassword(ctx, id, trustkeep.Password("secret-"+id), trustkeep.Password("next-"+id)))(t)
		check(w.Rollback(ctx, id, 1))(t)
		tags := check(w.PasswordTags(ctx, id))(t)
		if !environment.SamePassword(tags[1], tags[3]) || environment.SamePassword(tags[1], tags[2]) {
			t.Errorf("%s: tags %v", id, tags)
		}
		if password := check(check(w.Password(ctx, id))(t).Reveal())(t); string(password) != "secret-"+id {
			t.Errorf("%s: rolled back, but not its password", id)
		}
	}
	if a, b := check(w.PasswordTags(ctx, "x"))(t)[1], check(w.PasswordTags(ctx, "p"))(t)[1]; a == b {
		t.Error("tags of two components can be compared")
	}
	for _, r := range check(w.storage.List(ctx, ""))(t) {
		for _, secret := range []string{"secret-x", "next-x", "secret-p", "next-p"} {
			if strings.Contains(string(r.Value), secret) {
				t.Errorf("%s is in record %s", secret, r.Key)
			}
		}
	}
	// The sealed password of one component does not open as another's.
	var x, p map[string]any
	rx, rp := check(w.storage.Get(ctx, "components/x"))(t), check(w.storage.Get(ctx, "components/p"))(t)
	must(t, json.Unmarshal(rx.Value, &x))
	must(t, json.Unmarshal(rp.Value, &p))
	x["secrets"] = p["secrets"]
	check(w.storage.Put(ctx, "components/x", check(json.Marshal(x))(t), rx.Revision))(t)
	if _, err := w.Password(ctx, "x"); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestKeysOfTheRegistry(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	file := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(file))
	if err := environment.NewKeyFile(file); err == nil {
		t.Error("a key file was overwritten")
	}
	ec := pkitest.New(t)
	rsa := pkitest.Options{Key: issue.RSA2048}.New(t)
	keys := map[string]environment.Sealer{
		"file": environment.FileSealer(file), "password": environment.PasswordSealer(trustkeep.Password("pw")),
		"EC": environment.IdentitySealer(ec.Client), "RSA": environment.IdentitySealer(rsa.Client),
	}
	for name, key := range keys {
		if _, err := environment.Open(ctx, w.storage, environment.Options{Sealer: key}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s opens before it was added: %v", name, err)
		}
		must(t, w.AddSealer(ctx, key))
		r := check(environment.Open(ctx, w.storage, environment.Options{Sealer: key}))(t)
		if password := check(check(r.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
			t.Errorf("%s: another password", name)
		}
	}
	wrong := environment.PasswordSealer(trustkeep.Password("wrong"))
	if _, err := environment.Open(ctx, w.storage, environment.Options{Sealer: wrong}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	if ids := check(w.Sealers(ctx))(t); len(ids) != 5 || !contains(ids, "password") {
		t.Errorf("keys %v", ids)
	}
	must(t, w.RemoveSealer(ctx, "password"))
	if _, err := environment.Open(ctx, w.storage, environment.Options{Sealer: keys["password"]}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("a removed key: %v", err)
	}
	if err := w.RemoveSealer(ctx, "password"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// Without any key, passwords come from elsewhere.
	asked := ""
	r := check(environment.Open(ctx, w.storage, environment.Options{Passwords: func(_ context.Context, id string) (trustkeep.PasswordSource, error) {
		asked = id
		return trustkeep.Password("secret-y"), nil
	}}))(t)
	check(r.Create(ctx, "y", issue.Options{Subject: pkix.Name{CommonName: "y"}},
		environment.ComponentOptions{ID: "y", Password: trustkeep.Password("secret-y")}))(t)
	check(r.Password(ctx, "y"))(t)
	if asked != "y" {
		t.Errorf("asked for %q", asked)
	}
	if _, err := r.Password(ctx, "x"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a sealed password without the key: %v", err)
	}
}

func TestKeysThatCannotBeHadSayWhy(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	damaged := t.TempDir() + "/key"
	must(t, os.WriteFile(damaged, []byte("0123"), 0o600))
	for _, c := range []struct {
		name string
		key  environment.Sealer
		want error
	}{
		{"no file", environment.FileSealer(damaged + ".not"), fs.ErrNotExist},
		{"a damaged file", environment.FileSealer(damaged), trustkeep.ErrCorrupt},
		{"no identity", environment.IdentitySealer(nil), trustkeep.ErrInvalid},
		{"no password", environment.PasswordSealer(nil), trustkeep.ErrInvalid},
		{"an empty password", environment.PasswordSealer(trustkeep.Password("")), trustkeep.ErrInvalid},
	} {
		if err := w.AddSealer(ctx, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s is added: %v", c.name, err)
		}
		empty := storagetest.NewMemory(nil)
		if _, err := environment.Open(ctx, empty, environment.Options{Sealer: c.key}); !errors.Is(err, c.want) {
			t.Errorf("%s opens an empty storage: %v", c.name, err)
		}
		if all := check(empty.List(ctx, ""))(t); len(all) > 0 {
			t.Errorf("%s: %d records were written", c.name, len(all))
		}
		if c.key.ID() == "" {
			if _, err := environment.Open(ctx, w.storage, environment.Options{Sealer: c.key}); !errors.Is(err, c.want) {
				t.Errorf("%s opens: %v", c.name, err)
			}
		}
	}
}

// TestLostDataKeyIsNotReplaced: with another one, nobody would notice that all passwords
// are lost before they are needed.
func TestLostDataKeyIsNotReplaced(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	lost := check(w.storage.Get(ctx, "secrets"))(t)
	must(t, w.storage.Delete(ctx, "secrets", lost.Revision))
	key := environment.PasswordSealer(trustkeep.Password("another"))
	if err := w.AddSealer(ctx, key); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a key is added to none: %v", err)
	}
	if _, err := environment.Open(ctx, w.storage, environment.Options{Sealer: key}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestOneUnreadablePasswordKeepsNobodyFromTheOthers: a component can be renamed and
// rolled back as long as the password of what it then holds is there.
func TestOneUnreadablePasswordKeepsNobodyFromTheOthers(t *testing.T) {
	down := false
	w := newWorld(t, environment.Options{Resolve: func(context.Context, string) ([]byte, error) {
		if down {
			return nil, errFault
		}
		return []byte("next"), nil
	}})
	ctx := t.Context()
	w.identity("x")
	check(w.ChangePassword(ctx, "x", trustkeep.Password("secret-x"), trustkeep.Password("next")))(t)
	must(t, w.SetPasswordReference(ctx, "x", "vault/x"))
	down = true
	check(w.Rollback(ctx, "x", 1))(t)
	if password := check(check(w.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
		t.Error("another password")
	}
	if _, err := w.Rollback(ctx, "x", 2); !errors.Is(err, errFault) {
		t.Errorf("%v", err)
	}
}

func TestPasswordByReference(t *testing.T) {
	secrets := map[string]string{"vault:x": "secret-x"}
	w := newWorld(t, environment.Options{Resolve: func(_ context.Context, name string) ([]byte, error) {
		if s, ok := secrets[name]; ok {
			return []byte(s), nil
		}
		return nil, trustkeep.ErrNotFound
	}})
	ctx := t.Context()
	w.identity("x")
	if err := w.SetPasswordReference(ctx, "x", "vault:nothing"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.SetPasswordReference(ctx, "x", "vault:x"))
	if r := check(w.storage.Get(ctx, "components/x"))(t); strings.Contains(string(r.Value), "sealed") {
		t.Error("the password is kept besides its reference")
	}
	if password := check(check(w.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
		t.Error("another password")
	}
}

// TestDataKeyOfSomebodyElse: who can write to the storage and has the certificate, but not
// the key, does not get the registry to keep passwords under a data key that they know.
func TestDataKeyOfSomebodyElse(t *testing.T) {
	ctx := t.Context()
	for name, pki := range map[string]*pkitest.PKI{"EC": pkitest.New(t), "RSA": pkitest.Options{Key: issue.RSA2048}.New(t)} {
		key := environment.IdentitySealer(pki.Client)
		storage := storagetest.NewMemory(nil)
		check(environment.Open(ctx, storage, environment.Options{Sealer: key}))(t)
		own := check(key.Wrap(make([]byte, 32)))(t)
		if got := check(key.Unwrap(own))(t); len(got) != 32 {
			t.Fatalf("%s: %d bytes", name, len(got))
		}
		foreign := check(cms.Protect(make([]byte, 32), pki.Client))(t)
		signed := check(asn1.Marshal(struct{ Protected, Signature []byte }{foreign, []byte("no signature")}))(t)
		for what, wrapped := range map[string][]byte{"not signed": foreign, "signed by nobody": signed, "cut": own[:len(own)-1], "nothing": nil} {
			if _, err := key.Unwrap(wrapped); !errors.Is(err, trustkeep.ErrIncorrectPassword) && !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			r := check(storage.Get(ctx, "secrets"))(t)
			text := check(json.Marshal(map[string]any{"format": 1, "keys": []any{map[string]any{"id": key.ID(), "wrapped": wrapped}}}))(t)
			check(storage.Put(ctx, "secrets", text, r.Revision))(t)
			if _, err := environment.Open(ctx, storage, environment.Options{Sealer: key}); err == nil {
				t.Errorf("%s, %s: the registry opens", name, what)
			}
		}
	}
}
