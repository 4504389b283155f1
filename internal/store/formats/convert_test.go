package formats_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// identity returns a store of one key with its chain of three.
func identity(tb testing.TB) (*entry.Store, []byte) {
	id := testpki.New(tb, testpki.Options{}).Server("convert.example")
	e := &entry.Entry{Kind: entry.Key, Alias: "web", Key: &entry.PrivateKey{}}
	for _, der := range id.DERChain() {
		e.Chain = append(e.Chain, entry.NewCertificate(der))
	}
	return &entry.Store{Entries: []*entry.Entry{e}}, id.PKCS8()
}

// Every format that holds a key writes it, is detected as what it is and reads
// back with the same alias, key and chain.
func TestKeyInEveryFormat(t *testing.T) {
	password := []byte("secret")
	tests := []struct {
		format  entry.Format
		profile trustkeep.Profile
	}{
		{entry.PKCS12, ""}, {entry.PKCS12, trustkeep.Modern}, {entry.PKCS12, trustkeep.Legacy},
		{entry.JKS, ""}, {entry.JCEKS, ""}, {entry.BKS, ""}, {entry.UBER, ""}, {entry.BCFKS, ""}, {entry.PEM, ""},
	}
	for _, test := range tests {
		t.Run(string(test.format)+" "+string(test.profile), func(t *testing.T) {
			s, plain := identity(t)
			s.Format = test.format
			out, err := formats.Encode(s, test.profile, entry.WriteOptions{
				Password: password, Now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
				Key: func(*entry.Entry) ([]byte, []byte, error) {
					return bytes.Clone(plain), bytes.Clone(password), nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := formats.Detect(out); !ok || got != test.format {
				t.Errorf("detected as %q", got)
			}
			back, err := formats.Parse(out, options(password))
			if err != nil || len(back.Entries) != 1 {
				t.Fatal(err)
			}
			e := back.Entries[0]
			key, err := e.Key.Open(password)
			if err != nil || !bytes.Equal(key, plain) || e.Alias != "web" || len(e.Chain) != len(s.Entries[0].Chain) || !e.Key.Encrypted {
				t.Errorf("%v: %+v", err, e)
			}
			if _, err := formats.Parse(out, options([]byte("wrong"))); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// Formats without room for a key say so and name it.
func TestKeyWhereNoneFits(t *testing.T) {
	for _, format := range []entry.Format{entry.PKCS7, entry.DER, entry.PKCS8, entry.OpenSSH} {
		s, plain := identity(t)
		s.Format = format
		out, err := formats.Encode(s, "", entry.WriteOptions{Key: func(*entry.Entry) ([]byte, []byte, error) { return plain, nil, nil }})
		if !errors.Is(err, trustkeep.ErrUnsupported) || out != nil || !bytes.Contains([]byte(err.Error()), []byte("web")) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestPasswordlessTrustStore(t *testing.T) {
	s, _ := identity(t)
	root := s.Entries[0].Chain[len(s.Entries[0].Chain)-1]
	trust := &entry.Store{Format: entry.PKCS12, Entries: []*entry.Entry{{Kind: entry.Trusted, Alias: "root", Chain: []*entry.Certificate{root}}}}
	out, err := formats.Encode(trust, trustkeep.Passwordless, entry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := formats.Parse(out, options(nil))
	if err != nil || len(back.Entries) != 1 || back.Entries[0].Kind != entry.Trusted || !back.Unauthenticated {
		t.Errorf("%v", err)
	}
}
