package keystore

import (
	"errors"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Save writes the store to the file at path, in its own format unless the options name
// another. It replaces the file as a whole or not at all. Other changes of the store wait
// until it returns, so o.Check, o.Rand and Options.Clock must not edit or save the store;
// whatever waits for o.Check fails with context.DeadlineExceeded after 10 seconds.
//
// A private key is never written under an empty password (ErrInvalid). Without a password it
// is written only to PEM: with NoPassword, or beside others in a PEM file that has keys in the
// clear and was read without a password. Keys in the clear stay so unless o.Password is given.
//
// If the file is the one that the store was loaded from or last saved to, and another program
// has changed it since, the error wraps ErrConflict. Use Update where several writers share a
// file. The error wraps context.DeadlineExceeded if another process holds the lock of the
// folder.
func (k *Keystore) Save(path string, o trustkeep.SaveOptions) error {
	const op = "keystore: save"
	given, err := storefile.RevealFor(o) // before others wait
	if err != nil {
		return k.current().saveError(op, path, o, err)
	}
	o = k.turns.Checking(o)
	return k.edit(func(s *state) (*state, error) {
		w := newWriter(s, o, given)
		encoded, err := w.encode(k, o)
		if err != nil {
			return nil, s.saveError(op, path, o, err)
		}
		file, err := storefile.Save(path, s.file, encoded, storefile.Options{Mode: o.Mode, MaxSize: k.options.Limits.MaxSize})
		if err != nil {
			w.password.Wipe()
			return nil, s.saveError(op, path, o, err)
		}
		next := w.saved(o.NoPassword)
		if o.Profile != "" {
			next.profile = o.Profile
		}
		next.file = file
		return next, nil
	})
}

// Encode returns the bytes that Save would write. It calls o.Check too.
func (k *Keystore) Encode(o trustkeep.SaveOptions) ([]byte, error) {
	return k.encode("keystore: encode", "", o)
}

func (k *Keystore) encode(op, path string, o trustkeep.SaveOptions) ([]byte, error) {
	given, err := storefile.RevealFor(o)
	if err != nil {
		return nil, k.current().saveError(op, path, o, err)
	}
	var w *writer
	k.look(func(s *state) { w = newWriter(s, o, given) })
	encoded, err := w.encode(k, o)
	if err != nil {
		return nil, w.s.saveError(op, path, o, err)
	}
	w.password.Wipe()
	return encoded, nil
}

// Update loads the store at path, lets change edit it, and saves it with the options. It
// starts with an empty store if the file does not exist. Other callers of Update and Save
// wait, for 10 seconds at most. If change fails, the file stays as it was.
//
// Errors are those of Load, Save and change.
func Update(path string, password trustkeep.PasswordSource, o trustkeep.SaveOptions, change func(*Keystore) error) error {
	return Options{}.Update(path, password, o, change)
}

// Update is the function Update with these options.
func (o Options) Update(path string, password trustkeep.PasswordSource, save trustkeep.SaveOptions, change func(*Keystore) error) error {
	return o.kind().Update(path, password, save, change)
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
