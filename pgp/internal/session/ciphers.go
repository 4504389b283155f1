// Package session opens session key packets: those encrypted to a public key, whose
// private part may be elsewhere, and those of version 5 encrypted to a password.
package session

import (
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// foreign are the ciphers of the registry (RFC 9580 section 9.3) that this library does
// not have, with the length of their keys.
func foreign(id byte) (name string, keySize int) {
	switch id {
	case 1:
		return "IDEA", 16
	case 4:
		return "Blowfish", 16
	case 10:
		return "Twofish", 32
	case 11:
		return "Camellia-128", 16
	case 12:
		return "Camellia-192", 24
	case 13:
		return "Camellia-256", 32
	}
	return "", 0
}

// CheckCipher returns an error that names a cipher that this library does not have.
func CheckCipher(id byte) error {
	if packet.CipherFunction(id).IsSupported() {
		return nil
	}
	if name, _ := foreign(id); name != "" {
		return fault.New(trustkeep.ErrUnsupported, "cipher %s", name)
	}
	return fault.New(trustkeep.ErrUnsupported, "cipher %s", fmt.Sprint(id))
}
