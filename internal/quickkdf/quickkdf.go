// Package quickkdf lets tests of this module protect keys and messages by
// passwords without paying for it. Nothing outside the module can ask for that.
package quickkdf

import (
	"crypto/rand"
	"io"
)

// What passwords cost with such a source: the least that OpenPGP can state and
// every implementation reads.
const (
	Iterations = 65536 // bytes hashed
	Memory     = 1024  // KiB of Argon2
)

// source is a type of its own, so that no other source of randomness counts as
// one by accident.
type source struct{ io.Reader }

// Rand returns a source of good randomness that also says, to the packages that
// ask by Is, that what is protected need not be.
func Rand() io.Reader { return From(rand.Reader) }

// From is Rand with the randomness of r, for tests of what follows from it.
func From(r io.Reader) io.Reader { return source{r} }

// Cost returns the number of iterations with which a store is to be written: usual,
// unless r was made by Rand or From.
func Cost(r io.Reader, usual int64) int64 {
	if Is(r) {
		return min(usual, 100)
	}
	return usual
}

// Is reports whether Rand or From made r.
func Is(r io.Reader) bool {
	_, ok := r.(source)
	return ok
}
