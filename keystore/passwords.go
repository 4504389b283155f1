package keystore

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// ChangePassword replaces the password of the store and of the keys that share it, as of the
// next Save. Keys with their own password keep it. It unlocks every key that shares the
// password. A wrong current password changes nothing.
//
// Errors: ErrIncorrectPassword; ErrInvalid for an empty or nil new password; ErrLimit for a
// key that Options.Limits do not let it unlock. To write a store without a password, use
// SaveOptions.NoPassword.
func (k *Keystore) ChangePassword(current, next trustkeep.PasswordSource) error {
	const op = "keystore: change password"
	old, secret, err := revealBoth(current, next)
	defer old.Wipe()
	switch {
	case err != nil:
	case secret == nil:
		err = fmt.Errorf("no new password: %w", trustkeep.ErrInvalid)
	case len(secret.Bytes()) == 0:
		err = errEmptyPassword()
	}
	if err != nil {
		secret.Wipe()
		return &trustkeep.Error{Op: op, Path: k.Path(), Format: string(k.Format()), Err: err}
	}
	err = k.edit(func(s *state) (*state, error) { return s.changePassword(op, old, secret) })
	if err != nil {
		secret.Wipe()
	}
	return err
}

// changePassword takes over secret unless it fails.
func (s *state) changePassword(op string, old, secret *redact.Secret) (*state, error) {
	if !same(s.password, old) {
		return nil, s.fail(op, "", trustkeep.ErrIncorrectPassword, "")
	}
	// Once the password is another, what is stored cannot be opened with it.
	// So each key is opened now and protected anew when the store is saved.
	items := slices.Clone(s.items)
	errs := make([]error, len(items))
	spend := s.operation()
	entry.Parallel(len(items), func(i int) {
		if it := items[i]; it.password != nil || it.e.Key == nil || it.held() {
			return
		}
		// One that does not open has a password of its own, which it
		// keeps, or cannot be used by anybody; unless it only costs too much here.
		opened, err := items[i].opened(old.Bytes(), spend)
		if err == nil {
			items[i] = opened
		}
		errs[i] = err
	})
	for i, err := range errs {
		if errors.Is(err, trustkeep.ErrLimit) {
			return nil, s.fail(op, items[i].e.Alias, err, "Options.Limits bounds what opening keys may cost")
		}
	}
	next := s.with(items)
	next.password, next.inClear = secret, false
	return next, nil
}

// ChangeKeyPassword replaces the password of one key, as of the next Save. A nil next gives
// the key the store's password. Otherwise the format must allow keys their own passwords. A
// wrong current password changes nothing.
//
// Errors: ErrIncorrectPassword, ErrUnsupported, ErrNotFound, ErrInvalid for an empty password,
// and the errors of unlocking the key.
func (k *Keystore) ChangeKeyPassword(alias string, current, next trustkeep.PasswordSource) error {
	const op = "keystore: change key password"
	old, secret, err := revealBoth(current, next)
	defer old.Wipe()
	if err != nil {
		return &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	if secret != nil && len(secret.Bytes()) == 0 {
		return &trustkeep.Error{Op: op, Alias: alias, Err: errEmptyPassword()}
	}
	err = k.edit(func(s *state) (*state, error) {
		from, err := s.findKey(op, alias)
		if err != nil {
			return nil, err
		}
		if secret != nil && !hasKeyPasswords(s.format) {
			return nil, s.fail(op, from.e.Alias, fmt.Errorf("a key password of its own in %s: %w", s.format, trustkeep.ErrUnsupported), "")
		}
		checked, err := s.credential(from, old, true)
		if err != nil {
			return nil, s.fail(op, from.e.Alias, err, "")
		}
		defer checked.Wipe()
		to, err := from.opened(checked.Bytes(), s.operation())
		if err != nil {
			return nil, s.fail(op, from.e.Alias, err, "")
		}
		to.password = secret
		to.own.Store(false)
		return s.exchange(op, []*item{from}, []*item{to})
	})
	if err != nil {
		secret.Wipe()
	}
	return err
}

// errEmptyPassword: a key under the empty password only looks protected. A store that was
// read that way can be saved as it is.
func errEmptyPassword() error {
	return fmt.Errorf("an empty password protects nothing: %w", trustkeep.ErrInvalid)
}

// same compares in a time that does not depend on where passwords differ.
func same(a, b *redact.Secret) bool {
	return (a == nil) == (b == nil) && subtle.ConstantTimeCompare(a.Bytes(), b.Bytes()) == 1
}

func revealBoth(current, next trustkeep.PasswordSource) (old, secret *redact.Secret, err error) {
	if old, err = storefile.Reveal(current); err != nil {
		return nil, nil, err
	}
	if secret, err = storefile.Reveal(next); err != nil {
		old.Wipe()
		return nil, nil, err
	}
	return old, secret, nil
}

// opened returns a copy of the item whose key is unlocked, to be protected anew
// when the store is saved.
func (it *item) opened(password []byte, spend limits.Spender) (*item, error) {
	if it.set {
		return it.again(), nil
	}
	if it.e.Key == nil || it.e.Key.Unlock == nil {
		return nil, fmt.Errorf("key cannot be opened: %w", trustkeep.ErrUnsupported)
	}
	plain, err := it.e.Key.Unlock(password, spend)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	secret := redact.NewSecret(plain)
	next := it.variant(func(e *entry.Entry) {
		e.Key = &entry.PrivateKey{
			Algorithm: it.e.Key.AlgorithmName(), PublicKeyInfo: it.e.Key.PublicKeyInfo, Protection: it.e.Key.Protection, Encrypted: it.e.Key.Encrypted,
			// Whoever calls this has shown the password once.
			Unlock: func([]byte, limits.Spender) ([]byte, error) { return bytes.Clone(secret.Bytes()), nil },
		}
	})
	next.was = it.root()
	next.identity.Store(it.identity.Load())
	return next, nil
}
