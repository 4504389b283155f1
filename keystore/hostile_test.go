package keystore_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// isTyped reports whether a program can tell what is wrong.
func isTyped(err error) bool {
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrIncorrectPassword,
		trustkeep.ErrKeyMismatch, trustkeep.ErrUnsupported, trustkeep.ErrExists} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func TestHostileInput(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	jksHeader := "\xfe\xed\xfe\xed\x00\x00\x00\x02"
	for _, c := range []struct {
		name     string
		data     []byte
		password string
		want     error
	}{
		{"empty", nil, "changeit", trustkeep.ErrCorrupt},
		{"one byte", []byte{0x30}, "changeit", trustkeep.ErrCorrupt},
		{"text", []byte("this is no key store\n"), "changeit", trustkeep.ErrCorrupt},
		{"4 GiB length", []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 3}, "changeit", trustkeep.ErrCorrupt},
		{"deep BER", bytes.Repeat([]byte{0x30, 0x80}, 1_000_000), "changeit", trustkeep.ErrCorrupt},
		{"JKS of 2^32-1 entries", []byte(jksHeader + "\xff\xff\xff\xff"), "changeit", trustkeep.ErrCorrupt},
		{"JKS with a certificate of 4 GiB", []byte(jksHeader + "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05X.509\xff\xff\xff\xff"), "changeit", trustkeep.ErrCorrupt},
		{"p12, wrong password", read("keytool-three.p12"), "changeit2", trustkeep.ErrIncorrectPassword},
		{"legacy p12, wrong password", read("openssl-legacy.p12"), "changeit2", trustkeep.ErrIncorrectPassword},
		{"jks, wrong password", read("keytool-two.jks"), "changeit2", trustkeep.ErrIncorrectPassword},
		{"no MAC and a password", read("keytool-passwordless.p12"), "changeit", trustkeep.ErrCorrupt},
		{"p12 and more", append(read("openssl.p12"), 'x'), "changeit", trustkeep.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			ks, err := keystore.Parse(c.data, trustkeep.Password(c.password))
			if !errors.Is(err, c.want) && !(errors.Is(c.want, trustkeep.ErrCorrupt) && errors.Is(err, trustkeep.ErrLimit)) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if ks != nil {
				t.Error("a store was returned beside the error")
			}
			if err != nil && len(err.Error()) > 2048 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

// TestTruncated cuts every fixture at many places.
func TestTruncated(t *testing.T) {
	forFixtures(t, func(t *testing.T, name string, data []byte, password string) {
		step := max(1, len(data)/101)
		for n := 0; n < len(data); n += step {
			ks, err := keystore.Parse(data[:n], trustkeep.Password(password))
			if err == nil && strings.HasSuffix(name, ".pem") {
				continue // what stands before the cut is whole
			}
			if err == nil || ks != nil || !isTyped(err) {
				t.Fatalf("%d of %d bytes: %v, %v", n, len(data), ks, err)
			}
		}
	})
}

// TestBitFlips changes single bits of authenticated stores: either that is
// noticed, or what is read is the same.
func TestBitFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	flips := testtool.Rounds(20, 100)
	forFixtures(t, func(t *testing.T, name string, data []byte, password string) {
		if strings.HasSuffix(name, ".pem") || name == "keytool-passwordless.p12" || name == "keytool-20.p12" {
			t.Skip("nothing authenticates it, or like another")
		}
		original, err := keystore.Parse(data, trustkeep.Password(password))
		if err != nil {
			t.Fatal(err)
		}
		want := snapshot(original)
		for range flips {
			bit := rng.IntN(len(data) * 8)
			flipped := bytes.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			ks, err := keystore.Parse(flipped, trustkeep.Password(password))
			if err != nil {
				if !isTyped(err) {
					t.Errorf("bit %d: untyped error %v", bit, err)
				}
				continue
			}
			if got := snapshot(ks); got != want {
				t.Errorf("bit %d: other content without an error:\n%s\nwant\n%s", bit, got, want)
			}
		}
	})
}

// snapshot is everything that can be had of a store without unlocking.
func snapshot(ks *keystore.Keystore) string {
	var b strings.Builder
	for _, e := range ks.Entries() {
		b.WriteString(e.Kind.String() + " " + e.Alias + " " + e.Created.String())
		for _, raw := range e.RawChain {
			b.WriteString(" " + fingerprint(raw))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func forFixtures(t *testing.T, test func(t *testing.T, name string, data []byte, password string)) {
	passwords := map[string]string{}
	for _, e := range readTruth(t) {
		passwords[e.file] = e.storePassword
	}
	passwords["openssl-any-order.pem"] = "x"
	for name, password := range passwords {
		if password == "-" {
			continue
		}
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { test(t, name, data, password) })
	}
}
