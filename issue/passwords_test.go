package issue_test

import (
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

var (
	storePassword = trustkeep.Password("storepass")
	keyPassword   = trustkeep.Password("a password of the key alone")
)

// parse reads a store again, in its own format.
func parse(t testing.TB, ks *keystore.Keystore, o keystore.Options) *keystore.Keystore {
	t.Helper()
	data, err := ks.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand()})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := o.Parse(data, storePassword)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// withKeyPassword is a store as it comes from a file, whose key "server" has a password of
// its own, and which knows it.
func withKeyPassword(t testing.TB, f trustkeep.Format) *keystore.Keystore {
	t.Helper()
	ks := newServer(t)
	put(t, ks, "other", issue.Options{Subject: cn("other")})
	if err := ks.Save(t.TempDir()+"/store", trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: f, Password: storePassword}); err != nil {
		t.Fatal(err)
	}
	ks = parse(t, ks, keystore.Options{})
	if err := ks.ChangeKeyPassword("server", storePassword, keyPassword); err != nil {
		t.Fatal(err)
	}
	return parse(t, ks, knowing())
}

func knowing() keystore.Options {
	o := at(noon)
	o.KeyPasswords = map[string]trustkeep.PasswordSource{"server": keyPassword}
	return o
}

// opensAsBefore checks that the key's own password opens it after a save, and the store's
// does not.
func opensAsBefore(t *testing.T, ks *keystore.Keystore, alias string, want *keystore.Identity) {
	t.Helper()
	loaded := parse(t, ks, keystore.Options{})
	_, err := loaded.Identity(alias)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	_, err = loaded.IdentityWithPassword(alias, storePassword)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	if id, err := loaded.IdentityWithPassword(alias, keyPassword); err != nil || !id.Leaf().Equal(want.Leaf()) {
		t.Errorf("%s: %v, %v", alias, id, err)
	}
}

func TestKeyPasswordsSurvive(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	asks, trust := signer(intermediate), truststore.New(root.Leaf())
	changes := map[string]func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error){
		"renewed": func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error) {
			return renew(t.Context(), ks, "server", issue.RenewOptions{Sign: asks, Trust: trust})
		},
		"renewed, new key": func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error) {
			return renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true, Sign: asks, Trust: trust})
		},
		"renewed, new key, old one kept": func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error) {
			old, err := ks.Identity("server")
			if err != nil {
				return nil, err
			}
			id, err := renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true, KeepAs: "old"})
			if err == nil {
				opensAsBefore(t, ks, "old", old)
			}
			return id, err
		},
		"installed": func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error) {
			answer, err := sign(intermediate, mustRequest(t, ks, "server"), issue.Options{})
			if err != nil {
				return nil, err
			}
			return install(ks, "server", answer, issue.InstallOptions{Trust: trust})
		},
		"installed as another": func(t *testing.T, ks *keystore.Keystore) (*keystore.Identity, error) {
			put(t, ks, "present", issue.Options{Subject: cn("present")})
			answer, err := sign(intermediate, mustRequest(t, ks, "server"), issue.Options{})
			if err != nil {
				return nil, err
			}
			if _, err := install(ks, "server", answer, issue.InstallOptions{Trust: trust, As: "present", KeepAs: "past"}); err != nil {
				return nil, err
			}
			if _, err := parse(t, ks, keystore.Options{}).Identity("past"); err != nil {
				t.Errorf("the one that was replaced has the store's password: %v", err)
			}
			return ks.Identity("present")
		},
	}
	for _, f := range []trustkeep.Format{trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.PEM} {
		for name, change := range changes {
			t.Run(string(f)+"/"+name, func(t *testing.T) {
				ks := withKeyPassword(t, f)
				id, err := change(t, ks)
				if err != nil {
					t.Fatal(err)
				}
				opensAsBefore(t, ks, id.Alias(), id)
			})
		}
	}
}

// A store that does not know a key's own password does not give the new key its own. The CA
// is not asked in vain.
func TestUnknownKeyPassword(t *testing.T) {
	ks := parse(t, withKeyPassword(t, trustkeep.JKS), at(noon))
	if _, err := ks.IdentityWithPassword("server", keyPassword); err != nil {
		t.Fatal(err)
	}
	before := ks.Aliases()
	_, err := renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true, Sign: never(t)})
	wantError(t, err, trustkeep.ErrIncorrectPassword, "issue: renew")
	if !slices.Equal(ks.Aliases(), before) {
		t.Errorf("aliases %q", ks.Aliases())
	}
	// One that the key stays with needs no password.
	id, err := renew(t.Context(), ks, "server", issue.RenewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	opensAsBefore(t, ks, "server", id)
}

// A renewal that cannot succeed does not ask the CA.
func TestHopelessRenewalAsksNobody(t *testing.T) {
	ks := newServer(t)
	put(t, ks, "taken", issue.Options{Subject: cn("taken")})
	_, err := renew(t.Context(), ks, "server", issue.RenewOptions{Sign: never(t), KeepAs: "TAKEN"})
	wantError(t, err, trustkeep.ErrExists, `"taken"`)
}
