package pbe

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	stdpbkdf2 "crypto/pbkdf2"
	"encoding/hex"
	"fmt"
	"testing"
)

var allHashes = []crypto.Hash{
	crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256,
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The passwords "smeg" and "queeg" are Peter Gutmann's vectors, which OpenSSL
// and others carry; "sesame" is from the tests of golang.org/x/crypto/pkcs12.
func TestPKCS12KDFVectors(t *testing.T) {
	for _, v := range []struct {
		password, salt string
		iterations     int64
		purpose        byte
		want           string
	}{
		{"smeg", "0a58cf64530d823f", 1, idKey, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"},
		{"smeg", "0a58cf64530d823f", 1, idIV, "79993dfe048d3b76"},
		{"queeg", "05dec959acff72f7", 1000, idKey, "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"},
		{"queeg", "05dec959acff72f7", 1000, idIV, "11dedad7758d4860"},
		{"smeg", "3d83c0e4546ac140", 1, idMAC, "8d967d88f6caa9d714800ab3d48051d63f73a312"},
		{"queeg", "263216fcc2fab31c", 1000, idMAC, "5ec4c7a80df652294c3925b6489a7ab857c83476"},
		{"sesame", "ffffffffffffffff", 2048, idKey, "7cd9fd3e2b3be7691a44e3bef0f9ea0fb9b897d4e325d9d1"},
	} {
		want := unhex(t, v.want)
		got := pkcs12KDF(crypto.SHA1, bmpPassword([]byte(v.password)), unhex(t, v.salt), v.iterations, v.purpose, len(want))
		if !bytes.Equal(got, want) {
			t.Errorf("%s, %d iterations, ID %d: %x, want %x", v.password, v.iterations, v.purpose, got, want)
		}
	}
}

// The rehash loop has a fast and a plain way; both must agree for every hash.
func TestRehash(t *testing.T) {
	for _, id := range append(allHashes, crypto.MD5) {
		fast := bytes.Repeat([]byte{7}, id.Size())
		slow := bytes.Clone(fast)
		rehash(id, fast, 100)
		for range 100 {
			rehash(id, slow, 1)
		}
		if !bytes.Equal(fast, slow) {
			t.Errorf("%v: %x and %x", id, fast, slow)
		}
	}
}

// A standard library that marshals its states differently makes the fast way
// unavailable, which is not wrong but worth knowing.
func TestCompressorAvailable(t *testing.T) {
	for _, id := range allHashes {
		if newCompressor(id, 0) == nil || newCompressor(id, id.New().BlockSize()) == nil {
			t.Errorf("%v: no fast way", id)
		}
	}
	if newCompressor(crypto.MD5, 0) != nil {
		t.Error("MD5 is little-endian and must be refused")
	}
}

func TestPBKDF2AgainstStandardLibrary(t *testing.T) {
	for _, id := range allHashes {
		for _, password := range []string{"", "changeit", string(bytes.Repeat([]byte("long"), 50))} {
			for _, iterations := range []int{1, 2, 15, 16, 17, 1000} {
				for _, n := range []int{1, 20, 32, 70} {
					want, err := stdpbkdf2.Key(id.New, password, []byte("salt"), iterations, n)
					if err != nil {
						t.Fatal(err)
					}
					got := pbkdf2(id, []byte(password), []byte("salt"), int64(iterations), n)
					if !bytes.Equal(got, want) {
						t.Errorf("%v, %q, %d iterations, %d bytes: %x, want %x", id, password, iterations, n, got, want)
					}
				}
			}
		}
	}
}

func TestFoldSlowly(t *testing.T) {
	want := pbkdf2(crypto.SHA256, []byte("p"), []byte("s"), 40, 32)
	mac := hmac.New(crypto.SHA256.New, []byte("p"))
	mac.Write([]byte("s\x00\x00\x00\x01"))
	u := mac.Sum(nil)
	got := bytes.Clone(u)
	foldSlowly(mac, got, u, 39)
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// RFC 8018 has no vectors for PBKDF1; these are of its definition.
func TestPBKDF1(t *testing.T) {
	for _, id := range []crypto.Hash{crypto.MD5, crypto.SHA1} {
		h := id.New()
		h.Write([]byte("passwordsaltsalt"))
		want := h.Sum(nil)
		for range 99 {
			h.Reset()
			h.Write(want)
			want = h.Sum(nil)
		}
		if got := pbkdf1(id, []byte("password"), []byte("saltsalt"), 100, 16); !bytes.Equal(got, want[:16]) {
			t.Errorf("%v: %x, want %x", id, got, want[:16])
		}
	}
}

func TestKDFAllocationsDoNotGrow(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, id := range allHashes {
		allocs := func(iterations int64) float64 {
			return testing.AllocsPerRun(3, func() {
				pkcs12KDF(id, []byte{0, 'a', 0, 0}, []byte("saltsalt"), iterations, idKey, 32)
				pbkdf2(id, []byte("a"), []byte("saltsalt"), iterations, 32)
			})
		}
		if few, many := allocs(20), allocs(5000); many > few {
			t.Errorf("%v: %v allocations for 20 iterations, %v for 5000", id, few, many)
		}
	}
}

func BenchmarkPKCS12KDF(b *testing.B) {
	for _, id := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		b.Run(fmt.Sprint(id), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pkcs12KDF(id, []byte("\x00p\x00\x00"), []byte("saltsalt"), 10000, idMAC, id.Size())
			}
		})
	}
}

func BenchmarkPBKDF2(b *testing.B) {
	for _, id := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA512} {
		b.Run(fmt.Sprint(id), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pbkdf2(id, []byte("password"), []byte("saltsalt"), 10000, id.Size())
			}
		})
		b.Run(fmt.Sprint(id, "/std"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stdpbkdf2.Key(id.New, "password", []byte("saltsalt"), 10000, id.Size())
			}
		})
	}
}
