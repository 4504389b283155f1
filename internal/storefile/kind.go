package storefile

import (
	"bytes"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Kind adapts a type of store to files: opening, encoding, closing. S is the type of the
// stores.
type Kind[S any] struct {
	// Package begins the operations in errors: "keystore".
	Package string
	// MaxSize bounds what is read. If zero, trustkeep's default limit.
	MaxSize int64
	// Open makes a store. Its errors are returned unchanged.
	Open func(Input) (S, error)
	// New makes an empty store with a password, for Update of a file that does not
	// exist.
	New func(password *redact.Secret) S
	// Encode makes the content of a file for Update. Its errors are returned unchanged. It may
	// be called while the file is locked; o.Password does not wait.
	Encode func(s S, path string, o trustkeep.SaveOptions) ([]byte, error)
	// Beside is a second file that Encode fills in for Update; nil is none.
	Beside *Beside
	// Close wipes a store that Update has opened. If nil, there is nothing to wipe.
	Close func(S)
}

// Input is the content and password of a store. Open owns both, and wipes the password if it
// fails.
type Input struct {
	Op       string // "keystore: load"
	Path     string // empty without a file
	Data     []byte
	Password *redact.Secret // nil is none
	Origin   Origin         // of Data
}

// Load opens the store in the file at path.
func (k Kind[S]) Load(path string, password trustkeep.PasswordSource) (none S, err error) {
	op := k.Package + ": load"
	data, err := ReadFile(path, k.MaxSize)
	if err != nil {
		return none, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	secret, err := Reveal(password)
	if err != nil {
		return none, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	return k.Open(Input{op, path, data, secret, OriginOf(path, data)})
}

// Read opens the store in a stream. It reads to the end.
func (k Kind[S]) Read(r io.Reader, password trustkeep.PasswordSource) (none S, err error) {
	op := k.Package + ": read"
	data, err := ReadAll(r, k.MaxSize)
	if err != nil {
		return none, &trustkeep.Error{Op: op, Err: err}
	}
	secret, err := Reveal(password)
	if err != nil {
		return none, &trustkeep.Error{Op: op, Err: err}
	}
	return k.Open(Input{Op: op, Data: data, Password: secret})
}

// Parse opens the store in data, which it copies.
func (k Kind[S]) Parse(data []byte, password trustkeep.PasswordSource) (none S, err error) {
	op := k.Package + ": parse"
	secret, err := Reveal(password)
	if err != nil {
		return none, &trustkeep.Error{Op: op, Err: err}
	}
	// The entries share memory with what they were read from.
	return k.Open(Input{Op: op, Data: bytes.Clone(data), Password: secret})
}

// Update opens the store in the file at path, or an empty one if the file does not exist, lets
// change edit it, and writes it. Other writers wait. Password sources are called before the
// lock is taken.
func (k Kind[S]) Update(path string, password trustkeep.PasswordSource, o trustkeep.SaveOptions, change func(S) error) error {
	op := k.Package + ": update"
	fail := func(err error) error { return &trustkeep.Error{Op: op, Path: path, Err: err} }
	secret, err := Reveal(password)
	if err != nil {
		return fail(err)
	}
	defer secret.Wipe()
	next, err := RevealFor(o)
	if err != nil {
		return fail(err)
	}
	defer next.Wipe()
	o.Password = Revealed(next)
	var typed error // names the path already
	err = Update(path, Options{Mode: o.Mode, MaxSize: k.MaxSize, Beside: k.Beside}, func(old []byte, exists bool) (encoded []byte, err error) {
		defer func() { typed = err }()
		var s S
		if exists {
			s, err = k.Open(Input{op, path, old, redact.NewSecret(secret.Bytes()), OriginOf(path, old)})
		} else {
			s = k.New(redact.NewSecret(secret.Bytes()))
		}
		if err != nil {
			return nil, err
		}
		if k.Close != nil {
			defer k.Close(s)
		}
		if err := change(s); err != nil {
			return nil, err
		}
		return k.Encode(s, path, o)
	})
	if err == nil || typed != nil {
		return err
	}
	return fail(err)
}

// Reveal calls a password source. A nil source means no password and gives nil; any other
// source gives a Secret, which may be empty.
func Reveal(password trustkeep.PasswordSource) (*redact.Secret, error) {
	if password == nil {
		return nil, nil
	}
	b, err := password.Reveal()
	if err != nil {
		return nil, err
	}
	if b == nil {
		b = []byte{}
	}
	secret := redact.NewSecret(b)
	clear(b)
	return secret, nil
}

// RevealFor reveals the password of SaveOptions. The error wraps trustkeep.ErrInvalid if they
// also set NoPassword.
func RevealFor(o trustkeep.SaveOptions) (*redact.Secret, error) {
	if o.NoPassword && o.Password != nil {
		return nil, fmt.Errorf("both Password and NoPassword: %w", trustkeep.ErrInvalid)
	}
	return Reveal(o.Password)
}

// Revealed returns a source of a known password; nil for nil. It is valid until the secret is
// wiped.
func Revealed(secret *redact.Secret) trustkeep.PasswordSource {
	if secret == nil {
		return nil
	}
	return revealed{func() []byte { return bytes.Clone(secret.Bytes()) }}
}

// revealed keeps the secret in a closure, where no reflection finds it.
type revealed struct{ reveal func() []byte }

func (r revealed) Reveal() ([]byte, error) { return r.reveal(), nil }

// String says nothing of the secret.
func (revealed) String() string { return "[redacted]" }
