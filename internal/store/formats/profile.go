package formats

import (
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs12"
)

// checkProfile refuses a name that is none.
func checkProfile(profile trustkeep.Profile) error {
	if profile == "" || slices.Contains(trustkeep.Profiles(), profile) {
		return nil
	}
	return fmt.Errorf("formats: profile %q: %w", trustkeep.Printable(string(profile)), trustkeep.ErrUnsupported)
}

// pkcs12Profile translates the public name of a profile. The empty one keeps
// the algorithms that the store was read with.
func pkcs12Profile(s *entry.Store, profile trustkeep.Profile) pkcs12.Profile {
	switch profile {
	case trustkeep.Modern:
		return pkcs12.Current()
	case trustkeep.Java17:
		return pkcs12.Modern()
	case trustkeep.Legacy, trustkeep.Java8:
		return pkcs12.Legacy()
	case trustkeep.OpenSSL11:
		return pkcs12.Modern().WithIterations(2_048)
	case trustkeep.Windows2016:
		return pkcs12.Legacy().WithIterations(2_000)
	case trustkeep.Modern2026, trustkeep.Java26, trustkeep.FIPS:
		return pkcs12.Modern2026()
	case trustkeep.Passwordless:
		return pkcs12.Passwordless()
	}
	return pkcs12.FromSource(s)
}
