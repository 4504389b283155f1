package keystore

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
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
	given, err := reveal(o.Password)
	if err != nil {
		return k.current().saveError(op, path, o, err)
	}
	return k.edit(func(s *state) (*state, error) {
		encoded, w, err := k.encode(s, o, given)
		if err != nil {
			return nil, s.saveError(op, path, o, err)
		}
		err = storefile.Update(path, storefile.Options{Mode: o.Mode, MaxSize: k.options.Limits.MaxSize}, func(old []byte, exists bool) ([]byte, error) {
			if exists && samePath(path, s.origin.path) && sha256.Sum256(old) != s.origin.sum {
				return nil, trustkeep.ErrConflict
			}
			return encoded, nil
		})
		if err != nil {
			w.password.Wipe()
			return nil, s.saveError(op, path, o, err)
		}
		next := w.saved()
		if o.Profile != "" {
			next.profile = o.Profile
		}
		next.origin = origin{path: path, sum: sha256.Sum256(encoded)}
		return next, nil
	})
}

// Encode returns the store as bytes.
func (k *Keystore) Encode(o SaveOptions) ([]byte, error) {
	s := k.current()
	given, err := reveal(o.Password)
	if err != nil {
		return nil, s.saveError("keystore: encode", "", o, err)
	}
	var w *writer
	var encoded []byte
	k.look(func(now *state) { s = now; w = newWriter(now, o, given) })
	if encoded, err = w.encode(k, o); err != nil {
		return nil, s.saveError("keystore: encode", "", o, err)
	}
	w.password.Wipe()
	return encoded, nil
}

// encode leaves the password of the writer to the caller, to wipe or keep. The caller
// holds k.mu.
func (k *Keystore) encode(s *state, o SaveOptions, given *redact.Secret) ([]byte, *writer, error) {
	w := newWriter(s, o, given)
	encoded, err := w.encode(k, o)
	return encoded, w, err
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
		k.current().password = redact.NewSecret(secret.Bytes())
		if exists {
			if k, typed = o.open(op, path, old, redact.NewSecret(secret.Bytes())); typed != nil {
				return nil, typed
			}
		}
		defer k.Close()
		if typed = change(k); typed != nil {
			return nil, typed
		}
		var encoded []byte
		typed = k.edit(func(s *state) (*state, error) {
			given, err := reveal(save.Password)
			if err != nil {
				return nil, s.saveError(op, path, save, err)
			}
			var w *writer
			if encoded, w, err = k.encode(s, save, given); err != nil {
				return nil, s.saveError(op, path, save, err)
			}
			w.password.Wipe()
			return s, nil
		})
		return encoded, typed
	})
	if err != nil && typed == nil {
		return &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	return err
}

func (s *state) saveError(op, path string, o SaveOptions, err error) error {
	format := o.Format
	if format == "" {
		format = s.format
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
