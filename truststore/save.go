package truststore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Save writes the store to the file at path. The zero options keep its format, algorithms
// and password. The file is replaced as a whole or not at all, whatever happens in between.
// Certificates with a scope that the format cannot hold go into a second file; see SetScope.
//
// A store that was read from a file with private keys cannot be saved: to leave
// the keys out would lose them, to keep them would publish them. When the file
// is the one that the store was loaded from or last saved to, and somebody else
// has changed it since, the error is trustkeep.ErrConflict; use Update where
// several writers share a file. An error that wraps context.DeadlineExceeded means that
// another process holds the lock of the folder.
func (t *Truststore) Save(path string, o trustkeep.SaveOptions) error {
	const op = "truststore: save"
	if t == nil {
		return errNil("save")
	}
	given, err := storefile.RevealFor(o) // before others wait
	if err != nil {
		return saveError(op, path, t.current(), o, err)
	}
	defer given.Wipe()
	o.Password = storefile.Revealed(given)
	release, err := t.turns.Take() // the file and the store's origin change together
	if err != nil {
		return err
	}
	defer release()
	o = t.turns.Checking(o)
	s := t.current()
	beside := &storefile.Beside{Was: &s.origin.besideSum}
	encoded, password, kept, err := t.encodeBeside(s, o, beside)
	if err != nil {
		return saveError(op, path, s, o, err)
	}
	file, err := storefile.Save(path, s.origin.file, encoded, storefile.Options{Mode: o.Mode, MaxSize: t.limits.MaxSize, Beside: beside})
	if err != nil {
		password.Wipe()
		return saveError(op, path, s, o, err)
	}
	next := s.saved(file, password, o)
	next.origin.beside, next.origin.besideSum = kept, [sha256.Size]byte{}
	if beside.After != nil {
		next.origin.besideSum = sha256.Sum256(beside.After)
	}
	t.state.Store(next)
	return nil
}

// saved is the same generation with another origin.
func (s *state) saved(file storefile.Origin, password *redact.Secret, o trustkeep.SaveOptions) *state {
	next := &state{snapshot: s.snapshot, entries: s.entries, scopes: s.scopes, findings: s.findings, origin: s.origin}
	if f := s.format(o); f != s.origin.format {
		next.origin.format, next.origin.source, next.origin.profile = f, nil, ""
	}
	if o.Profile != "" {
		next.origin.source, next.origin.profile = nil, o.Profile
	}
	next.origin.file, next.origin.password = file, password
	return next
}

// Encode returns the store as bytes, which Save would write.
func (t *Truststore) Encode(o trustkeep.SaveOptions) ([]byte, error) {
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
// wait, for 10 seconds at most. When change fails, the file stays as it was. The options
// decide how the store is written.
func Update(path string, password trustkeep.PasswordSource, o trustkeep.SaveOptions, change func(*Truststore) error) error {
	return Options{}.Update(path, password, o, change)
}

// Update is the function Update with these options.
func (o Options) Update(path string, password trustkeep.PasswordSource, save trustkeep.SaveOptions, change func(*Truststore) error) error {
	return o.kind().Update(path, password, save, change)
}

func saveError(op, path string, s *state, o trustkeep.SaveOptions, err error) error {
	e := &trustkeep.Error{Op: op, Path: path, Format: string(s.format(o)), Err: err}
	switch {
	case errors.Is(err, trustkeep.ErrConflict):
		e.Hint = "load it again, or use truststore.Update"
	case s.origin.keys > 0:
		e.Hint = "save a copy of the certificates: truststore.New(store.Certificates()...)"
	}
	return e
}

func (s *state) format(o trustkeep.SaveOptions) trustkeep.Format {
	if o.Format != "" {
		return o.Format
	}
	return s.origin.format
}

// encodeBeside is encode for a file, beside which another can hold scopes. It also returns what that
// holds.
func (t *Truststore) encodeBeside(s *state, o trustkeep.SaveOptions, beside *storefile.Beside) ([]byte, *redact.Secret, []besideEntry, error) {
	rest, scoped := splitScopes(s.entries, s.scopes, s.format(o))
	if len(rest) == 0 && len(scoped) > 0 {
		switch s.format(o) {
		case trustkeep.PEM, trustkeep.DER, trustkeep.PKCS7: // which cannot be empty
			return nil, nil, nil, errScopes(scoped[0].Alias)
		}
	}
	reduced := s
	if len(scoped) > 0 {
		reduced = &state{snapshot: s.snapshot, entries: rest, scopes: s.scopes, findings: s.findings, origin: s.origin}
	}
	encoded, password, err := t.encode(reduced, o)
	if err == nil {
		err = fillBeside(beside, s.origin.beside, scoped, password, o.Rand)
	}
	if err != nil {
		password.Wipe()
		return nil, nil, nil, err
	}
	return encoded, password, scoped, nil
}

// encode also returns a copy of the password that the result is protected by.
func (t *Truststore) encode(s *state, o trustkeep.SaveOptions) ([]byte, *redact.Secret, error) {
	if s.origin.keys > 0 {
		return nil, nil, fmt.Errorf("the store was read from a file with keys: %w", trustkeep.ErrUnsupported)
	}
	entries := s.entries
	if s.format(o) == trustkeep.PEM {
		var err error
		if entries, err = withSettings(s.entries, s.scopes); err != nil {
			return nil, nil, err
		}
	} else {
		for _, e := range entries {
			if _, ok := s.scopes[entry.Fold(e.Alias)]; ok {
				return nil, nil, errScopes(e.Alias)
			}
		}
	}
	if s.snapshot.platform != nil {
		return nil, nil, fmt.Errorf("the platform's roots cannot be listed: %w", trustkeep.ErrUnsupported)
	}
	password, err := storefile.RevealFor(o)
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
	store := &entry.Store{Format: format, Entries: entries}
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
	if err == nil {
		err = storefile.Check(o, store, encoded, password, nil)
	}
	if err != nil {
		password.Wipe()
		return nil, nil, err
	}
	return encoded, password, nil
}
