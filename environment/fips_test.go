package environment_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/pkitest"
)

// Files and identities seal by approved algorithms; a password cannot.
func TestSealersUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	file := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(file))
	dataKey := bytes.Repeat([]byte{7}, 32)
	for name, sealer := range map[string]environment.Sealer{
		"file":     environment.FileSealer(file),
		"identity": environment.IdentitySealer(pkitest.New(t).Client),
	} {
		wrapped, err := sealer.Wrap(dataKey)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := sealer.Unwrap(wrapped); err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("%s: %v", name, err)
		}
		wrapped[len(wrapped)-1] ^= 1
		if _, err := sealer.Unwrap(wrapped); err == nil {
			t.Errorf("%s: a changed octet", name)
		}
	}
	sealer := environment.PasswordSealer(trustkeep.Password("pw"))
	for _, err := range []error{
		second(sealer.Wrap(dataKey)), second(sealer.Unwrap(make([]byte, 64))),
	} {
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "GODEBUG=fips140=only") {
			t.Errorf("password: %v", err)
		}
	}
}

func second(_ []byte, err error) error { return err }
