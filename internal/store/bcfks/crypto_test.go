package bcfks

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"testing"
)

func hmacSHA512(key, message []byte) []byte {
	h := hmac.New(sha512.New, key)
	h.Write(message)
	return h.Sum(nil)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func block(t *testing.T, key string) cipher.Block {
	t.Helper()
	b, err := aes.NewCipher(unhex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCCM uses packet vectors 1, 2, 3, 7 and 13 of RFC 3610 section 8.
func TestCCM(t *testing.T) {
	const key = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	for _, v := range []struct {
		key, nonce, aad, plain, sealed string
		tag                            int
	}{
		{key, "00000003020100a0a1a2a3a4a5", "0001020304050607", "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
			"588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0", 8},
		{key, "00000004030201a0a1a2a3a4a5", "0001020304050607", "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916", 8},
		{key, "00000005040302a0a1a2a3a4a5", "0001020304050607", "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
			"51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5", 8},
		{key, "00000009080706a0a1a2a3a4a5", "0001020304050607", "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
			"0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490", 10},
	} {
		c := ccm{block(t, v.key), unhex(t, v.nonce), v.tag}
		plain, aad, sealed := unhex(t, v.plain), unhex(t, v.aad), unhex(t, v.sealed)
		if got := c.seal(plain, aad); !bytes.Equal(got, sealed) {
			t.Errorf("nonce %s: sealed %x", v.nonce, got)
		}
		if got, ok := c.open(sealed, aad); !ok || !bytes.Equal(got, plain) {
			t.Errorf("nonce %s: opened %x, %t", v.nonce, got, ok)
		}
		for i := range sealed {
			sealed[i] ^= 1
			if _, ok := c.open(sealed, aad); ok {
				t.Errorf("nonce %s: byte %d changed, still authentic", v.nonce, i)
			}
			sealed[i] ^= 1
		}
	}
}

func TestCCMLengths(t *testing.T) {
	b := block(t, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
	for nonce := 7; nonce <= 13; nonce++ {
		for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 1000} {
			c := ccm{b, make([]byte, nonce), 16}
			plain := bytes.Repeat([]byte{7}, n)
			if got, ok := c.open(c.seal(plain, nil), nil); !ok || !bytes.Equal(got, plain) {
				t.Errorf("nonce of %d, %d bytes: %x, %t", nonce, n, got, ok)
			}
		}
	}
	// A nonce of 13 bytes leaves two for the length.
	c := ccm{b, make([]byte, 13), 16}
	if c.seal(make([]byte, 1<<16-1), nil) == nil || c.seal(make([]byte, 1<<16), nil) != nil {
		t.Error("length beyond two bytes")
	}
	for _, short := range [][]byte{nil, make([]byte, 15)} {
		if _, ok := c.open(short, nil); ok {
			t.Errorf("%d bytes are authentic", len(short))
		}
	}
}

// TestUnwrap uses the vectors of RFC 5649 section 6.
func TestUnwrap(t *testing.T) {
	b := block(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for _, v := range []struct{ wrapped, plain string }{
		{"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a", "c37b7e6492584340bed12207808941155068f738"},
		{"afbeb0f07dfbf5419200f2ccb50bb24f", "466f7250617369"},
	} {
		wrapped := unhex(t, v.wrapped)
		if got, ok := unwrap(b, wrapped); !ok || !bytes.Equal(got, unhex(t, v.plain)) {
			t.Errorf("%x, %t", got, ok)
		}
		for i := range wrapped {
			wrapped[i] ^= 1
			if _, ok := unwrap(b, wrapped); ok {
				t.Errorf("byte %d changed, still authentic", i)
			}
			wrapped[i] ^= 1
		}
	}
	for _, n := range []int{0, 8, 15, 17, 23} {
		if _, ok := unwrap(b, make([]byte, n)); ok {
			t.Errorf("%d bytes are authentic", n)
		}
	}
}
