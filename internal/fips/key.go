package fips

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// TLSKey reports whether crypto/tls accepts certificates of this key in its FIPS
// modes: RSA from 2,048 bits, P-256, P-384, P-521 and Ed25519. It holds for every
// certificate of a chain, and does not depend on the mode of the program.
func TLSKey(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return k != nil && k.N != nil && k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k != nil && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521())
	case ed25519.PublicKey:
		return true
	}
	return false
}

// PublicKey refuses keys that must not sign, verify, encrypt or agree, as the
// standard library does: RSA of less than 2,048 or an odd number of bits or with
// a public exponent up to 2^16, custom curves, X25519, DSA.
func PublicKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch {
		case k == nil || k.N == nil:
			return Refuse("RSA without a modulus")
		case k.N.BitLen() < 2048 || k.N.BitLen()%2 == 1:
			return Refuse(fmt.Sprintf("RSA of %d bits", k.N.BitLen()))
		case k.E <= 1<<16 || k.E&1 == 0:
			return Refuse(fmt.Sprintf("RSA with a public exponent of %d", k.E))
		}
		return nil
	case *ecdsa.PublicKey:
		switch {
		case k == nil || k.Curve == nil:
			return Refuse("ECDSA without a curve")
		case k.Curve != elliptic.P224() && k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521():
			return Refuse("the curve " + k.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	case *ecdh.PublicKey:
		if k != nil && k.Curve() == ecdh.X25519() {
			return Refuse("X25519")
		}
		return nil
	}
	return Refuse(fmt.Sprintf("a key of type %T", pub))
}

// PrivateKey is PublicKey of the key's public half, and refuses RSA keys of
// other than two primes of one size. Signers of other types are judged by their
// public key alone: what they do happens elsewhere.
func PrivateKey(key crypto.PrivateKey) error {
	if k, ok := key.(*rsa.PrivateKey); ok && k != nil {
		if err := PublicKey(&k.PublicKey); err != nil {
			return err
		}
		if len(k.Primes) != 2 || k.Primes[0] == nil || k.Primes[1] == nil || k.Primes[0].BitLen() != k.Primes[1].BitLen() {
			return Refuse("RSA with other than two primes of one size")
		}
		return nil
	}
	if k, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		return PublicKey(k.Public())
	}
	return Refuse(fmt.Sprintf("a key of type %T", key))
}
