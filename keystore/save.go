package keystore

import (
	"crypto/sha256"
	"errors"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Save writes the store to the file at path, in its own format unless the options say
// otherwise. The file is replaced as a whole or not at all, whatever happens in between.
// No other change of the store happens meanwhile: o.Check, o.Rand and Options.Clock must
// not edit or save it.
//
// A private key is not written under an empty password (ErrInvalid), and without any only
// to PEM with NoPassword.
//
// When the file is the one that the store was loaded from or last saved to,
// and somebody else has changed it since, the error is ErrConflict; use Update
// where several writers share a file.
func (k *Keystore) Save(path string, o trustkeep.SaveOptions) error {
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
func (k *Keystore) Encode(o trustkeep.SaveOptions) ([]byte, error) {
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
func (k *Keystore) encode(s *state, o trustkeep.SaveOptions, given *redact.Secret) ([]byte, *writer, error) {
	w := newWriter(s, o, given)
	encoded, err := w.encode(k, o)
	return encoded, w, err
}

// Update loads the store at path, or starts an empty one where there is none,
// lets change work on it and saves it, while other callers of Update and Save
// wait. When change fails, the file stays as it was. Saving with these options
// decides what a new file is like.
func Update(path string, password trustkeep.PasswordSource, o trustkeep.SaveOptions, change func(*Keystore) error) error {
	return Options{}.Update(path, password, o, change)
}

// Update is the function Update with these options.
func (o Options) Update(path string, password trustkeep.PasswordSource, save trustkeep.SaveOptions, change func(*Keystore) error) error {
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

func (s *state) saveError(op, path string, o trustkeep.SaveOptions, err error) error {
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
