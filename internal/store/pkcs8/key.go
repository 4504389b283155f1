package pkcs8

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// info is a PrivateKeyInfo taken apart (RFC 5208 section 5, RFC 5958 section
// 2). The slices are parts of the input.
type info struct {
	oid    asn1.ObjectIdentifier
	params cryptobyte.String // DER of the parameters; empty where absent
	key    cryptobyte.String // content of the OCTET STRING
	// algorithm is the DER of the AlgorithmIdentifier.
	algorithm cryptobyte.String
	// public is the content of the BIT STRING of RFC 5958, after the count
	// of unused bits; nil where absent.
	public []byte
}

func parseInfo(der []byte) (*info, error) {
	in := cryptobyte.String(der)
	var seq, algorithm cryptobyte.String
	var version int
	k := new(info)
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) ||
		!seq.ReadASN1Element(&k.algorithm, tag.SEQUENCE) || !seq.ReadASN1(&k.key, tag.OCTET_STRING) {
		return nil, corrupt("private key")
	}
	if version < 0 || version > 1 {
		return nil, fmt.Errorf("pkcs8: private key of version %d: %w", version, trustkeep.ErrUnsupported)
	}
	copied := k.algorithm
	if !copied.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&k.oid) {
		return nil, corrupt("algorithm of a private key")
	}
	if !algorithm.Empty() {
		var t tag.Tag
		if !algorithm.ReadAnyASN1Element(&k.params, &t) || !algorithm.Empty() {
			return nil, corrupt("parameters of a private key")
		}
	}
	var public cryptobyte.String
	var present bool
	if !seq.SkipOptionalASN1(tag.Tag(0).ContextSpecific().Constructed()) || // attributes
		!seq.ReadOptionalASN1(&public, &present, tag.Tag(1).ContextSpecific()) || !seq.Empty() {
		return nil, corrupt("fields behind a private key")
	}
	if present {
		if len(public) == 0 || public[0] != 0 {
			return nil, corrupt("public key of a private key")
		}
		k.public = public[1:]
	}
	return k, nil
}

// ParseKey returns the key in the PrivateKeyInfo der as crypto/x509 does:
// *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey or *ecdh.PrivateKey.
// The error wraps trustkeep.ErrUnsupported for an algorithm, a curve or a size
// that crypto/x509 does not know or refuses, trustkeep.ErrLimit where spend refuses
// the size of the key, and trustkeep.ErrCorrupt otherwise.
func ParseKey(der []byte, spend limits.Spender) (any, error) {
	k, err := parseInfo(der)
	if err != nil {
		return nil, err
	}
	name, err := k.describe()
	if err != nil {
		return nil, err
	}
	if !k.standard() {
		return nil, fmt.Errorf("pkcs8: %s key: %w", name, trustkeep.ErrUnsupported)
	}
	if err := k.charge(spend); err != nil {
		return nil, fmt.Errorf("pkcs8: %s key: %w", name, err)
	}
	if k.oid.Equal(oidEC) {
		if err := k.checkCurve(); err != nil {
			return nil, err
		}
	}
	if k.oid.Equal(oidX25519) {
		if err := fips.Refuse("X25519"); err != nil {
			return nil, fmt.Errorf("pkcs8: %w", err)
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("pkcs8: %s key: %w: %v", name, trustkeep.ErrCorrupt, err)
	}
	return key, nil
}

// minRSA is the least size of an RSA key that crypto/rsa works with unless
// GODEBUG says otherwise.
const minRSA = 1024

// standard reports whether crypto/x509 knows keys of that algorithm.
func (k *info) standard() bool {
	switch {
	case k.oid.Equal(oidRSA):
		n, _, err := k.rsaPublic()
		return err == nil && bitLen(n) >= minRSA
	case k.oid.Equal(oidEC):
		_, ok, _ := k.curve()
		return ok
	}
	return k.oid.Equal(oidEd25519) || k.oid.Equal(oidX25519)
}

// PublicKeyInfo returns the DER of the SubjectPublicKeyInfo (RFC 5280 section
// 4.1.2.7) that belongs to the PrivateKeyInfo der, or nil where the key does
// not tell. It is taken from the key as written and not computed where
// possible, also for algorithms that crypto/x509 does not know, and therefore
// good for finding a certificate but no proof that the key matches it. The error
// is that of spend, which is asked where it has to be computed.
func PublicKeyInfo(der []byte, spend limits.Spender) ([]byte, error) {
	k, err := parseInfo(der)
	if err != nil {
		return nil, nil
	}
	if public := k.writtenPublic(); public != nil {
		return public, nil
	}
	if k.oid.Equal(oidRSA) || k.oid.Equal(oidPSS) || !k.standard() {
		return nil, nil
	}
	if err := k.charge(spend); err != nil {
		return nil, err
	}
	if k.oid.Equal(oidEd25519) {
		if seed, ok := k.octets(); ok && len(seed) == ed25519.SeedSize {
			return k.publicKeyInfo(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)), nil
		}
		return nil, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil
	}
	return entry.PublicKeyInfo(key), nil
}

// writtenPublic is PublicKeyInfo as far as the key has it, else nil.
func (k *info) writtenPublic() []byte {
	switch {
	case k.oid.Equal(oidRSA), k.oid.Equal(oidPSS):
		n, e, err := k.rsaPublic()
		if err != nil {
			return nil
		}
		var b cryptobyte.Builder
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addInteger(b, n)
			addInteger(b, e)
		})
		public, err := b.Bytes()
		if err != nil {
			return nil
		}
		return k.publicKeyInfo(public)
	case k.oid.Equal(oidEC):
		if public := k.ecPublic(); public != nil {
			return k.publicKeyInfo(public)
		}
	}
	if k.public != nil && !k.oid.Equal(oidEd25519) {
		return k.publicKeyInfo(k.public)
	}
	return nil
}

// publicKeyInfo puts a SubjectPublicKeyInfo together: its AlgorithmIdentifier
// is that of the private key, parameters included.
func (k *info) publicKeyInfo(public []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(k.algorithm)
		b.AddASN1BitString(public)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil
	}
	return der
}

// octets returns the content of the OCTET STRING that is the whole key, as RFC
// 8410 section 7 has it.
func (k *info) octets() (content []byte, ok bool) {
	key := k.key
	var octets cryptobyte.String
	ok = key.ReadASN1(&octets, tag.OCTET_STRING) && key.Empty()
	return octets, ok
}

// rsaPublic returns the content octets of modulus and public exponent of an
// RSAPrivateKey (RFC 8017 appendix A.1.2).
func (k *info) rsaPublic() (n, e []byte, err error) {
	key := k.key
	var seq, modulus, exponent cryptobyte.String
	if !key.ReadASN1(&seq, tag.SEQUENCE) || !key.Empty() || !seq.SkipASN1(tag.INTEGER) ||
		!readPositive(&seq, &modulus) || !readPositive(&seq, &exponent) {
		return nil, nil, corrupt("RSA key")
	}
	return modulus, exponent, nil
}

// ecPublic returns the public key in an ECPrivateKey (RFC 5915 section 3), nil
// where it has none.
func (k *info) ecPublic() []byte {
	key := k.key
	s, err := readSEC1(&key)
	if err != nil || !key.Empty() {
		return nil
	}
	return s.public
}

func readPositive(in, out *cryptobyte.String) bool {
	return in.ReadASN1(out, tag.INTEGER) && len(*out) > 0 && (*out)[0]&0x80 == 0
}

func addInteger(b *cryptobyte.Builder, content []byte) {
	b.AddASN1(tag.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}
