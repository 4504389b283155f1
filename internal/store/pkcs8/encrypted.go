// Package pkcs8 reads and writes private keys: PKCS#8 (RFC 5208, RFC 5958)
// plain and encrypted, and the forms that PEM files wrap them in.
package pkcs8

import (
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// Open returns the DER of the PrivateKeyInfo in der, which is an
// EncryptedPrivateKeyInfo or a PrivateKeyInfo already; the latter needs no
// password and is returned as a copy. Whether the key inside makes sense is
// not judged. The error wraps trustkeep.ErrIncorrectPassword,
// trustkeep.ErrUnsupported for an algorithm that is not known,
// trustkeep.ErrLimit when spend refuses the cost, or trustkeep.ErrCorrupt.
func Open(der, password []byte, spend limits.Spender) (privateKeyInfo []byte, err error) {
	if IsPrivateKeyInfo(der) {
		return append([]byte(nil), der...), nil
	}
	e, err := Parse(der)
	if err != nil {
		return nil, err
	}
	return e.Decrypt(password, spend)
}

// Scheme returns how der is encrypted, nil where it is a plain PrivateKeyInfo.
func Scheme(der []byte) (*pbe.Scheme, error) {
	if IsPrivateKeyInfo(der) {
		return nil, nil
	}
	e, err := Parse(der)
	if err != nil {
		return nil, err
	}
	return e.Scheme, nil
}

// Seal encrypts a PrivateKeyInfo and returns the DER of the
// EncryptedPrivateKeyInfo.
func Seal(plain, password []byte, params pbe.Params, rand io.Reader) ([]byte, error) {
	algorithm, ciphertext, err := params.Seal(plain, password, rand)
	if err != nil {
		return nil, fmt.Errorf("pkcs8: %w", err)
	}
	return Marshal(algorithm, ciphertext)
}

// Marshal puts an EncryptedPrivateKeyInfo together from the DER of its
// AlgorithmIdentifier and the ciphertext.
func Marshal(algorithm, ciphertext []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(algorithm)
		b.AddASN1OctetString(ciphertext)
	})
	return b.Bytes()
}

// Encrypted is an EncryptedPrivateKeyInfo (RFC 5958 section 3), taken apart so
// that deriving the key and decrypting can happen at different times.
type Encrypted struct {
	Scheme     *pbe.Scheme
	Ciphertext []byte
}

// Parse reads the DER of an EncryptedPrivateKeyInfo. The error wraps
// trustkeep.ErrUnsupported for an unknown algorithm and trustkeep.ErrCorrupt
// otherwise.
func Parse(der []byte) (*Encrypted, error) {
	in := cryptobyte.String(der)
	var seq, algorithm, ciphertext cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!seq.ReadASN1(&ciphertext, asn1.OCTET_STRING) || !seq.Empty() {
		return nil, fmt.Errorf("pkcs8: encrypted private key: %w", trustkeep.ErrCorrupt)
	}
	scheme, err := pbe.ParseScheme(algorithm)
	if err != nil {
		return nil, fmt.Errorf("pkcs8: %w", err)
	}
	return &Encrypted{Scheme: scheme, Ciphertext: ciphertext}, nil
}

// Decrypt returns the DER of the PrivateKeyInfo. Errors as for Open.
func (e *Encrypted) Decrypt(password []byte, spend limits.Spender) ([]byte, error) {
	derived, err := e.Scheme.Derive(password, spend)
	if err != nil {
		return nil, fmt.Errorf("pkcs8: %w", err)
	}
	defer clear(derived)
	return e.Open(derived)
}

// Open decrypts with key material from Scheme.Derive. A result that is no
// PrivateKeyInfo is trustkeep.ErrIncorrectPassword: one wrong password in 256
// leaves valid padding, and with RC4 every one does.
func (e *Encrypted) Open(derived []byte) ([]byte, error) {
	plain, err := e.Scheme.Open(derived, e.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("pkcs8: %w", err)
	}
	if !IsPrivateKeyInfo(plain) {
		clear(plain)
		return nil, fmt.Errorf("pkcs8: decryption: %w", trustkeep.ErrIncorrectPassword)
	}
	return plain, nil
}

// IsPrivateKeyInfo reports whether der looks like a PrivateKeyInfo (RFC 5208
// section 5) or OneAsymmetricKey (RFC 5958 section 2) as a whole: a version,
// an algorithm, an octet string and nothing but context-specific fields behind.
func IsPrivateKeyInfo(der []byte) bool {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() ||
		!seq.SkipASN1(asn1.INTEGER) || !seq.SkipASN1(asn1.SEQUENCE) || !seq.SkipASN1(asn1.OCTET_STRING) {
		return false
	}
	for !seq.Empty() {
		var field cryptobyte.String
		var tag asn1.Tag
		if !seq.ReadAnyASN1(&field, &tag) || tag&0xc0 != 0x80 {
			return false
		}
	}
	return true
}
