package keystore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/formats"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// SaveOptions says how a store is written. The zero value keeps the store's
// format, algorithms and password.
type SaveOptions struct {
	// Format to write; empty is the store's own. It also becomes the
	// store's own when the store is saved (not when it is encoded).
	Format trustkeep.Format
	// Profile names the algorithms. It becomes the store's own when the
	// store is saved. Empty is the store's own, which is how it was read, and
	// trustkeep.Modern for a store that was not, or in another format.
	Profile trustkeep.Profile
	// Password protects the store and the keys that have none of their
	// own; nil is the store's password. It becomes the store's own when
	// the store is saved.
	Password trustkeep.PasswordSource
	// NoPassword writes a store without password: only formats that can
	// do without accept it, and a PEM file then holds its keys in the
	// clear.
	NoPassword bool
	// Mode of a new file; zero is 0600. An existing file keeps its mode.
	Mode fs.FileMode
	// Rand supplies salts and initialisation vectors; nil is crypto/rand.
	// The same bytes give the same file, for tests.
	Rand io.Reader
}

// Save writes the store to the file at path in its own format. The file is
// replaced as a whole or not at all, whatever happens in between.
//
// When the file is the one that the store was loaded from or last saved to,
// and somebody else has changed it since, the error is ErrConflict; use Update
// where several writers share a file.
func (k *Keystore) Save(path string) error { return k.SaveWith(path, SaveOptions{}) }

