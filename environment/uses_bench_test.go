package environment_test

import (
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/keystore"
)

// manyComponents is a registry of components with 64 versions each.
func manyComponents(b testing.TB, n int) *environment.Registry {
	ctx := b.Context()
	r, err := environment.Open(ctx, storagetest.NewMemory(nil), environment.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c, err := component.Import(ctx, "c", selfSigned(b, ctx, "c"), component.Options{Kinds: []component.Kind{keystore.ComponentKind()}})
	if err != nil {
		b.Fatal(err)
	}
	for range 63 {
		if c, err = c.Rollback(1, component.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		s := c.State()
		s.ID = fmt.Sprint("c", i)
		one, err := component.Restore(s, keystore.ComponentKind())
		if err == nil {
			err = r.Add(ctx, one, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// BenchmarkWholeRegistry is what looks at the whole registry, of 100 components with 64
// versions each.
func BenchmarkWholeRegistry(b *testing.B) {
	r := manyComponents(b, 100)
	b.Run("Uses", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Uses(b.Context(), "c1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Expiring", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Expiring(b.Context(), environment.ExpiryQuery{All: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestUsesDoesNotReadComponents: they refer to nothing.
func TestUsesDoesNotReadComponents(t *testing.T) {
	r := manyComponents(t, 10)
	n := testing.AllocsPerRun(5, func() {
		if _, err := r.Uses(t.Context(), "c1"); err != nil {
			t.Fatal(err)
		}
	})
	if n > 200 {
		t.Errorf("%.0f allocations for 10 components", n)
	}
}
