package bcfks

import (
	"crypto/aes"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

var (
	oidPBES2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidAESCCM  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 47} // RFC 5084
	oidAESWrap = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 48} // RFC 5649
)

// keyLength of AES-256, in bytes.
const keyLength = 32

// encryption is a PBES2 AlgorithmIdentifier with one of the two ciphers.
type encryption struct {
	kdf   *kdf
	nonce []byte // of CCM; nil is key wrap
	tag   int    // of CCM, in bytes
}

func parseEncryption(der []byte) (*encryption, error) {
	oid, params, ok := splitAlgorithm(der)
	if !ok {
		return nil, corrupt("encryption algorithm")
	}
	if !oid.Equal(oidPBES2) {
		return nil, fmt.Errorf("encryption algorithm %v: %w", oid, trustkeep.ErrUnsupported)
	}
	var seq, derivation, scheme cryptobyte.String
	if !params.ReadASN1(&seq, cbasn1.SEQUENCE) ||
		!seq.ReadASN1Element(&derivation, cbasn1.SEQUENCE) ||
		!seq.ReadASN1Element(&scheme, cbasn1.SEQUENCE) || !seq.Empty() {
		return nil, corrupt("parameters of PBES2")
	}
	k, err := parseKDF(derivation)
	if err != nil {
		return nil, err
	}
	if k.keyLength != 0 && k.keyLength != keyLength {
		return nil, corrupt(fmt.Sprintf("AES-256 with a key of %d bytes", k.keyLength))
	}
	e := &encryption{kdf: k}
	cipher, params, ok := splitAlgorithm(scheme)
	switch {
	case !ok:
		return nil, corrupt("cipher")
	case cipher.Equal(oidAESWrap):
	case cipher.Equal(oidAESCCM):
		if !e.parseCCM(params) {
			return nil, corrupt("parameters of CCM")
		}
	default:
		return nil, fmt.Errorf("cipher %v: %w", cipher, trustkeep.ErrUnsupported)
	}
	return e, nil
}

// parseCCM reads CCMParameters (RFC 5084 section 3.1). Tags below 8 bytes,
// which the RFC allows, are not: nothing writes them, and 4 bytes are guessed.
func (e *encryption) parseCCM(params cryptobyte.String) bool {
	var seq, nonce cryptobyte.String
	if !params.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&nonce, cbasn1.OCTET_STRING) {
		return false
	}
	e.nonce, e.tag = nonce, 12
	if !seq.Empty() && (!seq.ReadASN1Integer(&e.tag) || !seq.Empty()) {
		return false
	}
	return len(nonce) >= 7 && len(nonce) <= 13 && e.tag >= 8 && e.tag <= 16 && e.tag%2 == 0
}

func (e *encryption) String() string {
	if e.nonce == nil {
		return "PBES2 AES-256-KWP " + e.kdf.String()
	}
	return "PBES2 AES-256-CCM " + e.kdf.String()
}

// open derives the key and decrypts.
func (e *encryption) open(ciphertext, password []byte, purpose string, spend limits.Spender) ([]byte, error) {
	if err := e.kdf.charge(keyLength, spend); err != nil {
		return nil, err
	}
	key, err := e.kdf.derive(password, purpose, keyLength, spend)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return e.decrypt(ciphertext, key)
}

// decrypt returns trustkeep.ErrIncorrectPassword where the ciphertext is not
// authentic.
func (e *encryption) decrypt(ciphertext, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var plain []byte
	var ok bool
	if e.nonce == nil {
		plain, ok = unwrap(block, ciphertext)
	} else {
		plain, ok = ccm{block, e.nonce, e.tag}.open(ciphertext, nil)
	}
	if !ok {
		return nil, fmt.Errorf("decryption: %w", trustkeep.ErrIncorrectPassword)
	}
	return plain, nil
}
