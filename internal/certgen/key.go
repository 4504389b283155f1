package certgen

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
)

// KeyType is an algorithm and size of key.
type KeyType uint8

// The key types.
const (
	ECP256 KeyType = iota + 1
	ECP384
	ECP521
	RSA2048
	RSA3072
	RSA4096
	Ed25519
)

// NewKey makes a key. random is for reproducible tests and may be nil for
// crypto/rand; RSA keys never depend on it, since crypto/rsa takes its
// randomness from the system alone.
func NewKey(t KeyType, random io.Reader) (crypto.Signer, error) {
	switch t {
	case ECP256:
		return newEC(elliptic.P256(), random)
	case ECP384:
		return newEC(elliptic.P384(), random)
	case ECP521:
		return newEC(elliptic.P521(), random)
	case RSA2048:
		return newRSA(2048)
	case RSA3072:
		return newRSA(3072)
	case RSA4096:
		return newRSA(4096)
	case Ed25519:
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(orSystem(random), seed); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		defer clear(seed)
		return ed25519.NewKeyFromSeed(seed), nil
	}
	return nil, fmt.Errorf("key type %d: %w", t, trustkeep.ErrUnsupported)
}

func newRSA(bits int) (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// newEC draws scalars from random until one is in range (FIPS 186-5 appendix
// A.2.2), since crypto/ecdsa ignores a reader that it is given.
func newEC(curve elliptic.Curve, random io.Reader) (crypto.Signer, error) {
	if random == nil {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		return key, nil
	}
	bits := curve.Params().BitSize
	scalar := make([]byte, (bits+7)/8)
	defer clear(scalar)
	for {
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		scalar[0] >>= len(scalar)*8 - bits
		if key, err := ecdsa.ParseRawPrivateKey(curve, scalar); err == nil {
			return key, nil
		}
	}
}

// TypeOf is the type of a public key, and ok false for one of another kind.
func TypeOf(public crypto.PublicKey) (t KeyType, ok bool) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECP256, true
		case elliptic.P384():
			return ECP384, true
		case elliptic.P521():
			return ECP521, true
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return RSA2048, true
		case 3072:
			return RSA3072, true
		case 4096:
			return RSA4096, true
		}
	case ed25519.PublicKey:
		return Ed25519, true
	}
	return 0, false
}
