package pkcs8

import (
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Iterations of PBKDF2-HMAC-SHA256 that keys in PEM and DER are encrypted with:
// some 15 ms for whoever tries a password.
const Iterations = 100_000

// ErrNoPassword is the error of opening an encrypted key without a password. It
// wraps trustkeep.ErrIncorrectPassword.
var ErrNoPassword = fmt.Errorf("pkcs8: the key is encrypted and no password was given: %w", trustkeep.ErrIncorrectPassword)

// NewKey makes a PrivateKey of the DER of a private key in any form: encrypted
// or plain PKCS#8, or one of the older ones that Wrap reads. What can be told
// without the password is filled in; Protected is der, which must not change
// afterwards. spend is asked for what a public key costs that has to be computed.
//
// The error wraps trustkeep.ErrCorrupt. A key whose encryption is not known is
// no error; opening it is.
func NewKey(der []byte, spend limits.Spender) (*entry.PrivateKey, error) {
	if IsPrivateKeyInfo(der) || IsTraditional(der) {
		return newPlainKey(der, spend)
	}
	e, err := Parse(der)
	switch {
	case errors.Is(err, trustkeep.ErrUnsupported):
		return &entry.PrivateKey{
			Protected: der, Encrypted: true, Protection: "unknown",
			Unlock: func([]byte, limits.Spender) ([]byte, error) { return nil, err },
		}, nil
	case err != nil:
		return nil, err
	}
	return &entry.PrivateKey{
		Protected: der, Encrypted: true, Protection: e.Scheme.String(),
		Unlock: func(password []byte, spend limits.Spender) ([]byte, error) {
			if password == nil {
				return nil, ErrNoPassword
			}
			return e.Decrypt(password, spend)
		},
	}, nil
}

// newPlainKey is NewKey for keys that are not encrypted.
func newPlainKey(der []byte, spend limits.Spender) (*entry.PrivateKey, error) {
	plain, err := Wrap(der)
	if err != nil {
		return nil, err
	}
	name, err := Describe(plain)
	if err != nil {
		return nil, err
	}
	public, err := PublicKeyInfo(plain, spend)
	if err != nil {
		return nil, err
	}
	return &entry.PrivateKey{
		Protected: der, Protection: "none", Algorithm: name, PublicKeyInfo: public,
		Unlock: func([]byte, limits.Spender) ([]byte, error) { return append([]byte(nil), plain...), nil },
	}, nil
}
