package entry

import (
	"io"
	"time"

	"github.com/trustkeep/trustkeep/internal/limits"
)

// ReadOptions is what a codec needs to read one input.
type ReadOptions struct {
	// Password is the store password in UTF-8; nil is no password, which is
	// not the empty one.
	Password []byte
	// Budget bounds the work. Required.
	Budget *limits.Budget
	// AllowUnauthenticated accepts an input without MAC or digest although
	// a password was given, which would otherwise be ErrCorrupt.
	AllowUnauthenticated bool
	// Unlock opens the private keys with the store password while the rest
	// is read, on the cores there are and within Budget, and leaves the result in
	// PrivateKey.Opened.
	Unlock bool
}

// WriteOptions is what a codec needs to write a store.
type WriteOptions struct {
	// Password protects the store; nil writes one without.
	Password []byte
	// Rand supplies salts and initialisation vectors; nil is crypto/rand.
	// The same bytes give the same output.
	Rand io.Reader
	// Now stands in for creation times that entries lack.
	Now time.Time
	// Keep reports whether the protected form of the entry's key may be
	// written as it stands: same format, same password.
	Keep func(e *Entry) bool
	// Key returns the opened key and the password to protect it with, both
	// the codec's own, to be wiped. It is called for each key that is not
	// kept.
	Key func(e *Entry) (plain, password []byte, err error)
}