// SaveWith is Save with options.
func (k *Keystore) SaveWith(path string, o SaveOptions) error {
	const op = "keystore: save"
	encoded, w, err := k.encode(o)
	if err != nil {
		return k.saveError(op, path, o, err)
	}
	k.mu.RLock()
	from := k.origin
	k.mu.RUnlock()
	err = storefile.Update(path, storefile.Options{Mode: o.Mode, MaxSize: k.options.Limits.MaxSize}, func(old []byte, exists bool) ([]byte, error) {
		if exists && samePath(path, from.path) && sha256.Sum256(old) != from.sum {
			return nil, trustkeep.ErrConflict
		}
		return encoded, nil
	})
	if err != nil {
		w.password.Wipe()
		return k.saveError(op, path, o, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.format != k.format {
		k.format, k.source, k.profile = w.format, nil, ""
	}
	if o.Profile != "" {
		k.profile = o.Profile
	}
	k.password = w.password
	k.adopt(w.opened)
	k.origin = origin{path: path, sum: sha256.Sum256(encoded)}
	return nil
}

// Encode returns the store as bytes.
func (k *Keystore) Encode(o SaveOptions) ([]byte, error) {
	encoded, w, err := k.encode(o)
	if err != nil {
		return nil, k.saveError("keystore: encode", "", o, err)
	}
	w.password.Wipe()
	return encoded, nil
}

// adopt puts opened keys in the place of those that were stored in a way, or
// under a password, that is no longer the store's. The caller holds the lock.
func (k *Keystore) adopt(opened map[*item]*item) {
	if len(opened) == 0 {
		return
	}
	k.items = slices.Clone(k.items)
	for i, it := range k.items {
		next := opened[it]
		if next == nil {
			continue // changed while the file was written
		}
		k.items[i] = next
		if folded := entry.Fold(it.e.Alias); k.byAlias[folded] == it {
			k.byAlias[folded] = next
		}
	}
}

// Update loads the store at path, or starts an empty one where there is none,
// lets change work on it and saves it, while other callers of Update and Save
// wait. When change fails, the file stays as it was. Saving with these options
// decides what a new file is like.
func Update(path string, password trustkeep.PasswordSource, o SaveOptions, change func(*Keystore) error) error {
	return Options{}.Update(path, password, o, change)
}

// Update is the function Update with these options.
func (o Options) Update(path string, password trustkeep.PasswordSource, save SaveOptions, change func(*Keystore) error) error {
	const op = "keystore: update"
	secret, err := reveal(password)
	if err != nil {
		return &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	defer secret.Wipe()
	var typed error
	err = storefile.Update(path, storefile.Options{Mode: save.Mode, MaxSize: o.Limits.MaxSize}, func(old []byte, exists bool) ([]byte, error) {
		k := o.New()
		k.password = redact.NewSecret(secret.Bytes())
		if exists {
			if k, typed = o.open(op, path, old, redact.NewSecret(secret.Bytes())); typed != nil {
				return nil, typed
			}
		}
		defer k.Close()
		if typed = change(k); typed != nil {
			return nil, typed
		}
		encoded, w, err := k.encode(save)
		if err != nil {
			typed = k.saveError(op, path, save, err)
			return nil, typed
		}
		w.password.Wipe()
		return encoded, nil
	})
	if err != nil && typed == nil {
		return &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	return err
}

func (k *Keystore) saveError(op, path string, o SaveOptions, err error) error {
	format := o.Format
	if format == "" {
		format = k.Format()
	}
	e := &trustkeep.Error{Op: op, Path: path, Format: string(format), Err: err}
	if errors.Is(err, trustkeep.ErrConflict) {
		e.Hint = "load it again, or use keystore.Update"
	}
	return e
}

func samePath(a, b string) bool {
	if a == b {
		return true
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return b != "" && errA == nil && errB == nil && absA == absB
}

// encode also returns what the result was made with, whose password is the
// caller's to wipe or keep.
func (k *Keystore) encode(o SaveOptions) ([]byte, *writer, error) {
	given, err := reveal(o.Password)
	if err != nil {
		return nil, nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	w := &writer{k: k, format: o.Format, password: given, opened: make(map[*item]*item)}
	if w.format == "" {
		w.format = k.format
	}
	w.sameCodec = w.format == k.format && (o.Profile == "" || o.Profile == k.profile)
	profile := o.Profile
	if w.sameCodec {
		profile = k.profile
	}
	switch {
	case o.NoPassword || profile == trustkeep.Passwordless && w.format == trustkeep.PKCS12:
		given.Wipe()
		w.password = nil
	case given == nil:
		w.password = redact.NewSecret(k.password.Bytes())
	}
	w.samePassword = w.password.Equal(k.password)
	if err := w.needsPassword(o.NoPassword); err != nil {
		return nil, nil, err
	}
	store := &entry.Store{Format: w.format, Entries: make([]*entry.Entry, len(k.items))}
	if w.sameCodec {
		store.Source = k.source
	}
	w.items = make(map[*entry.Entry]*item, len(k.items))
	for i, it := range k.items {
		store.Entries[i] = it.e
		w.items[it.e] = it
	}
	encoded, err := formats.Encode(store, profile, entry.WriteOptions{
		Password: w.password.Bytes(), Rand: o.Rand, Now: k.now(), Keep: w.keep, Key: w.key,
	})
	if err != nil {
		w.password.Wipe()
		return nil, nil, err
	}
	return encoded, w, nil
}

// writer answers a codec's questions about keys.
type writer struct {
	k            *Keystore
	format       trustkeep.Format
	password     *redact.Secret // of the new store
	sameCodec    bool           // format and algorithms stay
	samePassword bool
	items        map[*entry.Entry]*item

	mu     sync.Mutex // codecs may protect keys on several cores
	opened map[*item]*item
}

// needsPassword refuses to write private keys in the clear, unless that was
// asked for by name, or read that way, in a format that is used so.
func (w *writer) needsPassword(asked bool) error {
	if w.password != nil || !slices.ContainsFunc(w.k.items, func(it *item) bool { return it.e.Kind == entry.Key || it.e.Kind == entry.Secret }) {
		return nil
	}
	if w.format == trustkeep.PEM && (asked || w.k.format == trustkeep.PEM && w.k.password == nil) {
		return nil
	}
	return &trustkeep.Error{Op: "password", Err: fmt.Errorf("private keys without a password in %s: %w", w.format, trustkeep.ErrUnsupported),
		Hint: "give SaveOptions.Password; only PEM can be written with NoPassword"}
}

// keep reports whether a key may be written as it was read. That spares the
// key derivations, and it is the only way to save a key whose own password
// nobody gave.
func (w *writer) keep(e *entry.Entry) bool {
	it := w.items[e]
	return w.sameCodec && !it.set && e.Key != nil && e.Key.Protected != nil && (w.samePassword || it.password != nil && hasKeyPasswords(w.format))
}

// key opens a key to be protected anew. What it returns is the codec's to wipe,
// so the password is a copy.
func (w *writer) key(e *entry.Entry) (plain, password []byte, err error) {
	it := w.items[e]
	password = w.password.Bytes()
	if it.password != nil && hasKeyPasswords(w.format) {
		password = it.password.Bytes()
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
	next, err := it.opened(w.k.passwordOf(it).Bytes())
	if err != nil {
		return nil, nil, &trustkeep.Error{Op: "key", Alias: e.Alias, Err: err,
			Hint: "its password is needed to write it in another way; give it in Options.KeyPasswords"}
	}
	w.mu.Lock()
	w.opened[it] = next
	w.mu.Unlock()
	plain, err = next.e.Key.Open(nil)
	return plain, password, err
}
