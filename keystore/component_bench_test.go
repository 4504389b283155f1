package keystore_test

import (
	"testing"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// manyVersions is the state of a public component with a chain of three in each of 64
// versions, as many as environments keep.
func manyVersions(tb testing.TB) component.State {
	tb.Helper()
	pki := testpki.New(tb, testpki.Options{Now: noon})
	c := importFile(tb, "many", pki.Server("a.example").ChainPEM(), component.Options{})
	for range 63 {
		c = mustComponent(tb)(c.Rollback(1, component.Options{}))
	}
	return c.State()
}

// BenchmarkRestoreComponent restores a component of 64 versions, as environments do for each
// component whenever the whole registry is looked at.
func BenchmarkRestoreComponent(b *testing.B) {
	s := manyVersions(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := component.Restore(s, keystore.ComponentKind()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRestoringDoesNotParseVersions: what a version costs is its copy.
func TestRestoringDoesNotParseVersions(t *testing.T) {
	s := manyVersions(t)
	n := testing.AllocsPerRun(10, func() {
		if _, err := component.Restore(s, keystore.ComponentKind()); err != nil {
			t.Fatal(err)
		}
	})
	if n > 64*5 {
		t.Errorf("%.0f allocations for %d versions", n, len(s.Versions))
	}
}
