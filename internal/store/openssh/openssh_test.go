package openssh

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

func budget() *limits.Budget { return limits.New(trustkeep.Limits{}) }

// fixture returns the content of the PEM block of a key.
func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != Label {
		tb.Fatalf("%s is no OpenSSH key", name)
	}
	return block.Bytes
}

func TestKeysAsOpenSSH(t *testing.T) {
	truth, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	type known struct {
		algorithm, comment, protection string
		open                           error
	}
	bcrypt := "OpenSSH aes256-ctr bcrypt 16"
	want := map[string]known{
		"rsa":             {"RSA 2048", "rsa comment", "none", nil},
		"rsa-secret":      {"RSA 2048", "", bcrypt, nil},
		"ecdsa256":        {"EC P-256", "user@host", "none", nil},
		"ecdsa256-secret": {"EC P-256", "", bcrypt, nil},
		"ecdsa384":        {"EC P-384", "", "none", nil},
		"ecdsa521":        {"EC P-521", "ünïcode 鍵", "none", nil},
		"ed25519":         {"Ed25519", "user@host", "none", nil},
		"ed25519-secret":  {"Ed25519", "", bcrypt, nil},
		"ed25519-cbc":     {"Ed25519", "", "OpenSSH aes256-cbc bcrypt 16", nil},
		"ed25519-gcm":     {"Ed25519", "", "OpenSSH aes256-gcm@openssh.com bcrypt 16", nil},
		"dsa":             {"DSA 1024", "old", "none", nil},
		"dsa-secret":      {"DSA 1024", "", bcrypt, nil},

		"damage-3des-cbc":          {"Ed25519", "", "OpenSSH 3des-cbc bcrypt 1", nil},
		"damage-aes256-ctr":        {"Ed25519", "", "OpenSSH aes256-ctr bcrypt 1", nil},
		"damage-aes256-gcm":        {"Ed25519", "", "OpenSSH aes256-gcm@openssh.com bcrypt 1", nil},
		"damage-chacha20-poly1305": {"Ed25519", "", "OpenSSH chacha20-poly1305@openssh.com bcrypt 1", nil},
	}
	lines := strings.Split(strings.TrimSpace(string(truth)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d keys of %d", len(lines), len(want))
	}
	for _, line := range lines {
		f := strings.Fields(line)
		name, fingerprint, sum := f[0], f[1], f[2]
		t.Run(name, func(t *testing.T) {
			w := want[name]
			k, comment, err := NewKey(fixture(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if k.Algorithm != w.algorithm || comment != w.comment || k.Protection != w.protection || k.Encrypted != (w.protection != "none") {
				t.Errorf("%q, %q, %q, %v", k.Algorithm, comment, k.Protection, k.Encrypted)
			}
			der, err := k.Open([]byte("secret"))
			if !errors.Is(err, w.open) {
				t.Fatalf("opened: %v, want %v", err, w.open)
			}
			if err != nil {
				return
			}
			if got := sha256.Sum256(der); sum != "-" && hex.EncodeToString(got[:]) != sum {
				t.Errorf("not the PKCS#8 that OpenSSH writes: %x", der)
			}
			if got, err := pkcs8.PublicKeyInfo(der, budget()); err != nil || !bytes.Equal(got, k.PublicKeyInfo) {
				t.Errorf("public key of the file %x, of the key %x", k.PublicKeyInfo, got)
			}
			if k.PublicKeyInfo != nil {
				public, err := x509.ParsePKIXPublicKey(k.PublicKeyInfo)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := Fingerprint(public); err != nil || got != fingerprint {
					t.Errorf("fingerprint %s, %v, want %s", got, err, fingerprint)
				}
			}
			if !k.Encrypted {
				return
			}
			for _, wrong := range [][]byte{nil, {}, []byte("wrong")} {
				if _, err := k.Open(wrong); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
					t.Errorf("passphrase %q: %v", wrong, err)
				}
			}
		})
	}
}

func TestFingerprintOfOtherKeys(t *testing.T) {
	if got, err := Fingerprint("no key"); !errors.Is(err, trustkeep.ErrUnsupported) || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

// str is a string of RFC 4251 section 5.
func str(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// keyFile puts a file together.
func keyFile(cipher, kdf string, options []byte, keys uint32, public, private string) []byte {
	return slices.Concat([]byte(magic), str(cipher), str(kdf), str(string(options)),
		binary.BigEndian.AppendUint32(nil, keys), str(public), str(private))
}

func bcryptOptions(rounds uint32) []byte {
	return binary.BigEndian.AppendUint32(str("saltsaltsaltsalt"), rounds)
}

func TestRefused(t *testing.T) {
	public := string(str("ssh-ed25519")) + string(str(strings.Repeat("k", 32)))
	tests := []struct {
		name       string
		data       []byte
		read, open error
	}{
		{"2^31 rounds", keyFile("aes256-ctr", "bcrypt", bcryptOptions(1<<31), 1, public, "private"), nil, trustkeep.ErrLimit},
		{"2,048 rounds", keyFile("aes256-ctr", "bcrypt", bcryptOptions(2048), 1, public, "private"), nil, trustkeep.ErrLimit},
		{"no rounds", keyFile("aes256-ctr", "bcrypt", bcryptOptions(0), 1, public, "private"), trustkeep.ErrCorrupt, nil},
		{"no salt", keyFile("aes256-ctr", "bcrypt", binary.BigEndian.AppendUint32(str(""), 16), 1, public, "private"), trustkeep.ErrCorrupt, nil},
		{"other derivation", keyFile("aes256-ctr", "argon", nil, 1, public, "private"), nil, trustkeep.ErrUnsupported},
		{"other cipher", keyFile("blowfish-cbc", "bcrypt", bcryptOptions(16), 1, public, "private"), nil, trustkeep.ErrUnsupported},
		{"cipher without derivation", keyFile("aes256-ctr", "none", nil, 1, public, "private"), trustkeep.ErrCorrupt, nil},
		{"two keys", keyFile("none", "none", nil, 2, public, "private"), trustkeep.ErrUnsupported, nil},
		{"4 G keys", keyFile("none", "none", nil, 1<<32-1, public, "private"), trustkeep.ErrUnsupported, nil},
		{"no public key", keyFile("none", "none", nil, 1, "", "private"), trustkeep.ErrCorrupt, nil},
		{"check numbers differ", keyFile("none", "none", nil, 1, public, "12345678"), trustkeep.ErrCorrupt, nil},
		{"key that is no key", keyFile("aes256-ctr", "bcrypt", bcryptOptions(1), 1, public, strings.Repeat("x", 64)), nil, trustkeep.ErrIncorrectPassword},
		{"hardware key", keyFile("none", "none", nil, 1, string(str("sk-ssh-ed25519@openssh.com")),
			"\x00\x00\x00\x01\x00\x00\x00\x01"+string(str("sk-ssh-ed25519@openssh.com"))), nil, trustkeep.ErrUnsupported},
		{"length of 4 GiB", append([]byte(magic), 0xff, 0xff, 0xff, 0xff), trustkeep.ErrCorrupt, nil},
		{"nothing", nil, trustkeep.ErrCorrupt, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k, _, err := NewKey(test.data)
			if !errors.Is(err, test.read) || (err == nil) != (test.read == nil) {
				t.Fatalf("read: %v, want %v", err, test.read)
			}
			if err != nil {
				return
			}
			if _, err := k.Open([]byte("secret")); !errors.Is(err, test.open) {
				t.Errorf("opened: %v, want %v", err, test.open)
			}
		})
	}
}

// Numbers of 2 million bits are refused before anything is computed with them.
func TestHugeNumbers(t *testing.T) {
	huge := "\x01" + strings.Repeat("\x01", 250_000)
	public := string(str("ssh-rsa")) + string(str("\x01\x00\x01")) + string(str(huge))
	numbers := []string{"\x03", "\x03", "\x03", "\x03", "\x03", "\x03"}
	for i := range numbers {
		private := "\x00\x00\x00\x01\x00\x00\x00\x01" + string(str("ssh-rsa"))
		for j, n := range numbers {
			if i == j {
				n = huge
			}
			private += string(str(n))
		}
		private += string(str("comment"))
		k, _, err := NewKey(keyFile("none", "none", nil, 1, public, private))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(nil); !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("number %d: %v", i, err)
		}
	}
}

// Neither a prefix of a key nor one with a changed octet makes anything panic or
// return an error without a sentinel.
func TestMalformed(t *testing.T) {
	for _, name := range []string{"ed25519", "ecdsa256", "dsa"} {
		der := fixture(t, name)
		for n := range len(der) {
			if _, _, err := NewKey(der[:n]); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s: %d octets: %v", name, n, err)
			}
			changed := slices.Clone(der)
			changed[n] ^= 0xff
			k, _, err := NewKey(changed)
			if err == nil {
				_, err = k.Open(nil)
			}
			if err != nil && !isTyped(err) {
				t.Errorf("%s: octet %d: %v", name, n, err)
			}
		}
	}
}

func isTyped(err error) bool {
	return errors.Is(err, trustkeep.ErrCorrupt) || errors.Is(err, trustkeep.ErrUnsupported) ||
		errors.Is(err, trustkeep.ErrLimit) || errors.Is(err, trustkeep.ErrIncorrectPassword)
}

func FuzzOpenSSH(f *testing.F) {
	paths, err := filepath.Glob("testdata/*sa*")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds")
	}
	for _, path := range append(paths, "testdata/ed25519", "testdata/ed25519-gcm", "testdata/damage-3des-cbc", "testdata/damage-chacha20-poly1305") {
		f.Add(fixture(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, _, err := NewKey(data)
		if err == nil && !k.Encrypted {
			var der []byte
			if der, err = k.Open(nil); err == nil && !pkcs8.IsPrivateKeyInfo(der) {
				t.Fatalf("opened to %x", der)
			}
		}
		if err == nil && k.Encrypted {
			var der []byte
			if der, err = k.Unlock([]byte("secret"), limits.New(trustkeep.Limits{MaxIterations: 2 * costOfRound})); err == nil && !pkcs8.IsPrivateKeyInfo(der) {
				t.Fatalf("opened to %x", der)
			}
		}
		if err != nil && !isTyped(err) {
			t.Fatalf("untyped error %v", err)
		}
	})
}
