package keystore

import (
	"crypto"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Signer unlocks the private key with an alias, with the passwords that Identity uses. It
// needs no certificate: use it for a key that waits for its certificate, or whose certificate
// is another key's. The result does not print the key, and is cached.
//
// Errors: ErrNotFound if there is no such entry or it holds no private key;
// ErrIncorrectPassword; ErrUnsupported for keys that the standard library does not support;
// ErrCorrupt.
func (k *Keystore) Signer(alias string) (crypto.Signer, error) {
	const op = "keystore: signer"
	s, it, password, err := k.privateKey(op, alias)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	if key := it.signer(); key != nil {
		return key, nil
	}
	key, err := openKey(it.e, password.Bytes(), s.operation())
	if err != nil {
		return nil, s.fail(op, it.e.Alias, err, keyHint(err, password))
	}
	it.root().key.CompareAndSwap(nil, &key)
	return *it.root().key.Load(), nil
}

// signer returns the key if it is unlocked, else nil.
func (it *item) signer() crypto.Signer {
	if id := it.identity.Load(); id != nil {
		return id.signer
	}
	if key := it.root().key.Load(); key != nil {
		return *key
	}
	return nil
}

// unreadable says why a private key cannot be opened, whatever the password.
func unreadable(e *entry.Entry) error {
	if e.Err != nil {
		return e.Err
	}
	return fmt.Errorf("private key cannot be read: %w", trustkeep.ErrUnsupported)
}

func openKey(e *entry.Entry, password []byte, spend limits.Spender) (crypto.Signer, error) {
	if e.Key == nil || e.Key.Unlock == nil {
		return nil, unreadable(e)
	}
	der, err := e.Key.Unlock(password, spend)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	key, err := parseKey(der, spend)
	if err != nil {
		return nil, err
	}
	return redact.Key(key), nil
}

// privateKey returns the entry of a private key and a copy of the password that the store
// knows for it.
func (k *Keystore) privateKey(op, alias string) (s *state, it *item, password *redact.Secret, err error) {
	k.look(func(now *state) {
		s = now
		if it, err = s.findKey(op, alias); err == nil && it.signer() == nil {
			if password, err = s.credential(it, nil, false); err != nil {
				err = s.fail(op, it.e.Alias, err, "")
			}
		}
	})
	return s, it, password, err
}
