package keystore_test

import (
	"bytes"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// sample has two keys with chains of three and a trusted certificate.
func sample(t testing.TB) (*keystore.Keystore, *testpki.PKI) {
	t.Helper()
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.Options{Clock: func() time.Time { return time.UnixMilli(1_750_000_000_000) }}.New()
	for _, alias := range []string{"Server", "clïent"} {
		if err := ks.SetIdentity(alias, newIdentity(t, pki.Server("localhost"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.SetTrusted("partner", pki.SelfSigned("partner").Cert); err != nil {
		t.Fatal(err)
	}
	return ks, pki
}

// written lists every combination that holds keys.
var written = []struct {
	format  trustkeep.Format
	profile trustkeep.Profile
	created bool // the format records creation times
}{
	{trustkeep.PKCS12, trustkeep.Modern, false},
	{trustkeep.PKCS12, trustkeep.Legacy, false},
	{trustkeep.JKS, "", true},
	{trustkeep.PEM, "", false},
}

func TestRoundTrip(t *testing.T) {
	ks, _ := sample(t)
	for _, w := range written {
		t.Run(fmt.Sprint(w.format, w.profile), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			err := ks.Save(path, trustkeep.SaveOptions{Format: w.format, Profile: w.profile, Password: trustkeep.Password("pässword")})
			if err != nil {
				t.Fatal(err)
			}
			got, err := keystore.Load(path, trustkeep.Password("pässword"))
			if err != nil {
				t.Fatal(err)
			}
			if got.Format() != w.format {
				t.Errorf("format %s", got.Format())
			}
			sameEntries(t, got, ks)
			for _, e := range got.Entries() {
				if want := time.UnixMilli(1_750_000_000_000); w.created && !e.Created.Equal(want) {
					t.Errorf("%s: created %v, want %v", e.Alias, e.Created, want)
				}
			}
			_, err = keystore.Load(path, trustkeep.Password("password"))
			if w.format != trustkeep.PEM { // only its keys are protected
				wantError(t, err, trustkeep.ErrIncorrectPassword)
			}
		})
	}
}

func sameEntries(t *testing.T, got, want *keystore.Keystore) {
	t.Helper()
	same := slices.Equal[[]string]
	if got.Format() == trustkeep.JKS {
		// Java finds nothing under an alias with capitals in a JKS, so
		// they are folded when written.
		same = func(a, b []string) bool { return slices.EqualFunc(a, b, strings.EqualFold) }
	}
	if !same(got.Aliases(), want.Aliases()) {
		t.Fatalf("aliases %q, want %q", got.Aliases(), want.Aliases())
	}
	wantEntries := want.Entries()
	for i, g := range got.Entries() {
		w := wantEntries[i]
		if g.Kind != w.Kind || !slices.EqualFunc(g.RawChain, w.RawChain, bytes.Equal) || g.Err != nil {
			t.Errorf("%s: %v with %d certificates (%v), want %v with %d", g.Alias, g.Kind, len(g.RawChain), g.Err, w.Kind, len(w.RawChain))
		}
		if g.Kind != keystore.KeyEntry {
			continue
		}
		a, err := got.Identity(g.Alias)
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := want.Identity(g.Alias)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Signer().Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Signer().Public()) {
			t.Errorf("%s: another key", g.Alias)
		}
	}
}

// TestSaveKeepsWhatItCannotOpen edits a store of which one key's password is
// not known.
func TestSaveKeepsWhatItCannotOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.jks")
	original, err := os.ReadFile("testdata/keytool-two.jks")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, original, 0o600); err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Load(path, trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Rename("second", "renamed"); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	ks, err = keystore.Load(path, trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	if ks.Format() != trustkeep.JKS {
		t.Errorf("saving changed the format to %s", ks.Format())
	}
	if _, err := ks.IdentityWithPassword("first", trustkeep.Password("firstpass")); err != nil {
		t.Error(err)
	}
	if _, err := ks.Identity("renamed"); err != nil {
		t.Error(err)
	}
	_, err = ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12})
	wantError(t, err, trustkeep.ErrIncorrectPassword, `"first"`, "KeyPasswords")

	ks, err = keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"FIRST": trustkeep.Password("firstpass")}}.
		Load(path, trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	converted, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12})
	if err != nil {
		t.Fatal(err)
	}
	got, err := keystore.Options{Unlock: true}.Parse(converted, trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.Identity("first"); err != nil {
		t.Error(err)
	}
}

