package keystore_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// All keys of a store are imported at once, each with the password that it has.
func TestImportAllWithKeyPasswordsThatDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		passwords map[string]string
		want      []string // name and visibility
	}{
		"keytool-two.jks":        {map[string]string{"FIRST": "firstpass"}, []string{"ca public", "first private", "second private"}},
		"keytool-two.jceks":      {map[string]string{"first": "firstpass"}, []string{"first private"}},
		"java-key-passwords.p12": {map[string]string{"first": "firstpass", "second": "secondpass"}, []string{"first private", "second private"}},
		"keytool-three.p12":      {nil, []string{"client private", "rsa private", "server private"}},
	} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		o := withPassword(map[bool]string{true: "storepass", false: "changeit"}[test.passwords != nil])
		o.Kinds = []component.Kind{keystore.ComponentKind()}
		o.NewPassword = trustkeep.Password("new")
		if test.passwords != nil {
			if all, err := component.ImportAll(t.Context(), file, o); !errors.Is(err, trustkeep.ErrIncorrectPassword) || all != nil {
				t.Errorf("%s, without the passwords of keys: %v, %v", name, all, err)
			}
			o.KeyPasswords = make(map[string]trustkeep.PasswordSource)
			for alias, p := range test.passwords {
				o.KeyPasswords[alias] = trustkeep.Password(p)
			}
		}
		all, err := component.ImportAll(t.Context(), file, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		ids := make(map[string]bool)
		for _, c := range all {
			got = append(got, c.Name()+" "+c.Visibility().String())
			ids[c.ID()] = true
			if c.Visibility() == trustkeep.Private {
				if _, err := keystore.IdentityOf(c, o.NewPassword); err != nil {
					t.Errorf("%s, %s: %v", name, c.Name(), err)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) || len(ids) != len(all) {
			t.Errorf("%s: %q", name, got)
		}
		// One by one, too.
		for alias := range test.passwords {
			o.Alias = alias
			if _, err := component.Import(t.Context(), "one", file, o); err != nil {
				t.Errorf("%s, %s: %v", name, alias, err)
			}
		}
		o.Alias = ""
		o.KeyPasswords = map[string]trustkeep.PasswordSource{"none": trustkeep.Password("x")}
		if _, err := component.ImportAll(t.Context(), file, o); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%s, password for no key: %v", name, err)
		}
	}
}

func TestImportAllThatFails(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "keytool-secret.p12"))
	if err != nil {
		t.Fatal(err)
	}
	o := withPassword("changeit")
	o.Kinds = []component.Kind{keystore.ComponentKind()}
	if _, err := component.ImportAll(t.Context(), file, o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("secret key: %v", err)
	}
	if _, err := component.ImportAll(t.Context(), nil, o); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := component.ImportAll(t.Context(), file, component.Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no kinds: %v", err)
	}
	o.ID = "id"
	if _, err := component.ImportAll(t.Context(), file, o); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("an ID: %v", err)
	}
	o.ID = ""
	p := newDeepPKI(t)
	root := p.root.Leaf()
	certificate := pemOf(root)
	if all, err := component.ImportAll(t.Context(), certificate, o); err != nil || len(all) != 1 {
		t.Errorf("a certificate: %v, %v", all, err)
	}
	o.Policy = func(c *component.Component) error { return trustkeep.ErrRejected }
	if all, err := component.ImportAll(t.Context(), certificate, o); !errors.Is(err, trustkeep.ErrRejected) || all != nil {
		t.Errorf("policy: %v, %v", all, err)
	}
}
