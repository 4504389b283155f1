// Package fault makes the errors of package pgp: each wraps a sentinel of
// package trustkeep and starts with "pgp: ".
package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/trustkeep/trustkeep"
)

// New makes an error that wraps the sentinel.
func New(sentinel error, format string, args ...any) error {
	return fmt.Errorf("pgp: "+format+": %w", append(args, sentinel)...)
}

// Classify turns an error of the packet layer into one that wraps a sentinel.
// Errors of the source that is read from (a file, a connection) stay visible.
func Classify(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return New(trustkeep.ErrCorrupt, "%s: truncated", doing)
	case Typed(err):
		return Prefix(err)
	}
	text := trustkeep.Printable(strings.TrimPrefix(err.Error(), "openpgp: "))
	var unsupported pgperrors.UnsupportedError
	var unknown pgperrors.UnknownPacketTypeError
	var critical pgperrors.CriticalUnknownPacketTypeError
	if errors.As(err, &unsupported) || errors.As(err, &unknown) || errors.As(err, &critical) {
		return New(trustkeep.ErrUnsupported, "%s: %s", doing, text)
	}
	return New(trustkeep.ErrCorrupt, "%s: %s", doing, text)
}

// Prefix gives the prefix of this package to an error of internal/limits.
func Prefix(err error) error {
	if strings.HasPrefix(err.Error(), "pgp: ") {
		return err
	}
	return fmt.Errorf("pgp: %w", err)
}

// Typed reports whether the error wraps a sentinel.
func Typed(err error) bool {
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

// Guard turns a panic of the packet layer into an error. Parsers of hostile
// input should not panic, and the fuzz targets look for those that do; a
// server must survive the one that was missed.
func Guard(doing string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = New(trustkeep.ErrCorrupt, "%s: %v", doing, r)
		}
	}()
	return f()
}
