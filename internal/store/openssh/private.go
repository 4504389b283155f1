package openssh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// privateKeyInfo puts the key into PKCS#8 and checks it, as far as Go knows its
// algorithm.
func (p *plainKey) privateKeyInfo(keyType string, spend limits.Spender) ([]byte, error) {
	var der []byte
	var err error
	switch keyType {
	case "ssh-rsa":
		der, err = p.rsa(spend)
	case "ssh-ed25519":
		return p.ed25519()
	case typeDSA:
		der, err = p.dsa()
		if err != nil {
			return nil, err
		}
		defer clear(der)
		return pkcs8.Wrap(der)
	default:
		curve, ok := curves[keyType]
		if !ok {
			return nil, fmt.Errorf("key of type %q: %w", trustkeep.Printable(keyType), trustkeep.ErrUnsupported)
		}
		der, err = p.ecdsa(keyType, curve)
	}
	if err != nil {
		return nil, err
	}
	defer clear(der)
	info, err := pkcs8.Wrap(der)
	if err != nil {
		return nil, err
	}
	key, err := pkcs8.ParseKey(info, spend)
	if err != nil {
		clear(info)
		return nil, err
	}
	clear(info)
	// In the encoding of the standard library, with the public key.
	out, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	return out, nil
}

// rsa returns the RSAPrivateKey of n, e, d, q^-1 mod p, p, q (RFC 8017 appendix
// A.1.2), for which the exponents of the primes are computed.
func (p *plainKey) rsa(spend limits.Spender) ([]byte, error) {
	numbers := make([]*big.Int, len(p.fields))
	one := big.NewInt(1)
	for i, f := range p.fields {
		if len(f) > 0 && f[0]&0x80 != 0 {
			return nil, corrupt("RSA key")
		}
		// Before anything is computed; the check of the key asks again.
		if err := spend.Key(8 * len(bytes.TrimLeft(f, "\x00"))); err != nil {
			return nil, err
		}
		numbers[i] = new(big.Int).SetBytes(f)
		if numbers[i].Sign() == 0 {
			return nil, corrupt("RSA key")
		}
	}
	n, e, d, inverse, prime1, prime2 := numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
	if prime1.Cmp(one) <= 0 || prime2.Cmp(one) <= 0 {
		return nil, corrupt("RSA key")
	}
	exponent := func(prime *big.Int) *big.Int { return new(big.Int).Mod(d, new(big.Int).Sub(prime, one)) }
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		for _, number := range []*big.Int{n, e, d, prime1, prime2, exponent(prime1), exponent(prime2), inverse} {
			b.AddASN1BigInt(number)
		}
	})
	return bytesOf(&b, "RSA key")
}

func (p *plainKey) ed25519() ([]byte, error) {
	public, private := p.fields[0], p.fields[1]
	if len(public) != ed25519.PublicKeySize || len(private) != ed25519.PrivateKeySize {
		return nil, corrupt("Ed25519 key")
	}
	key := ed25519.NewKeyFromSeed(private[:ed25519.SeedSize])
	if !bytes.Equal(key, private) || !bytes.Equal(key[ed25519.SeedSize:], public) {
		return nil, corrupt("Ed25519 key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	return der, nil
}

// curves are those of RFC 5656 section 10.1 that every implementation has.
var curves = map[string]struct {
	name string
	oid  asn1.ObjectIdentifier
}{
	"ecdsa-sha2-nistp256": {"nistp256", asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}},
	"ecdsa-sha2-nistp384": {"nistp384", asn1.ObjectIdentifier{1, 3, 132, 0, 34}},
	"ecdsa-sha2-nistp521": {"nistp521", asn1.ObjectIdentifier{1, 3, 132, 0, 35}},
}

// ecdsa returns the ECPrivateKey (RFC 5915 section 3) of curve, point and number.
func (p *plainKey) ecdsa(keyType string, curve struct {
	name string
	oid  asn1.ObjectIdentifier
}) ([]byte, error) {
	size := map[string]int{"nistp256": 32, "nistp384": 48, "nistp521": 66}[curve.name]
	number := bytes.TrimLeft(p.fields[2], "\x00")
	if string(p.fields[0]) != curve.name || len(number) > size || len(number) == 0 {
		return nil, corrupt("ECDSA key")
	}
	padded := make([]byte, size)
	defer clear(padded)
	copy(padded[size-len(number):], number)
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1OctetString(padded)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(curve.oid) })
		b.AddASN1(tag.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1BitString(p.fields[1]) })
	})
	return bytesOf(&b, "ECDSA key")
}

// dsa returns the DSA key of OpenSSL: p, q, g, y, x.
func (p *plainKey) dsa() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		for _, number := range p.fields {
			b.AddASN1BigInt(new(big.Int).SetBytes(number))
		}
	})
	return bytesOf(&b, "DSA key")
}

func bytesOf(b *cryptobyte.Builder, what string) ([]byte, error) {
	der, err := b.Bytes()
	if err != nil {
		return nil, corrupt(what)
	}
	return der, nil
}
