package keywrap

import (
	"encoding/hex"
	"testing"
)

// RFC 3394 sections 4.1, 4.3, 4.5 and 4.6.
func TestVectors(t *testing.T) {
	const (
		kek  = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
		data = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
	)
	for _, v := range []struct {
		kek, key int
		want     string
	}{
		{16, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{32, 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
		{32, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
	} {
		k, _ := hex.DecodeString(kek[:2*v.kek])
		d, _ := hex.DecodeString(data[:2*v.key])
		wrapped, err := Wrap(k, d)
		if err != nil || hex.EncodeToString(wrapped) != v.want {
			t.Errorf("wrap %d by %d: %x, %v", v.key, v.kek, wrapped, err)
		}
		got, err := Unwrap(k, wrapped)
		if err != nil || string(got) != string(d) {
			t.Errorf("unwrap %d by %d: %x, %v", v.key, v.kek, got, err)
		}
		for i := range wrapped {
			wrapped[i] ^= 1
			if got, err := Unwrap(k, wrapped); err != ErrIntegrity || got != nil {
				t.Fatalf("byte %d changed: %x, %v", i, got, err)
			}
			wrapped[i] ^= 1
		}
	}
}

func TestSizes(t *testing.T) {
	kek := make([]byte, 16)
	for _, n := range []int{0, 8, 15, 17, maxKey + 8} {
		if out, err := Wrap(kek, make([]byte, n)); err == nil {
			t.Errorf("wrapped %d bytes: %x", n, out)
		}
	}
	for _, n := range []int{0, 8, 16, 23, 25, maxKey + 16} {
		if out, err := Unwrap(kek, make([]byte, n)); err == nil {
			t.Errorf("unwrapped %d bytes: %x", n, out)
		}
	}
	for _, size := range []int{0, 15, 33} {
		if _, err := Wrap(make([]byte, size), make([]byte, 16)); err == nil {
			t.Errorf("wrapped under a key of %d bytes", size)
		}
		if _, err := Unwrap(make([]byte, size), make([]byte, 24)); err == nil {
			t.Errorf("unwrapped under a key of %d bytes", size)
		}
	}
}
