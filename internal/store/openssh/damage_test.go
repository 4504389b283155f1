package openssh

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// Every octet of an encrypted key is changed, and the file is cut everywhere: the key is
// refused with a typed error, or it is the same key. Authenticated ciphers find every
// change of what they encrypt.
func TestDamage(t *testing.T) {
	for _, cipher := range []string{"3des-cbc", "aes256-ctr", "aes256-gcm", "chacha20-poly1305"} {
		t.Run(cipher, func(t *testing.T) {
			t.Parallel()
			data := fixture(t, "damage-"+cipher)
			key, _, err := NewKey(data)
			if err != nil {
				t.Fatal(err)
			}
			want, err := key.Open([]byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			try := func(what string, n int, changed []byte) (same bool) {
				key, _, err := NewKey(changed)
				var got []byte
				if err == nil {
					if key.Encrypted {
						got, err = key.Open([]byte("secret"))
					} else {
						got, err = key.Open(nil)
					}
				}
				if err != nil && !isTyped(err) {
					t.Errorf("%s %d: %v", what, n, err)
				}
				if err == nil && !bytes.Equal(got, want) {
					t.Errorf("%s %d: another key", what, n)
				}
				return err == nil
			}
			sealed := len(data) - 144 // the private part is longer than that
			for n := range data {
				if n%testtool.Rounds(11, 1) == 0 {
					changed := slices.Clone(data)
					changed[n] ^= 1 << (n % 8)
					if same := try("octet", n, changed); same && n > sealed && (strings.Contains(cipher, "gcm") || strings.Contains(cipher, "poly")) {
						t.Errorf("octet %d: not found", n)
					}
				}
				if try("cut at", n, data[:n]) {
					t.Errorf("cut at %d: read", n)
				}
			}
			try("longer by", 1, append(slices.Clone(data), 0))
		})
	}
}
