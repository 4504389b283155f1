package pgp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
)

// TestArgon2OfRFC9106: the second setting of RFC 9106 section 4 (3 passes, 4 lanes, 64 MiB),
// which is also go-crypto's default, is within the default limits, twice that is not.
func TestArgon2OfRFC9106(t *testing.T) {
	message := func(kib uint32) []byte {
		var out bytes.Buffer
		w, err := openpgp.SymmetricallyEncrypt(&out, []byte("password"), nil, &packet.Config{
			AEADConfig: &packet.AEADConfig{}, S2KConfig: &s2k.Config{
				S2KMode: s2k.Argon2S2K, Argon2Config: &s2k.Argon2Config{NumberOfPasses: 3, DegreeOfParallelism: 4, Memory: kib},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("content"))
		w.Close()
		return out.Bytes()
	}
	d := Decryption{Passwords: passwords("wrong", "password")}
	var out bytes.Buffer
	if _, err := d.Decrypt(&out, bytes.NewReader(message(64<<10))); err != nil || out.String() != "content" {
		t.Errorf("64 MiB: %q, %v", out.String(), err)
	}
	if _, err := d.Decrypt(&out, bytes.NewReader(passwordMessage(argon2Spec(3, 4, 17), 1))); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("128 MiB: %v", err)
	}
	d.Options.Limits.MaxKDFMemory = 32 << 20
	if _, err := d.Decrypt(&out, bytes.NewReader(passwordMessage(argon2Spec(3, 4, 16), 1))); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("64 MiB of 32: %v", err)
	}
}
