package pgp

import (
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	_ "golang.org/x/crypto/sha3"
)

// certifier returns an entity whose primary key can make self-signatures.
func (k *Key) certifier() (*openpgp.Entity, error) {
	e := k.view(Legacy)
	switch secretState(e.PrivateKey) {
	case SecretNone:
		return nil, fail(trustkeep.ErrNotFound, "key %s has no private part", k.Fingerprint())
	case SecretElsewhere:
		return nil, fail(trustkeep.ErrNotFound, "the private part of primary key %s is kept elsewhere", k.Fingerprint())
	case SecretLocked:
		return nil, k.lockedError()
	}
	return e, nil
}
