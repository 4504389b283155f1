package formats

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/pkcs12"
)

// pkcs12Profile translates the public name of a profile. The empty one keeps
// the algorithms that the store was read with.
func pkcs12Profile(s *entry.Store, profile trustkeep.Profile) (pkcs12.Profile, error) {
	switch profile {
	case "":
		return pkcs12.FromSource(s), nil
	case trustkeep.Modern:
		return pkcs12.Modern(), nil
	case trustkeep.Legacy:
		return pkcs12.Legacy(), nil
	case trustkeep.Passwordless:
		return pkcs12.Passwordless(), nil
	}
	return pkcs12.Profile{}, fmt.Errorf("formats: profile %q: %w", trustkeep.Printable(string(profile)), trustkeep.ErrUnsupported)
}
