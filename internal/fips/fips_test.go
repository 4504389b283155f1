package fips_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

// refusals lists what is refused under fips140=only, by name of what it is.
func refusals(t *testing.T) map[string]error {
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := func(bits uint, e int) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return &rsa.PublicKey{N: n, E: e}
	}
	custom := &ecdsa.PublicKey{Curve: &elliptic.CurveParams{Name: "custom"}}
	for name, err := range map[string]error{
		"SHA-256":     fips.Hash(crypto.SHA256),
		"SHA3-512":    fips.Hash(crypto.SHA3_512),
		"HMAC":        fips.HMAC(crypto.SHA512, 14),
		"PBKDF2":      fips.PBKDF2(crypto.SHA256, 16, 14),
		"RSA of 2048": fips.PublicKey(rsaKey(2048, 65537)),
		"P-224":       fips.PublicKey(curve.Public()),
		"private":     fips.PrivateKey(curve),
		"Ed25519":     fips.PublicKey(ed25519.PublicKey{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused := map[string]error{
		"RC4":                             fips.Refuse("RC4"),
		"MD5":                             fips.Hash(crypto.MD5),
		"HMAC-SHA-1":                      fips.HMAC(crypto.SHA1, 20),
		"HMAC with a key of 104 bits":     fips.HMAC(crypto.SHA256, 13),
		"PBKDF2 with HMAC-SHA-1":          fips.PBKDF2(crypto.SHA1, 16, 16),
		"PBKDF2 with a salt of 120 bits":  fips.PBKDF2(crypto.SHA256, 15, 16),
		"PBKDF2 for a key of 104 bits":    fips.PBKDF2(crypto.SHA256, 16, 13),
		"RSA of 1024 bits":                fips.PublicKey(rsaKey(1024, 65537)),
		"RSA of 2049 bits":                fips.PublicKey(rsaKey(2049, 65537)),
		"RSA with a public exponent of 3": fips.PublicKey(rsaKey(2048, 3)),
		"RSA with other than two primes":  fips.PrivateKey(&rsa.PrivateKey{PublicKey: *rsaKey(2048, 65537)}),
		"the curve custom":                fips.PublicKey(custom),
		"a key of type string":            fips.PrivateKey("key"),
	}
	// Under fips140=only there is no such key.
	if key, err := ecdh.X25519().GenerateKey(rand.Reader); err == nil {
		refused["X25519"] = fips.PublicKey(key.PublicKey())
	}
	return refused
}

func TestNothingIsRefusedByDefault(t *testing.T) {
	if fips.Enforced() {
		t.Skip("GODEBUG=fips140=only")
	}
	for name, err := range refusals(t) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyApproved(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	if !fips.Enabled() {
		t.Error("enforced and not enabled")
	}
	for name, err := range refusals(t) {
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.HasPrefix(err.Error(), name) ||
			!strings.Contains(err.Error(), "not approved while GODEBUG=fips140=only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fips.OpenGCM(make([]byte, 16), make([]byte, 12), make([]byte, 40), nil, 12); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a tag of 12 bytes: %v", err)
	}
	gcm(t)
}

func TestGCM(t *testing.T) { gcm(t) }

func gcm(t *testing.T) {
	key, plain, additional := make([]byte, 32), []byte("attack at dawn"), []byte("header")
	g, err := fips.NewGCM(key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := g.Seal(plain, additional)
	if err != nil || len(sealed) != fips.NonceSize+len(plain)+fips.TagSize {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	if got, err := g.Open(sealed, additional); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened as %q, %v", got, err)
	}
	nonce, ciphertext := sealed[:fips.NonceSize], sealed[fips.NonceSize:]
	got, err := fips.OpenGCM(key, nonce, ciphertext, additional, fips.TagSize)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened as %q, %v", got, err)
	}
	ciphertext[0] ^= 1
	if _, err := g.Open(sealed, additional); !errors.Is(err, fips.ErrOpen) {
		t.Errorf("a changed octet: %v", err)
	}
	if _, err := g.Open(nonce[1:], additional); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("11 bytes: %v", err)
	}
	if _, err := fips.OpenGCM(key, nonce, ciphertext, additional, fips.TagSize); !errors.Is(err, fips.ErrOpen) {
		t.Errorf("a changed octet: %v", err)
	}
	if _, err := fips.OpenGCM(key, nonce[1:], ciphertext, additional, 12); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a nonce of 11 bytes and a tag of 12: %v", err)
	}
	if _, err := fips.OpenGCM(key[1:], nonce, ciphertext, additional, fips.TagSize); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a key of 31 bytes: %v", err)
	}
}

func TestTLSKey(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bits := func(n uint) *rsa.PublicKey { return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), n-1), E: 3} }
	for _, c := range []struct {
		key  any
		want bool
	}{
		{bits(2047), false}, {bits(2048), true}, {&rsa.PublicKey{}, false},
		{p224.Public(), false}, {p256.Public(), true}, {ed25519.PublicKey{}, true}, {nil, false},
	} {
		if got := fips.TLSKey(c.key); got != c.want {
			t.Errorf("%T: %v, want %v", c.key, got, c.want)
		}
	}
}
