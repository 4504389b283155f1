package trustkeep

import (
	"io"
	"io/fs"
)

// SaveOptions configures how a store is written. The zero value keeps the store's format,
// algorithms and password.
type SaveOptions struct {
	// Format to write. If empty, the format of the store. Saving makes it the format of the
	// store; encoding does not.
	Format Format
	// Profile names the algorithms. It becomes the store's own when the store is saved.
	// If empty, those that the store was read with or last saved with, and Modern for a
	// new store or another format.
	Profile Profile
	// Password protects the store and the keys that have no password of their own. It
	// becomes the store's own when the store is saved. If nil, the store's password.
	Password PasswordSource
	// NoPassword writes a store without a password, in formats that allow it. A PEM file then
	// holds its keys in the clear.
	NoPassword bool
	// Mode of a new file. If zero, 0600; use 0644 for a trust store that others read. An
	// existing file keeps its mode.
	Mode fs.FileMode
	// Rand supplies salts and initialisation vectors. If nil, crypto/rand. The same bytes
	// give the same file, for tests: entries without a date, where the format wants one,
	// get that of the store's Clock or else 1970, and not the time.
	Rand io.Reader
	// Check sees the encoded store before it replaces anything on disk. If it returns an
	// error or panics, nothing is written and saving fails with that error. If nil,
	// nothing is checked. Package bridge has checks by independent implementations.
	Check func(Encoded) error
}
