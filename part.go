package trustkeep

import "time"

// Part is a part of a component that has a validity of its own: the primary key or a
// subkey of a PGP key. The key itself may be valid while the subkey that encrypts has
// expired.
type Part struct {
	// Name is for reports, such as "subkey 0123456789ABCDEF that encrypts".
	Name string
	// Encrypts and Signs are what the part is for.
	Encrypts, Signs bool
	// NotBefore and NotAfter bound the validity. A zero NotAfter means that the part
	// does not expire.
	NotBefore, NotAfter time.Time
}
