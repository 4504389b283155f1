package pgp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/trustkeep/trustkeep"
)

// KeyExpiredError says that a key, or the subkey that was needed, has expired.
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

// KeyRevokedError says that a key, or the subkey that was needed, has been
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

// WeaknessError says that a key or a message is weaker than Options.Allow accepts.
// It wraps trustkeep.ErrRejected.
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

// SignatureError says that a message lacks the signature that was asked for.
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
	return fmt.Errorf("pgp: "+format+": %w", append(args, sentinel)...)
}

// classify turns an error of the packet layer into one that wraps a sentinel.
// Errors of the source that is read from (a file, a connection) stay visible.
func classify(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fail(trustkeep.ErrCorrupt, "%s: truncated", doing)
	case hasSentinel(err):
		return withPrefix(err)
	}
	text := trustkeep.Printable(strings.TrimPrefix(err.Error(), "openpgp: "))
	var unsupported pgperrors.UnsupportedError
	var unknown pgperrors.UnknownPacketTypeError
	var critical pgperrors.CriticalUnknownPacketTypeError
	if errors.As(err, &unsupported) || errors.As(err, &unknown) || errors.As(err, &critical) {
		return fail(trustkeep.ErrUnsupported, "%s: %s", doing, text)
	}
	return fail(trustkeep.ErrCorrupt, "%s: %s", doing, text)
}

// withPrefix gives the prefix of this package to an error of internal/limits.
func withPrefix(err error) error {
	if strings.HasPrefix(err.Error(), "pgp: ") {
		return err
	}
	return fmt.Errorf("pgp: %w", err)
}

func hasSentinel(err error) bool {
	for _, s := range []error{
		trustkeep.ErrIncorrectPassword, trustkeep.ErrNotFound, trustkeep.ErrExists, trustkeep.ErrUnsupported,
		trustkeep.ErrCorrupt, trustkeep.ErrEmpty, trustkeep.ErrKeyMismatch, trustkeep.ErrExpired,
		trustkeep.ErrRejected, trustkeep.ErrLimit, trustkeep.ErrInvalid,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// guard turns a panic of the packet layer into an error. Parsers of hostile
// input should not panic, and the fuzz targets look for those that do; a
// server must survive the one that was missed.
func guard(doing string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fail(trustkeep.ErrCorrupt, "%s: %v", doing, r)
		}
	}()
	return f()
}
