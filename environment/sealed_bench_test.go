package environment_test

import (
	"crypto/x509/pkix"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/issue"
)

// BenchmarkSealedChange makes a component count in an environment where 100 others do, and ends it
// again.
func BenchmarkSealedChange(b *testing.B) {
	ctx := b.Context()
	root, err := environment.NewOpeningKey()
	if err != nil {
		b.Fatal(err)
	}
	r, err := environment.Open(ctx, storagetest.NewMemory(nil), environment.Options{OpeningKey: root, Rand: quickkdf.Rand()})
	if err != nil {
		b.Fatal(err)
	}
	e, err := r.CreateEnvironment(ctx, "test")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Seal(ctx, environment.Recipient{Name: "root", Key: root.SealingKey()}); err != nil {
		b.Fatal(err)
	}
	for i := range 101 {
		id := fmt.Sprintf("c-%d", i)
		if _, err := r.Create(ctx, id, issue.Options{Subject: pkix.Name{CommonName: id}}, environment.ComponentOptions{ID: id, Password: trustkeep.Password("pw")}); err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			if err := e.SetRole(ctx, "is-"+id, id); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	for b.Loop() {
		for _, id := range []string{"c-0", ""} {
			if err := e.SetRole(ctx, environment.RoleTLS, id); err != nil {
				b.Fatal(err)
			}
		}
	}
}
