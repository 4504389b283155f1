package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// writer makes a file of a state and answers the codec's questions about keys.
type writer struct {
	s            *state
	format       trustkeep.Format
	profile      trustkeep.Profile
	password     *redact.Secret // of the new store
	sameCodec    bool           // format and algorithms stay
	samePassword bool
	given        bool // the password of the options counts
	items        map[*entry.Entry]*item
	own          map[*item]*redact.Secret // passwords of single keys that are known
	keys         map[*item]*keySecret     // those to be protected anew

	spend limits.Spender // for opening keys

	mu     sync.Mutex // codecs may protect keys on several cores
	opened map[*item]*item
}

// keySecret is what a writer needs for one key. It is a copy, since passwords of the
// store may be wiped while keys are derived.
type keySecret struct {
	open *redact.Secret // what opens the key
	err  error          // why nothing does
}

// newWriter takes over given. It copies the passwords that it needs; it is the
// caller's turn, or it holds Keystore.secrets.
func newWriter(s *state, o trustkeep.SaveOptions, given *redact.Secret) *writer {
	w := &writer{s: s, format: o.Format, profile: o.Profile, password: given, given: given != nil, opened: make(map[*item]*item), spend: s.operation()}
	if w.format == "" {
		w.format = s.format
	}
	w.sameCodec = w.format == s.format && (o.Profile == "" || o.Profile == s.profile)
	if w.sameCodec {
		w.profile = s.profile
	}
	switch {
	case o.NoPassword || w.profile == trustkeep.Passwordless && w.format == trustkeep.PKCS12:
		given.Wipe()
		w.password = nil
	case given == nil:
		w.password = redact.NewSecret(s.password.Bytes())
	}
	w.samePassword = same(w.password, s.password)
	w.items = make(map[*entry.Entry]*item, len(s.items))
	w.keys, w.own = make(map[*item]*keySecret), make(map[*item]*redact.Secret)
	for _, it := range s.items {
		w.items[it.e] = it
		if it.password != nil && (hasKeyPasswords(w.format) || w.keeps(it)) {
			w.own[it] = redact.NewSecret(it.password.Bytes())
		}
		if it.e.Key == nil || w.keeps(it) {
			continue
		}
		secret := new(keySecret)
		secret.open, secret.err = s.credential(it, nil, false)
		w.keys[it] = secret
	}
	return w
}

// encode leaves the password of the store to the caller, unless it fails.
func (w *writer) encode(k *Keystore, o trustkeep.SaveOptions) (encoded []byte, err error) {
	defer func() {
		for _, secret := range w.keys {
			secret.open.Wipe()
		}
		for _, secret := range w.own {
			secret.Wipe()
		}
		if err != nil {
			w.password.Wipe()
		}
	}()
	if err := w.needsPassword(o.NoPassword); err != nil {
		return nil, err
	}
	store := &entry.Store{Format: w.format, Entries: make([]*entry.Entry, len(w.s.items))}
	if w.sameCodec {
		store.Source = w.s.source
	}
	for i, it := range w.s.items {
		store.Entries[i] = it.e
	}
	var now time.Time
	if k.options.Clock != nil {
		now = k.options.Clock()
	}
	encoded, err = formats.Encode(store, w.profile, entry.WriteOptions{
		Password: w.password.Bytes(), Rand: o.Rand, Now: now, Keep: w.keep, Key: w.key,
	})
	if err != nil {
		return nil, err
	}
	if err := storefile.Check(o, store, encoded, w.password, w.known); err != nil {
		return nil, err
	}
	return encoded, nil
}

// known tells SaveOptions.Check about a private key.
func (w *writer) known(e *entry.Entry) (crypto.PublicKey, *redact.Secret) {
	it := w.items[e]
	key := it.signer()
	if opened := w.opened[it]; key == nil && opened != nil {
		key, _ = openKey(opened.e, nil, w.spend) // nil if the standard library does not know it
	}
	if key == nil {
		return nil, w.own[it]
	}
	return key.Public(), w.own[it]
}

