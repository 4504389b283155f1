package openssh

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// ssh-keygen writes every kind of key under every cipher, and each is read as the
// same key in the clear.
func TestInteropEveryCipher(t *testing.T) {
	testtool.Need(t, "ssh-keygen")
	folder := t.TempDir()
	run := func(args ...string) error {
		return testtool.Command(t, "ssh-keygen", args...).Run()
	}
	block := func(path string) []byte {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := pem.Decode(data)
		if b == nil {
			t.Fatalf("%s", data)
		}
		return b.Bytes
	}
	for _, kind := range [][]string{{"rsa", "2048"}, {"rsa", "3072"}, {"ecdsa", "256"}, {"ecdsa", "384"}, {"ecdsa", "521"}, {"ed25519", "256"}} {
		path := filepath.Join(folder, strings.Join(kind, "-"))
		if err := run("-q", "-t", kind[0], "-b", kind[1], "-N", "", "-f", path); err != nil {
			t.Fatal(err)
		}
		clear, _, err := NewKey(block(path))
		if err != nil {
			t.Fatal(err)
		}
		want, err := clear.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		for cipher := range ciphers {
			if err := run("-q", "-p", "-P", "", "-N", "secret", "-a", "1", "-Z", cipher, "-f", path); err != nil {
				t.Logf("%s: not for ssh-keygen: %v", cipher, err)
				continue
			}
			data := block(path)
			if err := run("-q", "-p", "-P", "secret", "-N", "", "-f", path); err != nil {
				t.Fatal(err)
			}
			key, _, err := NewKey(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := key.Open([]byte("secret"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s under %s: %v", kind, cipher, err)
			}
			if _, err := key.Open([]byte("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
				t.Errorf("%s under %s, wrong passphrase: %v", kind, cipher, err)
			}
			for n := len(data) - 40; n < len(data) && kind[0] == "ed25519"; n += 3 {
				changed := slices.Clone(data)
				changed[n] ^= 1
				if key, _, err := NewKey(changed); err == nil {
					if _, err = key.Open([]byte("secret")); err != nil && !isTyped(err) {
						t.Errorf("%s under %s, octet %d: %v", kind, cipher, n, err)
					}
				}
			}
		}
	}
}
