package pbe

import (
	"crypto"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// DeriveKeyIV derives a key and an initialisation vector by RFC 7292 appendix
// B, for ciphers that PKCS#12 does not name. password is UTF-8, nil is none.
// Costs and errors as for Scheme.Derive.
func DeriveKeyIV(hash crypto.Hash, password, salt []byte, iterations int64, keyLength, ivLength int, spend limits.Spender) (key, iv []byte, err error) {
	size := hash.Size()
	if err := spend.Derive(iterations, blocks(keyLength, size)+blocks(ivLength, size)); err != nil {
		return nil, nil, err
	}
	encoded := bmpPassword(password)
	defer clear(encoded)
	return pkcs12KDF(hash, encoded, salt, iterations, idKey, keyLength), pkcs12KDF(hash, encoded, salt, iterations, idIV, ivLength), nil
}

// Derivation is a key derivation function of RFC 8018 or RFC 7914 with its
// parameters, for containers that name it apart from the cipher. It is
// read-only and safe for concurrent use.
type Derivation struct {
	params    Params
	salt      []byte
	keyLength int64
}

// ParseDerivation reads the DER of the AlgorithmIdentifier of PBKDF2 (RFC 8018
// appendix A.2) or scrypt (RFC 7914 section 7). Errors as for ParseScheme.
func ParseDerivation(algorithmIdentifierDER []byte) (*Derivation, error) {
	oid, in, err := parseAlgorithm(algorithmIdentifierDER)
	if err != nil {
		return nil, fmt.Errorf("key derivation: %w", err)
	}
	p, salt, keyLength, err := parseKDF(oid, in)
	if err != nil {
		return nil, err
	}
	return &Derivation{params: p, salt: salt, keyLength: keyLength}, nil
}

// KeyLength is the length in bytes that the parameters state, 0 where they
// state none.
func (d *Derivation) KeyLength() int64 { return d.keyLength }

// Derive derives n bytes. The password is taken as it is. Costs and errors as
// for Scheme.Derive.
func (d *Derivation) Derive(password []byte, n int, spend limits.Spender) ([]byte, error) {
	switch p := d.params; p.KDF {
	case PBKDF2:
		if err := chargePBKDF2(p.Iterations, p.Hash, n, spend); err != nil {
			return nil, err
		}
		return pbkdf2(p.Hash, password, d.salt, p.Iterations, n), nil
	case Scrypt:
		if err := p.chargeScrypt(spend); err != nil {
			return nil, err
		}
		return p.scrypt(password, d.salt, n)
	}
	return nil, fmt.Errorf("key derivation function %d: %w", d.params.KDF, trustkeep.ErrUnsupported)
}

// String describes the derivation: "PBKDF2-HMAC-SHA512 51200".
func (d *Derivation) String() string {
	p := d.params
	if p.KDF == Scrypt {
		return fmt.Sprintf("scrypt N=%d r=%d p=%d", p.N, p.R, p.P)
	}
	return fmt.Sprintf("PBKDF2-HMAC-%s %d", hashName(p.Hash), p.Iterations)
}
