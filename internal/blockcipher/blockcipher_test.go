package blockcipher

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var ciphers = []struct {
	name    string
	make    func([]byte) (cipher.Block, error)
	lengths []int
}{
	{"CAMELLIA", NewCamellia, []int{16, 24, 32}},
	{"ARIA", NewARIA, []int{16, 24, 32}},
	{"SEED", NewSEED, []int{16}},
}

// RFC 3713 appendix A, RFC 5794 appendix A and RFC 4269 appendix B.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		make               func([]byte) (cipher.Block, error)
		key, plain, cipher string
	}{
		{NewCamellia, "0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"},
		{NewCamellia, "0123456789abcdeffedcba98765432100011223344556677", "0123456789abcdeffedcba9876543210", "b4993401b3e996f84ee5cee7d79b09b9"},
		{NewCamellia, "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff", "0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509"},
		{NewARIA, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "d718fbd6ab644c739da95f3be6451778"},
		{NewARIA, "000102030405060708090a0b0c0d0e0f1011121314151617", "00112233445566778899aabbccddeeff", "26449c1805dbe7aa25a468ce263a9e79"},
		{NewARIA, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "00112233445566778899aabbccddeeff", "f92bd7c79fb72e2f2b8f80c1972d24fc"},
		{NewSEED, "00000000000000000000000000000000", "000102030405060708090a0b0c0d0e0f", "5ebac6e0054e166819aff1cc6d346cdb"},
		{NewSEED, "000102030405060708090a0b0c0d0e0f", "00000000000000000000000000000000", "c11f22f20140505084483597e4370f43"},
		{NewSEED, "4706480851e61be85d74bfb3fd956185", "83a2f8a288641fb9a4e9a5cc2f131c7d", "ee54d13ebcae706d226bc3142cd40d4a"},
		{NewSEED, "28dbc3bc49ffd87dcfa509b11d422be7", "b41e6be2eba84a148e2eed84593c5ec7", "9b9b7bfcd1813cb95d0b3618f40f5122"},
	} {
		block, err := v.make(unhex(t, v.key))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, Size)
		block.Encrypt(got, unhex(t, v.plain))
		if !bytes.Equal(got, unhex(t, v.cipher)) {
			t.Errorf("key %s: encrypted to %x, want %s", v.key, got, v.cipher)
		}
		block.Decrypt(got, got)
		if !bytes.Equal(got, unhex(t, v.plain)) {
			t.Errorf("key %s: decrypted to %x, want %s", v.key, got, v.plain)
		}
	}
}

func TestDecryptReversesEncrypt(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, c := range ciphers {
		for _, n := range c.lengths {
			for range 200 {
				key, plain := make([]byte, n), make([]byte, Size)
				random.Read(key)
				random.Read(plain)
				block, err := c.make(key)
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, Size)
				block.Encrypt(got, plain)
				if bytes.Equal(got, plain) {
					t.Errorf("%s-%d: nothing was encrypted", c.name, 8*n)
				}
				if block.Decrypt(got, got); !bytes.Equal(got, plain) {
					t.Errorf("%s-%d: key %x, block %x: back as %x", c.name, 8*n, key, plain, got)
				}
			}
		}
	}
}

func TestKeyLengths(t *testing.T) {
	for _, c := range ciphers {
		valid := 0
		for n := range 70 {
			block, err := c.make(make([]byte, n))
			switch {
			case err == nil && block.BlockSize() == Size:
				valid++
			case !errors.Is(err, trustkeep.ErrUnsupported):
				t.Errorf("%s, key of %d bytes: %v", c.name, n, err)
			}
		}
		if valid != len(c.lengths) {
			t.Errorf("%s takes keys of %d lengths", c.name, valid)
		}
	}
}

// Random keys and 64 blocks each, compared with openssl.
func TestInteropOpenSSL(t *testing.T) {
	testtool.Need(t, "openssl")
	random := rand.NewChaCha8([32]byte{2})
	for _, c := range ciphers {
		for _, n := range c.lengths {
			key, plain, want := make([]byte, n), make([]byte, 64*Size), make([]byte, 64*Size)
			random.Read(key)
			random.Read(plain)
			name := c.name + map[int]string{16: "-128", 24: "-192", 32: "-256"}[n] + "-ECB"
			provider := "default"
			if c.name == "SEED" {
				name, provider = "SEED-ECB", "legacy"
			}
			cmd := testtool.Command(t, "openssl", "enc", "-e", "-"+name, "-K", hex.EncodeToString(key), "-nopad", "-provider", provider)
			cmd.Stdin = bytes.NewReader(plain)
			got, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			block, err := c.make(key)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(plain); i += Size {
				block.Encrypt(want[i:], plain[i:])
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: not what openssl makes", name)
			}
		}
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, c := range ciphers {
		b.Run(c.name, func(b *testing.B) {
			block, err := c.make(make([]byte, c.lengths[len(c.lengths)-1]))
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, Size)
			b.SetBytes(Size)
			for b.Loop() {
				block.Decrypt(buf, buf)
			}
		})
	}
}