// needsPassword refuses to write private keys in the clear, unless that was
// asked for by name, or the file has others that way, in a format that is used so.
func (w *writer) needsPassword(asked bool) error {
	exposed := func(it *item) bool { return it.e.Kind == entry.Key || it.e.Kind == entry.Secret }
	if w.format == trustkeep.PEM {
		if asked || w.s.inClear {
			return nil
		}
		exposed = func(it *item) bool { return it.e.Key != nil && !w.keeps(it) && w.own[it] == nil }
	}
	if w.password != nil || !slices.ContainsFunc(w.s.items, exposed) {
		return nil
	}
	return &trustkeep.Error{Op: "password", Err: fmt.Errorf("private keys without a password in %s: %w", w.format, trustkeep.ErrUnsupported),
		Hint: "give SaveOptions.Password; only PEM can be written with NoPassword"}
}

// keep reports whether a key may be written as it was read. That spares the
// key derivations, and it is the only way to save a key whose own password
// nobody gave. A key in the clear stays so unless the options give a password.
func (w *writer) keep(e *entry.Entry) bool { return w.keeps(w.items[e]) }

func (w *writer) keeps(it *item) bool {
	if w.given && it.plain() {
		return false
	}
	return w.sameCodec && !it.set && it.e.Key != nil && it.e.Key.Protected != nil && (w.samePassword || it.password != nil && hasKeyPasswords(w.format))
}

// key opens a key to be protected anew. What it returns is the codec's to wipe,
// so the password is a copy.
func (w *writer) key(e *entry.Entry) (plain, password []byte, err error) {
	it := w.items[e]
	secret := w.keys[it]
	password = w.password.Bytes()
	if own := w.own[it]; own != nil {
		password = own.Bytes()
	}
	if password != nil && len(password) == 0 {
		return nil, nil, &trustkeep.Error{Op: "key", Alias: e.Alias, Err: errEmptyPassword(),
			Hint: "give SaveOptions.Password"}
	}
	password = bytes.Clone(password)
	if it.set {
		signer := it.identity.Load().signer
		if r, ok := signer.(redact.Revealer); ok {
			signer = r.Reveal()
		}
		plain, err = x509.MarshalPKCS8PrivateKey(signer)
		if err != nil {
			return nil, nil, &trustkeep.Error{Op: "key", Alias: e.Alias, Err: fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err),
				Hint: "a key that stays in hardware cannot be saved"}
		}
		return plain, password, nil
	}
	var next *item
	if err = secret.err; err == nil {
		next, err = it.opened(secret.open.Bytes(), w.spend)
	}
	if err != nil {
		return nil, nil, &trustkeep.Error{Op: "key", Alias: e.Alias, Err: err,
			Hint: "its password is needed to write it in another way; give it in Options.KeyPasswords"}
	}
	w.mu.Lock()
	w.opened[it] = next
	w.mu.Unlock()
	plain, err = next.e.Key.Unlock(nil, w.spend)
	return plain, password, err
}

// saved returns the state after the file is written, with NoPassword if asked: opened keys are in the place of
// those that were stored in a way, or under a password, that is no longer the store's.
func (w *writer) saved(asked bool) *state {
	items := slices.Clone(w.s.items)
	for i, it := range items {
		if w.keys[it] == nil {
			continue
		}
		next := w.opened[it]
		if next == nil {
			if it.password == nil || hasKeyPasswords(w.format) {
				continue
			}
			next = it.again()
		}
		if !hasKeyPasswords(w.format) {
			next.password = nil // it has the store's now
			next.own.Store(false)
		}
		items[i] = next
	}
	s := w.s.with(items)
	s.index.Store(w.s.index.Load())
	if w.format != s.format {
		s.format, s.source, s.profile = w.format, nil, ""
	}
	s.password = w.password
	s.inClear = w.password == nil && w.format == trustkeep.PEM && (asked || s.inClear)
	return s
}
