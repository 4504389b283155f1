package keystore_test

import (
	"bytes"
	"crypto/x509/pkix"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// protections are those of keys under each profile.
var protections = map[trustkeep.Profile]string{
	trustkeep.Modern:      "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000",
	trustkeep.Java17:      "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000",
	trustkeep.Modern2026:  "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000",
	trustkeep.Java26:      "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000",
	trustkeep.FIPS:        "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000",
	trustkeep.OpenSSL11:   "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 2048",
	trustkeep.Legacy:      "PBES1 3DES-CBC PKCS12-SHA1 50000",
	trustkeep.Java8:       "PBES1 3DES-CBC PKCS12-SHA1 50000",
	trustkeep.Windows2016: "PBES1 3DES-CBC PKCS12-SHA1 2000",
}

// mixedStore has keys and trusted certificates under awkward aliases, in an order
// that is not that of the alphabet.
func mixedStore(t testing.TB) *keystore.Keystore {
	t.Helper()
	pki := testpki.New(t, testpki.Options{Seed: "profiles", Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	ks := keystore.Options{Clock: pki.Now}.New()
	for _, alias := range []string{"zwei", "Eins und mehr", "schlüssel 鍵"} {
		leaf := pki.Server("localhost")
		id, err := keystore.NewIdentity(leaf.Key, leaf.Chain...)
		if err != nil {
			t.Fatal(err)
		}
		if err := ks.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.SetTrusted("partner", pki.SelfSigned("partner.example").Cert); err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestProfilesKeepAliasesOrderAndChains(t *testing.T) {
	for _, profile := range trustkeep.Profiles() {
		if profile == trustkeep.Passwordless {
			continue
		}
		t.Run(string(profile), func(t *testing.T) {
			ks := mixedStore(t)
			path := filepath.Join(t.TempDir(), "store.p12")
			if err := ks.Save(path, trustkeep.SaveOptions{Profile: profile, Password: trustkeep.Password("changeit")}); err != nil {
				t.Fatal(err)
			}
			again, err := keystore.Load(path, trustkeep.Password("changeit"))
			if err != nil {
				t.Fatal(err)
			}
			if len(again.Findings()) != 0 || !again.Authenticated() {
				t.Errorf("%v, %v", again.Findings(), again.Authenticated())
			}
			want := ks.Entries()
			for i, e := range again.Entries() {
				if e.Alias != want[i].Alias || e.Kind != want[i].Kind || len(e.Chain) != len(want[i].Chain) || !e.Chain[0].Equal(want[i].Chain[0]) {
					t.Errorf("entry %d: %+v", i, e)
				}
				if e.Kind == keystore.KeyEntry {
					if e.Protection != protections[profile] {
						t.Errorf("%s", e.Protection)
					}
					if _, err := again.Identity(e.Alias); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// The profile that was asked for stays the store's, as format and password do.
func TestProfileStaysTheStoresOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.p12")
	ks, err := keystore.Load("testdata/keytool-three.p12", trustkeep.Password("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	protection := func() string {
		t.Helper()
		again, err := keystore.Load(path, trustkeep.Password("changeit"))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range again.Aliases() {
			if _, err := again.Identity(a); err != nil {
				t.Error(err)
			}
		}
		return again.Entries()[0].Protection
	}
	if err := ks.Save(path, trustkeep.SaveOptions{Profile: trustkeep.Windows2016}); err != nil {
		t.Fatal(err)
	}
	if err := ks.Delete("rsa"); err != nil {
		t.Fatal(err)
	}
	generate(t, ks, "new", issue.Options{Subject: pkix.Name{CommonName: "new"}})
	for range 2 {
		if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := protection(); got != protections[trustkeep.Windows2016] {
			t.Errorf("after Save: %s", got)
		}
	}
	// Encode changes nothing about the store.
	if _, err := ks.Encode(trustkeep.SaveOptions{Profile: trustkeep.Java17}); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := protection(); got != protections[trustkeep.Windows2016] {
		t.Errorf("after Encode: %s", got)
	}
	// In another format and back, it is a new store.
	for _, f := range []trustkeep.Format{trustkeep.JKS, trustkeep.PKCS12} {
		if err := ks.Save(path, trustkeep.SaveOptions{Format: f}); err != nil {
			t.Fatal(err)
		}
	}
	if got := protection(); got != protections[trustkeep.Modern] {
		t.Errorf("after JKS: %s", got)
	}
}

func TestUnknownProfile(t *testing.T) {
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM} {
		_, err := mixedStore(t).Encode(trustkeep.SaveOptions{Format: format, Profile: "java9", Password: trustkeep.Password("x")})
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "java9") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestPasswordlessNeedsNoPasswordAndTakesNoKeys(t *testing.T) {
	o := trustkeep.SaveOptions{Profile: trustkeep.Passwordless, Password: trustkeep.Password("ignored")}
	if _, err := mixedStore(t).Encode(o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("with keys: %v", err)
	}
	ks := keystore.New()
	if err := ks.SetTrusted("root", testpki.New(t, testpki.Options{}).Root.Cert); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keystore.Parse(data, nil)
	if err != nil || again.Len() != 1 || again.Entries()[0].Kind != keystore.TrustedEntry {
		t.Errorf("%v, %v", again, err)
	}
}

// With the caller's randomness, the same store gives the same bytes, and another
// seed gives others.
func TestReproducible(t *testing.T) {
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		profiles := trustkeep.Profiles()
		if format != trustkeep.PKCS12 {
			profiles = []trustkeep.Profile{""}
		}
		for _, profile := range profiles {
			if profile == trustkeep.Passwordless {
				continue
			}
			encode := func(seed byte) []byte {
				data, err := mixedStore(t).Encode(trustkeep.SaveOptions{
					Format: format, Profile: profile, Password: trustkeep.Password("changeit"), Rand: quickkdf.From(rand.NewChaCha8([32]byte{seed})),
				})
				if err != nil {
					t.Fatalf("%s %s: %v", format, profile, err)
				}
				return data
			}
			one := encode(1)
			if !bytes.Equal(one, encode(1)) {
				t.Errorf("%s %s: the same randomness gives other bytes", format, profile)
			}
			if bytes.Equal(one, encode(2)) {
				t.Errorf("%s %s: other randomness gives the same bytes", format, profile)
			}
		}
	}
}
