// Package inspect describes keystores to other packages of this module, beyond the public API.
package inspect

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Store describes how a keystore would be written.
type Store struct {
	Format  trustkeep.Format
	Profile trustkeep.Profile // empty: the store's own algorithms
	// Era of the algorithms of a PKCS#12 file: "PBMAC1", "AES", or empty for those that every
	// consumer supports.
	Era string
	// Protected by a password; Printable if that is printable ASCII throughout.
	Protected, Printable bool
	// IsPassword compares with the store's current password. A nil candidate means no
	// password.
	IsPassword func([]byte) bool
	// Try unlocks a key like Keystore.Identity, or with a candidate like
	// Keystore.IdentityWithPassword, and asks spend for what that costs.
	Try func(alias string, candidate []byte, spend limits.Spender) error
}
