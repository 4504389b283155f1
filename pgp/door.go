package pgp

import "github.com/trustkeep/trustkeep/internal/fips"

// door is asked wherever keys and messages come in or are made. Fingerprints,
// modification codes and the CFB mode of OpenPGP are not approved, and version 6,
// which has none of them, cannot be told before it is read.
func door() error {
	if err := fips.Refuse("OpenPGP"); err != nil {
		return withPrefix(err)
	}
	return nil
}
