package pgp

import (
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// KeyExpiredError reports that a key, or the subkey that was needed, has expired.
// It wraps trustkeep.ErrExpired.
type KeyExpiredError struct {
	Fingerprint string // of the primary key
	When        time.Time
}

func (e *KeyExpiredError) Error() string {
	return fmt.Sprintf("pgp: key %s expired on %s", e.Fingerprint, e.When.UTC().Format(time.DateTime))
}

// Unwrap returns trustkeep.ErrExpired.
func (e *KeyExpiredError) Unwrap() error { return trustkeep.ErrExpired }

// KeyRevokedError reports that a key, or the subkey that was needed, has been
// revoked. It wraps trustkeep.ErrRejected.
type KeyRevokedError struct {
	Fingerprint string // of the primary key
	Reason      string // as its owner gave it, printable; may be empty
}

func (e *KeyRevokedError) Error() string {
	s := "pgp: key " + e.Fingerprint + " has been revoked"
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// Unwrap returns trustkeep.ErrRejected.
func (e *KeyRevokedError) Unwrap() error { return trustkeep.ErrRejected }

// WeaknessError reports that a key or a message is weaker than Options.Allow
// accepts. It wraps trustkeep.ErrRejected.
type WeaknessError struct {
	Fingerprint string      // of the key, where there is one
	What        string      // such as "DSA key"
	Needs       Relaxations // the relaxation that would accept it; Strict when none does
}

func (e *WeaknessError) Error() string {
	s := "pgp: "
	if e.Fingerprint != "" {
		s += "key " + e.Fingerprint + ": "
	}
	s += e.What + " is not allowed"
	if e.Needs != Strict {
		s += "; allowing " + e.Needs.String() + " would accept it"
	}
	return s
}

// Unwrap returns trustkeep.ErrRejected.
func (e *WeaknessError) Unwrap() error { return trustkeep.ErrRejected }

// SignatureError reports that a message lacks the signature that was asked for.
// It wraps trustkeep.ErrRejected.
type SignatureError struct {
	State  SignatureState
	Detail string // printable; may be empty
}

func (e *SignatureError) Error() string {
	s := "pgp: signature " + e.State.String()
	if e.State == SignatureNone {
		s = "pgp: message is not signed"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns trustkeep.ErrRejected.
func (e *SignatureError) Unwrap() error { return trustkeep.ErrRejected }

// fail makes an error that wraps the sentinel.
func fail(sentinel error, format string, args ...any) error {
	return fault.New(sentinel, format, args...)
}

func classify(doing string, err error) error { return fault.Classify(doing, err) }

func withPrefix(err error) error { return fault.Prefix(err) }

func guard(doing string, f func() error) error { return fault.Guard(doing, f) }
