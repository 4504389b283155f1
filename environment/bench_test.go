package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/issue"
)

// BenchmarkDeployment is from the call of Deploy or Undeploy to the moment when the last
// atom trusts accordingly, in memory: what the library itself costs. natskv measures the
// same over a network.
func BenchmarkDeployment(b *testing.B) {
	for _, c := range []struct{ atoms, deployed int }{{1, 1}, {1, 1000}, {10, 1}, {50, 1}, {200, 1}, {200, 100}} {
		b.Run(fmt.Sprintf("%d atoms, %d deployed", c.atoms, c.deployed), func(b *testing.B) {
			ctx := b.Context()
			r, err := environment.Open(ctx, storagetest.NewMemory(nil), environment.Options{})
			if err != nil {
				b.Fatal(err)
			}
			env, err := r.CreateEnvironment(ctx, "test")
			if err != nil {
				b.Fatal(err)
			}
			for i := range c.deployed {
				id := fmt.Sprint("c", i)
				if _, err := r.Import(ctx, id, selfSigned(b, ctx, id), environment.ComponentOptions{ID: id}); err != nil {
					b.Fatal(err)
				}
				if err := env.Deploy(ctx, id); err != nil {
					b.Fatal(err)
				}
			}
			atoms := make([]*environment.Atom, c.atoms)
			for i := range atoms {
				if atoms[i], err = env.Attach(ctx, fmt.Sprint("atom", i), environment.AtomOptions{Seen: -1}); err != nil {
					b.Fatal(err)
				}
				defer atoms[i].Close()
			}
			want := c.deployed
			for b.Loop() {
				if want == c.deployed {
					want, err = c.deployed-1, env.Undeploy(ctx, "c0")
				} else {
					want, err = c.deployed, env.Deploy(ctx, "c0")
				}
				if err != nil {
					b.Fatal(err)
				}
				for _, a := range atoms {
					if err := a.Wait(ctx, trusts(want)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func selfSigned(b testing.TB, ctx context.Context, name string) []byte {
	c, err := component.Create(ctx, name, issue.Options{Subject: pkix.Name{CommonName: name}},
		component.Options{Password: trustkeep.Password("x")})
	if err != nil {
		b.Fatal(err)
	}
	_, data, err := c.ExportPublic("")
	if err != nil {
		b.Fatal(err)
	}
	return data
}
