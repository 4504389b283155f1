package pbe

import (
	stdpbkdf2 "crypto/pbkdf2"

	"github.com/trustkeep/trustkeep/internal/fips"
)

// approved refuses, where fips.Enforced, what SP 800-132 does not have: every
// key derivation but PBKDF2, and every cipher but AES.
func (p Params) approved(saltLength int) error {
	if !fips.Enforced() {
		return nil
	}
	if err := p.approvedKDF(saltLength, p.keyLength()); err != nil {
		return err
	}
	switch p.Cipher {
	case AES128CBC, AES192CBC, AES256CBC, AES128GCM, AES192GCM, AES256GCM:
		return nil
	}
	return fips.Refuse(p.Cipher.info().name)
}

func (p Params) approvedKDF(saltLength, keyLength int) error {
	switch p.KDF {
	case PKCS12:
		return fips.Refuse("the key derivation of PKCS#12 with " + hashName(p.Hash))
	case PBKDF1:
		return fips.Refuse("PBKDF1 with " + hashName(p.Hash))
	case Scrypt:
		return fips.Refuse("scrypt")
	}
	return fips.PBKDF2(p.Hash, saltLength, keyLength)
}

// approvedPBKDF2 is PBKDF2 of the standard library. The one of this package,
// which is faster, makes HMACs of passwords too short for fips.HMAC.
func approvedPBKDF2(p Params, password, salt []byte, n int) ([]byte, error) {
	return stdpbkdf2.Key(p.Hash.New, string(password), salt, int(p.Iterations), n)
}
