package keystore

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Signer unlocks the private key of that alias, with the passwords that Identity would
// use. Unlike Identity it needs no certificate: it serves a key that waits for its
// certificate, or whose certificate is another key's. The result does not print the key.
// It is kept, so asking again costs nothing.
//
// Errors: ErrNotFound when there is no such entry or it holds no private key,
// ErrIncorrectPassword, ErrUnsupported for keys that the standard library does not know,
// ErrCorrupt.
func (k *Keystore) Signer(alias string) (crypto.Signer, error) {
	const op = "keystore: signer"
	k.mu.RLock()
	it, err := k.keyItem(op, alias)
	if err != nil {
		k.mu.RUnlock()
		return nil, err
	}
	if key := it.signer(); key != nil {
		k.mu.RUnlock()
		return key, nil
	}
	password := redact.NewSecret(k.passwordOf(it).Bytes())
	path, format := k.origin.path, k.format
	k.mu.RUnlock()
	defer password.Wipe()
	key, err := openKey(it.e, password.Bytes())
	if err != nil {
		e := &trustkeep.Error{Op: op, Path: path, Format: string(format), Alias: it.e.Alias, Err: err}
		if errors.Is(err, trustkeep.ErrIncorrectPassword) {
			if e.Hint = hintFor(err, password); e.Hint == "" {
				e.Hint = "the key may have a password of its own"
			}
		}
		return nil, e
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

func openKey(e *entry.Entry, password []byte) (crypto.Signer, error) {
	if e.Key == nil || e.Key.Open == nil {
		return nil, unreadable(e)
	}
	der, err := e.Key.Open(password)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	key, err := parseKey(der)
	if err != nil {
		return nil, err
	}
	return redact.Key(key), nil
}
