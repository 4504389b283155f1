package truststore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/formats"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// SaveOptions says how a store is written. The zero value keeps the store's
// format, algorithms and password.
type SaveOptions struct {
	// Format to write; empty is the store's own. It becomes the store's own
	// when the store is saved (not when it is encoded).
	Format trustkeep.Format
	// Profile names the algorithms. It becomes the store's own when the
	// store is saved. Empty is the store's own, which is how it was read, and
	// trustkeep.Modern for a store that was not, or in another format.
	Profile trustkeep.Profile
	// Password protects the store; nil is the store's password. It becomes
	// the store's own when the store is saved.
	Password trustkeep.PasswordSource
	// NoPassword writes a store without password; only formats that can do
	// without accept it. The profile trustkeep.Passwordless implies it.
	NoPassword bool
	// Mode of a new file; zero is 0600. A trust store that others are to
	// read wants 0644. An existing file keeps its mode.
	Mode fs.FileMode
	// Rand supplies salts and initialisation vectors; nil is crypto/rand.
	// The same bytes give the same file, for tests.
	Rand io.Reader
}

// Save writes the store to the file at path in its own format. The file is
// replaced as a whole or not at all, whatever happens in between.
//
// A store that was read from a file with private keys cannot be saved: to leave
// the keys out would lose them, to keep them would publish them. When the file
// is the one that the store was loaded from or last saved to, and somebody else
// has changed it since, the error is trustkeep.ErrConflict; use Update where
// several writers share a file.
func (t *Truststore) Save(path string) error { return t.SaveWith(path, SaveOptions{}) }

// SaveWith is Save with options.
func (t *Truststore) SaveWith(path string, o SaveOptions) error {
	const op = "truststore: save"
	if t == nil {
		return errNil("save")
	}
	t.mu.Lock() // the file and the store's origin change together
	defer t.mu.Unlock()
	s := t.current()
	encoded, password, err := t.encode(s, o)
	if err != nil {
		return saveError(op, path, s, o, err)
	}
	err = storefile.Update(path, storefile.Options{Mode: o.Mode, MaxSize: t.limits.MaxSize}, func(old []byte, exists bool) ([]byte, error) {
		if exists && samePath(path, s.origin.path) && sha256.Sum256(old) != s.origin.sum {
			return nil, trustkeep.ErrConflict
		}
		return encoded, nil
	})
	if err != nil {
		password.Wipe()
		return saveError(op, path, s, o, err)
	}
	t.state.Store(s.saved(path, encoded, password, o))
	return nil
}

// saved is the same generation with another origin.
func (s *state) saved(path string, encoded []byte, password *redact.Secret, o SaveOptions) *state {
	next := &state{snapshot: s.snapshot, entries: s.entries, scopes: s.scopes, findings: s.findings, origin: s.origin}
	if f := s.format(o); f != s.origin.format {
		next.origin.format, next.origin.source, next.origin.profile = f, nil, ""
	}
	if o.Profile != "" {
		next.origin.source, next.origin.profile = nil, o.Profile
	}
	next.origin.path, next.origin.sum, next.origin.password = path, sha256.Sum256(encoded), password
	return next
}

// Encode returns the store as bytes.
func (t *Truststore) Encode(o SaveOptions) ([]byte, error) {
	if t == nil {
		return nil, errNil("encode")
	}
	s := t.current()
	encoded, password, err := t.encode(s, o)
	password.Wipe()
	if err != nil {
		return nil, saveError("truststore: encode", "", s, o, err)
	}
	return encoded, nil
}

// Update loads the store at path, or starts an empty one where there is none,
// lets change work on it and saves it, while other callers of Update and Save
// wait. When change fails, the file stays as it was. The options decide how the
// store is written.
func Update(path string, password trustkeep.PasswordSource, o SaveOptions, change func(*Truststore) error) error {
	return Options{}.Update(path, password, o, change)
}

// Update is the function Update with these options.
func (o Options) Update(path string, password trustkeep.PasswordSource, save SaveOptions, change func(*Truststore) error) error {
	const op = "truststore: update"
	secret, err := reveal(password)
	if err != nil {
		return &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	defer secret.Wipe()
	var typed error
	err = storefile.Update(path, storefile.Options{Mode: save.Mode, MaxSize: o.Limits.MaxSize}, func(old []byte, exists bool) ([]byte, error) {
		t := &Truststore{clock: o.Clock, limits: o.Limits}
		t.current().origin.password = redact.NewSecret(secret.Bytes())
		if exists {
			if t, typed = o.open(op, path, old, redact.NewSecret(secret.Bytes())); typed != nil {
				return nil, typed
			}
		}
		if typed = change(t); typed != nil {
			return nil, typed
		}
		s := t.current()
		encoded, password, err := t.encode(s, save)
		password.Wipe()
		if err != nil {
			typed = saveError(op, path, s, save, err)
			return nil, typed
		}
		return encoded, nil
	})
	if err != nil && typed == nil {
		return &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	return err
}

func saveError(op, path string, s *state, o SaveOptions, err error) error {
	e := &trustkeep.Error{Op: op, Path: path, Format: string(s.format(o)), Err: err}
	switch {
	case errors.Is(err, trustkeep.ErrConflict):
		e.Hint = "load it again, or use truststore.Update"
	case s.origin.keys > 0:
		e.Hint = "save a copy of the certificates: truststore.New(store.Certificates()...)"
	}
	return e
}

func (s *state) format(o SaveOptions) trustkeep.Format {
	if o.Format != "" {
		return o.Format
	}
	return s.origin.format
}

// encode also returns a copy of the password that the result is protected by.
func (t *Truststore) encode(s *state, o SaveOptions) ([]byte, *redact.Secret, error) {
	if s.origin.keys > 0 {
		return nil, nil, fmt.Errorf("the store was read from a file with keys: %w", trustkeep.ErrUnsupported)
	}
	if len(s.scopes) > 0 {
		return nil, nil, fmt.Errorf("some certificates are trusted within a scope, which no format can hold: %w", trustkeep.ErrUnsupported)
	}
	if s.snapshot.platform != nil {
		return nil, nil, fmt.Errorf("the platform's roots cannot be listed: %w", trustkeep.ErrUnsupported)
	}
	password, err := reveal(o.Password)
	if err != nil {
		return nil, nil, err
	}
	format, profile := s.format(o), o.Profile
	if profile == "" && format == s.origin.format {
		profile = s.origin.profile
	}
	switch {
	case o.NoPassword || profile == trustkeep.Passwordless:
		password.Wipe()
		password = nil
	case password == nil:
		password = redact.NewSecret(s.origin.password.Bytes())
	}
	store := &entry.Store{Format: format, Entries: s.entries}
	if format == s.origin.format && profile == "" {
		store.Source = s.origin.source
	}
	var now time.Time
	if t.clock != nil {
		now = t.clock()
	}
	encoded, err := formats.Encode(store, profile, entry.WriteOptions{
		Password: password.Bytes(), Rand: o.Rand, Now: now,
	})
	if err != nil {
		password.Wipe()
		return nil, nil, err
	}
	return encoded, password, nil
}

func samePath(a, b string) bool {
	if a == b {
		return true
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return b != "" && errA == nil && errB == nil && absA == absB
}
