package environment_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/internal/goldentest"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
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

// TestGoldenStates: what was read is written as it was, byte for byte, so that programs
// before package component read it, too.
func TestGoldenStates(t *testing.T) {
	own := t.TempDir()
	must(t, os.CopyFS(own, os.DirFS(filepath.Join("testdata", "golden-v1", "storage"))))
	d := check(dirstore.Open(own, dirstore.Options{Clock: newClock().Now}))(t)
	defer d.Close()
	compared := 0
	for _, record := range check(d.List(t.Context(), "components/"))(t) {
		var stored struct{ X509, PGP json.RawMessage }
		must(t, json.Unmarshal(record.Value, &stored))
		was := stored.X509
		if was == nil {
			was = stored.PGP
		}
		var state component.State
		must(t, json.Unmarshal(was, &state))
		c, err := component.Restore(state, keystore.ComponentKind(), pgp.ComponentKind())
		if err != nil {
			t.Errorf("%s: %v", record.Key, err)
			continue
		}
		var before bytes.Buffer
		must(t, json.Compact(&before, was))
		if after := check(json.Marshal(c.State()))(t); !bytes.Equal(after, before.Bytes()) {
			t.Errorf("%s:\n%s\nis now\n%s", record.Key, before.Bytes()[:min(300, before.Len())], after[:min(300, len(after))])
		}
		compared++
	}
	if compared < 10 {
		t.Errorf("%d components", compared)
	}
}