func TestFailedSaveLeavesTheFile(t *testing.T) {
	ks, pki := sample(t)
	path := filepath.Join(t.TempDir(), "store.p12")
	o := trustkeep.SaveOptions{Password: trustkeep.Password("one")}
	if err := ks.Save(path, o); err != nil {
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
	wantError(t, ks.SetIdentityWithPassword("own", newIdentity(t, pki.Server("a")), trustkeep.Password("x")), trustkeep.ErrUnsupported)
	wantError(t, ks.Save(path, trustkeep.SaveOptions{Format: "paper"}), trustkeep.ErrUnsupported)
	unchanged()
	wantError(t, ks.Save(path, trustkeep.SaveOptions{NoPassword: true}), trustkeep.ErrUnsupported)
	unchanged()
	missing := trustkeep.PasswordFromEnv("TRUSTKEEP_TEST_UNSET_VARIABLE")
	wantError(t, ks.Save(path, trustkeep.SaveOptions{Password: missing}), trustkeep.ErrNotFound)
	unchanged()
	err = keystore.Update(path, trustkeep.Password("one"), trustkeep.SaveOptions{}, func(*keystore.Keystore) error { return trustkeep.ErrRejected })
	wantError(t, err, trustkeep.ErrRejected)
	unchanged()
	wantError(t, keystore.Update(path, trustkeep.Password("two"), trustkeep.SaveOptions{}, nil), trustkeep.ErrIncorrectPassword)
	unchanged()

	// The password of a save is the store's from then on.
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Load(path, trustkeep.Password("one")); err != nil {
		t.Error(err)
	}
}

func TestConflict(t *testing.T) {
	ks, pki := sample(t)
	path := filepath.Join(t.TempDir(), "store.p12")
	if err := ks.Save(path, trustkeep.SaveOptions{Password: trustkeep.Password("one")}); err != nil {
		t.Fatal(err)
	}
	other, err := keystore.Load(path, trustkeep.Password("one"))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.SetTrusted("theirs", pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	if err := other.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	wantError(t, ks.Save(path, trustkeep.SaveOptions{}), trustkeep.ErrConflict, "keystore.Update")
	if err := other.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Errorf("saving twice: %v", err)
	}
}

func TestUpdateLosesNothing(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	path := filepath.Join(t.TempDir(), "store.jks")
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := keystore.Update(path, trustkeep.Password("one"), trustkeep.SaveOptions{Format: trustkeep.JKS}, func(ks *keystore.Keystore) error {
					return ks.SetTrusted(fmt.Sprintf("cert-%d-%d", w, i), pki.Root.Cert)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ks, err := keystore.Load(path, trustkeep.Password("one"))
	if err != nil || ks.Len() != writers*each {
		t.Fatalf("%v, %v", ks, err)
	}
}

func TestClose(t *testing.T) {
	ks, err := keystore.Load("testdata/keytool-three.p12", trustkeep.Password("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := ks.Identity("server"); err != nil || after != before {
		t.Errorf("an identity in use was lost: %v", err)
	}
	_, err = ks.Identity("client")
	wantError(t, err, trustkeep.ErrIncorrectPassword, "no password was given")
	if _, err := ks.IdentityWithPassword("client", trustkeep.Password("changeit")); err != nil {
		t.Error(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, err := keystore.Load("testdata/keytool-three.p12", trustkeep.Password("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			alias := fmt.Sprint("new-", i)
			for range 5 {
				if _, err := ks.Identity("server"); err != nil {
					t.Error(err)
				}
				if err := ks.SetTrusted(alias, pki.Root.Cert); err != nil {
					t.Error(err)
				}
				ks.Entries()
				ks.Certificates()
				if _, err := ks.Encode(trustkeep.SaveOptions{}); err != nil {
					t.Error(err)
				}
				if err := ks.Delete(alias); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if ks.Len() != 3 {
		t.Errorf("%d entries", ks.Len())
	}
}

// A store is saved again and again with one password: no codec may spoil it.
func TestSaveTwiceKeepsThePassword(t *testing.T) {
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		t.Run(string(format), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			ks := keystore.New()
			for _, alias := range []string{"one", "two", "three"} {
				generate(t, ks, alias, issue.Options{DNSNames: []string{alias}})
				var err error
				if alias == "one" {
					err = ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: format, Password: trustkeep.Password("changeit")})
				} else {
					err = ks.Save(path, trustkeep.SaveOptions{Rand: quickkdf.Rand()})
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ks.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand()}); err != nil {
					t.Fatal(err)
				}
				again, err := keystore.Load(path, trustkeep.Password("changeit"))
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range again.Aliases() {
					if _, err := again.Identity(a); err != nil {
						t.Errorf("after %q: %v", alias, err)
					}
				}
			}
		})
	}
}
