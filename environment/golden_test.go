package environment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/internal/goldentest"
)

// TestGoldenRegistry reads a directory that was written before package component.
func TestGoldenRegistry(t *testing.T) {
	golden := filepath.Join("testdata", "golden-v1")
	goldentest.Run(t, golden, func(t *testing.T) environment.Storage {
		own := t.TempDir()
		must(t, os.CopyFS(filepath.Join(own, "storage"), os.DirFS(filepath.Join(golden, "storage"))))
		d := check(dirstore.Open(filepath.Join(own, "storage"), dirstore.Options{Clock: newClock().Now}))(t)
		t.Cleanup(func() { d.Close() })
		return d
	})
}
