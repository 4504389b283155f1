package keystore

import (
	"bytes"
	"crypto/subtle"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// ChangePassword gives the store and the keys that share its password a new
// one, which counts from the next Save on. Keys with a password of their own
// keep it. A wrong current password changes nothing.
//
// It unlocks every key that shares the password. Errors: ErrIncorrectPassword;
// ErrEmpty for a nil new password (SaveOptions.NoPassword writes a store without
// one).
func (k *Keystore) ChangePassword(current, next trustkeep.PasswordSource) error {
	const op = "keystore: change password"
	old, secret, err := revealBoth(current, next)
	defer old.Wipe()
	switch {
	case err != nil:
	case secret == nil:
		err = fmt.Errorf("new password: %w", trustkeep.ErrEmpty)
	case !k.HasPassword(old.Bytes()):
		err = trustkeep.ErrIncorrectPassword
	}
	if err != nil {
		secret.Wipe()
		return &trustkeep.Error{Op: op, Path: k.Path(), Format: string(k.Format()), Err: err}
	}
	var sharing []*item
	k.mu.RLock()
	for _, it := range k.items {
		if it.password == nil && it.e.Key != nil && !it.set {
			sharing = append(sharing, it)
		}
	}
	k.mu.RUnlock()
	// Once the password is another, what is stored cannot be opened with it.
	// So each key is opened now and protected anew when the store is saved.
	opened := make([]*item, len(sharing))
	entry.Parallel(len(sharing), func(i int) {
		// One that does not open has a password of its own, which it
		// keeps, or cannot be used by anybody.
		opened[i], _ = sharing[i].opened(old.Bytes())
	})
	var removed, added []*item
	for i, it := range opened {
		if it != nil {
			removed, added = append(removed, sharing[i]), append(added, it)
		}
	}
	if err := k.exchange(op, removed, added); err != nil {
		secret.Wipe()
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.password.Wipe()
	k.password = secret
	return nil
}

// ChangeKeyPassword gives one key another password, which counts from the next
// Save on. A nil next stands for the store's password. The format must let each
// key have a password of its own, unless next is nil. A wrong current password
// changes nothing.
//
// Errors: ErrIncorrectPassword, ErrUnsupported, ErrNotFound and what opening the
// key may yield.
func (k *Keystore) ChangeKeyPassword(alias string, current, next trustkeep.PasswordSource) error {
	const op = "keystore: change key password"
	old, secret, err := revealBoth(current, next)
	defer old.Wipe()
	if err != nil {
		return &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	it, err := k.changedKey(op, alias, old, secret)
	if err == nil {
		err = k.exchange(op, []*item{it.from}, []*item{it.to})
	}
	if err != nil {
		secret.Wipe()
	}
	return err
}

// replacement is an entry and what takes its place.
type replacement struct{ from, to *item }

func (k *Keystore) changedKey(op, alias string, old, secret *redact.Secret) (r replacement, err error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if r.from, err = k.keyItem(op, alias); err != nil {
		return r, err
	}
	switch {
	case secret != nil && !hasKeyPasswords(k.format):
		err = fmt.Errorf("a key password of its own in %s: %w", k.format, trustkeep.ErrUnsupported)
	case r.from.held() && !same(k.passwordOf(r.from), old):
		err = trustkeep.ErrIncorrectPassword
	default:
		r.to, err = r.from.opened(old.Bytes())
	}
	if err != nil {
		return r, &trustkeep.Error{Op: op, Path: k.origin.path, Format: string(k.format), Alias: r.from.e.Alias, Err: err}
	}
	r.to.password = secret
	return r, nil
}

// HasPassword reports whether the store's password is this one, nil standing for
// none. It is how an audit finds passwords that everybody knows.
func (k *Keystore) HasPassword(password []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return same(k.password, redact.NewSecret(password))
}

// same compares in a time that does not depend on where passwords differ.
func same(a, b *redact.Secret) bool {
	return (a == nil) == (b == nil) && subtle.ConstantTimeCompare(a.Bytes(), b.Bytes()) == 1
}

func revealBoth(current, next trustkeep.PasswordSource) (old, secret *redact.Secret, err error) {
	if old, err = reveal(current); err != nil {
		return nil, nil, err
	}
	if secret, err = reveal(next); err != nil {
		old.Wipe()
		return nil, nil, err
	}
	return old, secret, nil
}

// held reports whether the key is in memory in the clear, so that opening it
// proves no password.
func (it *item) held() bool { return it.set || it.e.Key != nil && it.e.Key.Protected == nil }

// opened returns a copy of the item whose key is unlocked, to be protected anew
// when the store is saved.
func (it *item) opened(password []byte) (*item, error) {
	if it.set {
		next := it.variant(func(*entry.Entry) {})
		next.was = it.root()
		next.identity.Store(it.identity.Load())
		return next, nil
	}
	if it.e.Key == nil || it.e.Key.Open == nil {
		return nil, fmt.Errorf("key cannot be opened: %w", trustkeep.ErrUnsupported)
	}
	plain, err := it.e.Key.Open(password)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	secret := redact.NewSecret(plain)
	next := it.variant(func(e *entry.Entry) {
		e.Key = &entry.PrivateKey{
			Algorithm: it.e.Key.AlgorithmName(), PublicKeyInfo: it.e.Key.PublicKeyInfo, Protection: it.e.Key.Protection, Encrypted: it.e.Key.Encrypted,
			// Whoever calls this has shown the password once.
			Open: func([]byte) ([]byte, error) { return bytes.Clone(secret.Bytes()), nil },
		}
	})
	next.was = it.root()
	next.identity.Store(it.identity.Load())
	return next, nil
}
