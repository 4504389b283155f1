package pbe

import (
	"crypto"

	"github.com/trustkeep/trustkeep/internal/limits"
)

// DeriveKeyIV derives a key and an initialisation vector by RFC 7292 appendix
// B, for ciphers that PKCS#12 does not name. password is UTF-8, nil is none.
// Costs and errors as for Scheme.Derive.
func DeriveKeyIV(hash crypto.Hash, password, salt []byte, iterations int64, keyLength, ivLength int, spend limits.Spender) (key, iv []byte, err error) {
	if err := (Params{KDF: PKCS12, Hash: hash}).approvedKDF(len(salt), keyLength); err != nil {
		return nil, nil, err
	}
	size := hash.Size()
	if err := chargePKCS12(iterations, hash, blocks(keyLength, size)+blocks(ivLength, size), spend); err != nil {
		return nil, nil, err
	}
	encoded := bmpPassword(password)
	defer clear(encoded)
	return pkcs12KDF(hash, encoded, salt, iterations, idKey, keyLength), pkcs12KDF(hash, encoded, salt, iterations, idIV, ivLength), nil
}
