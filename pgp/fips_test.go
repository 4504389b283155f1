package pgp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

// Every way into the package is closed under GODEBUG=fips140=only, with the reason.
func TestOpenPGPUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	armored := []byte("-----BEGIN PGP MESSAGE-----\n\n=twTO\n-----END PGP MESSAGE-----\n")
	var out bytes.Buffer
	for name, do := range map[string]func() error{
		"parse":    func() error { _, err := Parse(armored); return err },
		"read":     func() error { _, err := Read(bytes.NewReader(armored)); return err },
		"generate": func() error { _, _, err := Generate(GenerateOptions{UserIDs: []string{"a"}}); return err },
		"encrypt":  func() error { return Encryption{Passwords: passwords("p")}.Encrypt(&out, bytes.NewReader(armored)) },
		"writer":   func() error { _, err := Encryption{Passwords: passwords("p")}.Writer(&out); return err },
		"decrypt": func() error {
			_, err := Decryption{Passwords: passwords("p")}.Decrypt(&out, bytes.NewReader(armored))
			return err
		},
		"unverified": func() error {
			_, err := Decryption{Passwords: passwords("p")}.UnverifiedReader(bytes.NewReader(armored))
			return err
		},
		"verify": func() error { _, err := Verification{}.Message(&out, bytes.NewReader(armored)); return err },
		"detached": func() error {
			_, err := Verification{}.Detached(bytes.NewReader(armored), bytes.NewReader(armored))
			return err
		},
	} {
		err := do()
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "OpenPGP is not approved while GODEBUG=fips140=only") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
