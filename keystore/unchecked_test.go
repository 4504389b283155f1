package keystore_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestUncheckedStoreSaysSo: Java's formats can be read without their password, and then
// nothing vouches for what they hold.
func TestUncheckedStoreSaysSo(t *testing.T) {
	root := testpki.New(t, testpki.Options{}).Root.Cert
	for _, f := range []trustkeep.Format{trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS} {
		t.Run(string(f), func(t *testing.T) {
			ks := keystore.New()
			if err := ks.SetTrusted("root", root); err != nil {
				t.Fatal(err)
			}
			data, err := ks.Encode(trustkeep.SaveOptions{Format: f, Password: first})
			if err != nil {
				t.Fatal(err)
			}
			unchecked, err := keystore.Parse(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := unchecked.Findings(); len(got) != 1 || got[0].Code != "unchecked" || unchecked.Authenticated() {
				t.Errorf("findings %v, authenticated %v", got, unchecked.Authenticated())
			}
			trust, err := truststore.Parse(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := trust.Findings(); len(got) != 1 || got[0].Code != "unchecked" || trust.Authenticated() {
				t.Errorf("problems %v, authenticated %v", got, trust.Authenticated())
			}
			checked, err := keystore.Parse(data, first)
			if err != nil || len(checked.Findings()) != 0 || !checked.Authenticated() {
				t.Errorf("opened with the password: %v, %v", checked.Findings(), err)
			}
		})
	}
}

// TestSaveIsReproducible: with Rand the same store gives the same bytes at any time.
func TestSaveIsReproducible(t *testing.T) {
	id := newIdentity(t, testpki.New(t, testpki.Options{}).Server("server"))
	pem := keystore.New()
	if err := pem.SetIdentity("server", id); err != nil {
		t.Fatal(err)
	}
	// Read back from a format without dates, its entries have none.
	data, err := pem.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: trustkeep.PKCS12, Password: first})
	if err != nil {
		t.Fatal(err)
	}
	if data, err = reencode(data, keystore.Options{}, trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: trustkeep.PEM}); err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte("created"), []byte("ignored"))
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		for about, clock := range map[string]func() time.Time{"no clock": nil, "a clock": func() time.Time { return noon }} {
			t.Run(string(f)+" "+about, func(t *testing.T) {
				var outputs [2][]byte
				for i := range outputs {
					var err error
					if outputs[i], err = reencode(data, keystore.Options{Clock: clock}, trustkeep.SaveOptions{Format: f, Rand: quickkdf.From(rand.NewChaCha8([32]byte{}))}); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(outputs[0], outputs[1]) {
					t.Error("the same store gave other bytes")
				}
				ks, err := keystore.Parse(outputs[0], first)
				if err != nil {
					t.Fatal(err)
				}
				want := time.Unix(0, 0)
				if clock != nil {
					want = clock()
				}
				for _, e := range ks.Entries() {
					if f != trustkeep.PKCS12 && !e.Created.IsZero() && !e.Created.Equal(want) { // whose key ID says when it was made
						t.Errorf("dated %v, want %v", e.Created, want)
					}
				}
			})
		}
	}
}

func reencode(data []byte, o keystore.Options, save trustkeep.SaveOptions) ([]byte, error) {
	ks, err := o.Parse(data, trustkeep.Password("first password"))
	if err != nil {
		return nil, err
	}
	return ks.Encode(save)
}
