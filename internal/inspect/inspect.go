// Package inspect is what packages of this module may know of a keystore beyond its API.
package inspect

import "github.com/trustkeep/trustkeep"

// Store describes how a keystore would be written.
type Store struct {
	Format  trustkeep.Format
	Profile trustkeep.Profile // empty: the store's own algorithms
	// Era sums up the algorithms of a PKCS#12 file: "PBMAC1", "AES", or empty for what
	// everybody knows.
	Era string
	// Protected by a password; Printable if that is printable ASCII throughout.
	Protected, Printable bool
	// IsPassword compares the password that the store has now; nil stands for none.
	IsPassword func([]byte) bool
}
