package environment_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestFilesOfBothKinds: of a file with a certificate and a PGP key, one would be dropped in
// silence.
func TestFilesOfBothKinds(t *testing.T) {
	w := newWorld(t, environment.Options{})
	_, certificate, err := w.identity("x").ExportPublic("")
	must(t, err)
	_, key, err := w.pgpKey("p").ExportPublic("")
	must(t, err)
	for about, file := range map[string][]byte{"certificate first": slices.Concat(certificate, key), "key first": slices.Concat(key, certificate)} {
		if c, err := w.Import(t.Context(), "both", file, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) || c != nil {
			t.Errorf("%s: %v, %v", about, c, err)
		}
		for _, id := range []string{"x", "p"} {
			if _, err := w.Reimport(t.Context(), id, file, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("%s into %s: %v", about, id, err)
			}
		}
	}
}
