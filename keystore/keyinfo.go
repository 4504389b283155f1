package keystore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/openssh"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// KeyInfo describes a decrypted key.
type KeyInfo struct {
	// Algorithm of the key itself: "RSA 2048", "EC P-256", "Ed448", "AES".
	Algorithm string
	// Usable reports whether Identity supports the algorithm. Other keys can be listed, copied
	// and written, but this library cannot sign with them.
	Usable bool
	// Matched reports whether the key belongs to the first certificate of its entry. It is
	// false if there is no certificate, or if the algorithm is not known well enough to
	// compare.
	Matched bool
	// SSHFingerprint of the public key as ssh-keygen prints it, "SHA256:…". It is empty for
	// keys that SSH does not support.
	SSHFingerprint string
}

// CheckKey decrypts the private or secret key of an entry, with the passwords that Identity
// uses, and describes it. Unlike Identity it needs neither a certificate nor an algorithm that
// the standard library supports.
//
// Errors: ErrNotFound if there is no such entry or it holds no key; ErrIncorrectPassword;
// ErrKeyMismatch if the key does not belong to the entry's certificate; ErrCorrupt; ErrLimit;
// ErrUnsupported for a key under an unknown encryption.
func (k *Keystore) CheckKey(alias string) (KeyInfo, error) {
	return k.checkKey(alias, nil)
}

// KeyCheck is what CheckKeys found out about a key.
type KeyCheck struct {
	Alias string
	Info  KeyInfo
	Err   error // that of CheckKey
}

// CheckKeys is CheckKey for all private and secret keys, on the cores there are and as one
// operation, which limits bounds; zero fields mean the defaults. It is in the order of the
// entries. Keys that were not tried, because others took the whole of a limit, have an Err
// that wraps ErrLimit and names the field of Limits to raise.
func (k *Keystore) CheckKeys(l trustkeep.Limits) []KeyCheck {
	var checks []KeyCheck
	for _, it := range k.current().items {
		if it.e.Kind == entry.Key || it.e.Kind == entry.Secret {
			checks = append(checks, KeyCheck{Alias: it.e.Alias})
		}
	}
	spend := limits.New(l)
	entry.Parallel(len(checks), func(i int) {
		checks[i].Info, checks[i].Err = k.checkKey(checks[i].Alias, spend)
	})
	return checks
}

// checkKey asks spend for what it costs. If nil, it is an operation of its own.
func (k *Keystore) checkKey(alias string, spend limits.Spender) (KeyInfo, error) {
	const op = "keystore: check key"
	s, it, password, err := k.key(op, alias)
	if err != nil {
		return KeyInfo{}, err
	}
	id := it.identity.Load()
	defer password.Wipe()
	if spend == nil {
		spend = s.operation()
	}

	var info KeyInfo
	if it.set && id != nil {
		info = KeyInfo{Algorithm: algorithmOf(id.Leaf()), Usable: true, Matched: true}
		info.SSHFingerprint, _ = openssh.Fingerprint(id.Leaf().PublicKey)
	} else {
		info, err = checkKey(it.e, password.Bytes(), spend)
	}
	if err != nil {
		return KeyInfo{}, s.fail(op, it.e.Alias, err, "")
	}
	return info, nil
}

// key returns the entry of that alias, of whatever kind, and a copy of the password that
// the store knows for it.
func (k *Keystore) key(op, alias string) (s *state, it *item, password *redact.Secret, err error) {
	k.look(func(now *state) {
		s = now
		if it, err = s.find(op, alias); err != nil {
			return
		}
		if password, err = s.credential(it, nil, false); err != nil {
			err = s.fail(op, it.e.Alias, err, "")
		}
	})
	return s, it, password, err
}

func checkKey(e *entry.Entry, password []byte, spend limits.Spender) (info KeyInfo, err error) {
	if e.Key == nil || e.Key.Unlock == nil {
		if e.Err != nil {
			return info, e.Err
		}
		return info, fmt.Errorf("the entry is of kind %s and has no key: %w", kindOf(e.Kind), trustkeep.ErrNotFound)
	}
	der, err := e.Key.Unlock(password, spend)
	if err != nil {
		return info, err
	}
	defer clear(der)
	if e.Kind != entry.Key {
		return KeyInfo{Algorithm: e.Key.AlgorithmName()}, nil
	}
	if info.Algorithm, err = pkcs8.Describe(der); err != nil {
		return info, err
	}
	var public []byte
	key, err := parseKey(der, spend)
	switch {
	case err == nil:
		info.Usable = true
		if public, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return info, fmt.Errorf("public key: %w: %v", trustkeep.ErrCorrupt, err)
		}
		info.SSHFingerprint, _ = openssh.Fingerprint(key.Public())
	case errors.Is(err, trustkeep.ErrUnsupported):
		if public, err = pkcs8.PublicKeyInfo(der, spend); err != nil {
			return info, err
		}
	default:
		return info, err
	}
	if len(e.Chain) == 0 || public == nil {
		return info, nil
	}
	if info.Matched, err = sameKey(e.Chain[0], public, info.Usable); err != nil {
		return info, err
	}
	return info, nil
}

// sameKey compares a certificate's key with that of a private key. Of a key that
// the standard library does not know, a difference may be one of encoding only.
func sameKey(c *entry.Certificate, public []byte, usable bool) (bool, error) {
	o, ok := c.Outline()
	if !ok {
		return false, nil
	}
	if bytes.Equal(o.PublicKey, public) {
		return true, nil
	}
	if !usable {
		return false, nil
	}
	// Parsed and marshalled, so that other encodings of the same compare
	// equal.
	parsed, err := x509.ParsePKIXPublicKey(o.PublicKey)
	if err != nil {
		return false, nil
	}
	if canonical, err := x509.MarshalPKIXPublicKey(parsed); err == nil && bytes.Equal(canonical, public) {
		return true, nil
	}
	return false, trustkeep.ErrKeyMismatch
}
