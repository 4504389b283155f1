package pbe

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Scheme is an encryption algorithm as a file names it, with its salt and
// initialisation vector. It is read-only and safe for concurrent use.
type Scheme struct {
	params Params
	salt   []byte
	iv     []byte // of PBES2; derived otherwise
	tag    int    // GCM tag length in bytes
}

// Params returns the parameters, to encrypt something else in the same way.
func (s *Scheme) Params() Params { return s.params }

// String describes the scheme for people and audits (see Params.String).
func (s *Scheme) String() string { return s.params.String() }

// Decrypt is Derive and Open.
func (s *Scheme) Decrypt(ciphertext, password []byte, spend limits.Spender) ([]byte, error) {
	derived, err := s.Derive(password, spend)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	return s.Open(derived, ciphertext)
}

// Derive turns the password into key material for Open, which the caller
// should clear. Its cost is asked of spend first; the error wraps
// trustkeep.ErrLimit when it is refused and trustkeep.ErrCorrupt when the
// parameters make no sense.
func (s *Scheme) Derive(password []byte, spend limits.Spender) ([]byte, error) {
	return s.params.derive(password, s.salt, spend)
}

// Derivation identifies what Derive computes from a password: schemes for which
// it is equal derive the same key material.
func (s *Scheme) Derivation() string {
	p := s.params
	return fmt.Sprintf("%d %d %d %d %d %d %d %d %x",
		p.KDF, p.Hash, p.Iterations, p.N, p.R, p.P, p.keyLength(), p.derivedIV(), s.salt)
}

// derivedIV is how many bytes of initialisation vector come from the password.
func (p Params) derivedIV() int {
	if p.pbes2() {
		return 0
	}
	return p.Cipher.info().iv
}

// derive returns the key, and for PBES1 the initialisation vector behind it.
func (p Params) derive(password, salt []byte, spend limits.Spender) ([]byte, error) {
	if err := p.approved(len(salt)); err != nil {
		return nil, err
	}
	key, iv := p.keyLength(), p.derivedIV()
	if err := p.charge(key, iv, spend); err != nil {
		return nil, err
	}
	switch p.KDF {
	case PKCS12:
		encoded := bmpPassword(password)
		defer clear(encoded)
		out := pkcs12KDF(p.Hash, encoded, salt, p.Iterations, idKey, key)
		if iv > 0 {
			out = append(out, pkcs12KDF(p.Hash, encoded, salt, p.Iterations, idIV, iv)...)
		}
		return out, nil
	case PBKDF1:
		return pbkdf1(p.Hash, password, salt, p.Iterations, key+iv), nil
	case PBKDF2:
		return p.pbkdf2(password, salt, key)
	case Scrypt:
		return p.scrypt(password, salt, key, spend)
	}
	return nil, fmt.Errorf("key derivation function %d: %w", p.KDF, trustkeep.ErrUnsupported)
}

func (p Params) pbkdf2(password, salt []byte, n int) ([]byte, error) {
	if fips.Enforced() {
		return approvedPBKDF2(p, password, salt, n)
	}
	return pbkdf2(p.Hash, password, salt, p.Iterations, n), nil
}

// charge asks for the cost of deriving key and iv bytes.
func (p Params) charge(key, iv int, spend limits.Spender) error {
	switch p.KDF {
	case PKCS12:
		size := p.Hash.Size()
		return chargePKCS12(p.Iterations, p.Hash, blocks(key, size)+blocks(iv, size), spend)
	case PBKDF1:
		return spend.Derive(p.Iterations, 1)
	case PBKDF2:
		return chargePBKDF2(p.Iterations, p.Hash, key, spend)
	case Scrypt:
		return p.chargeScrypt(spend)
	}
	return nil
}

func blocks(n, size int) int { return (n + size - 1) / size }
