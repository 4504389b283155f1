package bks

import (
	"errors"
	"os"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// What a sealed key is says only the encrypted part: BouncyCastle seals secret and
// public keys with a chain as well. Under the empty password too.
func TestSealedKinds(t *testing.T) {
	want := map[string]entry.Kind{
		"private": entry.Key, "secret": entry.Secret, "secretbare": entry.Secret, "public": entry.Opaque, "publicbare": entry.Opaque,
	}
	for file, password := range map[string]string{
		"sealed-kinds.bks": "changeit", "sealed-kinds.uber": "changeit",
		"sealed-kinds-nopassword.bks": "", "sealed-kinds-nopassword.uber": "",
	} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		read := func(data []byte) *entry.Store {
			t.Helper()
			s, err := Parse(data, entry.ReadOptions{Password: []byte(password), Budget: limits.New(trustkeep.Limits{})})
			if err != nil || len(s.Entries) != len(want) {
				t.Fatalf("%s: %v", file, err)
			}
			for _, e := range s.Entries {
				if e.Kind != want[e.Alias] {
					t.Errorf("%s: %s is of kind %d", file, e.Alias, e.Kind)
				}
				if e.Kind == entry.Opaque {
					if !errors.Is(e.Err, trustkeep.ErrUnsupported) {
						t.Errorf("%s: %s: %v", file, e.Alias, e.Err)
					}
					continue
				}
				if _, err := e.Key.Open([]byte(password)); err != nil {
					t.Errorf("%s: %s: %v", file, e.Alias, err)
				}
				if e.Kind == entry.Secret && e.Key.AlgorithmName() != "AES" {
					t.Errorf("%s: %s: %q", file, e.Alias, e.Key.AlgorithmName())
				}
			}
			return s
		}
		s := read(data)
		again, err := Encode(s, s.Format, entry.WriteOptions{
			Password: []byte(password), Rand: quickkdf.Rand(), Keep: func(*entry.Entry) bool { return true },
		})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		read(again)
	}
}
