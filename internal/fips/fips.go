// Package fips is the one place that asks crypto/fips140.
//
// GODEBUG=fips140=on selects the validated module and what crypto/tls offers.
// GODEBUG=fips140=only makes the standard library refuse every algorithm that
// is not approved, some with an error and some with a panic. Code that runs
// such an algorithm therefore asks here first and returns the error:
//
//	if err := fips.Refuse("RC4"); err != nil {
//		return nil, err
//	}
//
// Every error wraps trustkeep.ErrUnsupported and names the algorithm and the
// setting. All functions are safe for concurrent use.
package fips

import (
	"crypto"
	"crypto/fips140"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// Enabled reports whether the program runs in a FIPS 140-3 mode, fips140=on or
// fips140=only.
func Enabled() bool { return fips140.Enabled() }

// Enforced reports whether algorithms that are not approved are refused, which
// is fips140=only.
func Enforced() bool { return fips140.Enforced() }

// Refuse returns nil, or where Enforced trustkeep.ErrUnsupported. algorithm is
// one that is never approved, or a use of one that is not.
func Refuse(algorithm string) error {
	if !Enforced() {
		return nil
	}
	return fmt.Errorf("%s is not approved while GODEBUG=fips140=only: %w", algorithm, trustkeep.ErrUnsupported)
}

// Hash refuses every hash but SHA-2 and SHA-3.
func Hash(h crypto.Hash) error {
	if approved(h) {
		return nil
	}
	return Refuse(h.String())
}

func approved(h crypto.Hash) bool {
	switch h {
	case crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256,
		crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512:
		return true
	}
	return false
}

// Least lengths in bytes, of keys (SP 800-131A) and of the salt of PBKDF2 (SP 800-132).
const (
	minKey  = 112 / 8
	minSalt = 128 / 8
)

// HMAC refuses unapproved hashes and keys of less than 112 bits.
func HMAC(h crypto.Hash, keyLength int) error {
	switch {
	case !approved(h):
		return Refuse("HMAC-" + h.String())
	case keyLength < minKey:
		return Refuse(fmt.Sprintf("HMAC with a key of %d bits", 8*keyLength))
	}
	return nil
}

// PBKDF2 refuses unapproved hashes, salts of less than 128 bits and output of
// less than 112 bits. Lengths are in bytes.
func PBKDF2(h crypto.Hash, saltLength, keyLength int) error {
	switch {
	case !approved(h):
		return Refuse("PBKDF2 with HMAC-" + h.String())
	case saltLength < minSalt:
		return Refuse(fmt.Sprintf("PBKDF2 with a salt of %d bits", 8*saltLength))
	case keyLength < minKey:
		return Refuse(fmt.Sprintf("PBKDF2 for a key of %d bits", 8*keyLength))
	}
	return nil
}
