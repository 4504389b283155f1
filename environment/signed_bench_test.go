package environment_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// BenchmarkSigned compares a registry of 100 deployed certificates and a connection, in memory,
// with and without signatures: a change until the call returns and until an atom has it, and the
// start of an atom. Handshakes look at nothing of it.
func BenchmarkSigned(b *testing.B) {
	for _, c := range []struct {
		name string
		o    environment.Options
	}{
		{"unsigned", environment.Options{}},
		{"signed", environment.Options{Authority: testAuthority(b), Signer: anna}},
	} {
		ctx := context.Background()
		r, err := environment.Open(ctx, storagetest.NewMemory(nil), c.o)
		if err != nil {
			b.Fatal(err)
		}
		env, err := r.CreateEnvironment(ctx, "test")
		if err != nil {
			b.Fatal(err)
		}
		for i := range 100 {
			id := fmt.Sprint("c", i)
			if _, err = r.Import(ctx, id, selfSigned(b, ctx, id), environment.ComponentOptions{ID: id}); err == nil {
				err = env.Deploy(ctx, id)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := r.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"c0"}}); err != nil {
			b.Fatal(err)
		}
		n := 0
		change := func(b *testing.B) string {
			n++
			name := fmt.Sprintf("n%d.example", n)
			if err := r.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
				c.ServerName = name
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			return name
		}
		b.Run("change/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				change(b)
			}
		})
		b.Run("start/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := env.Attach(ctx, "one", environment.AtomOptions{Seen: -1})
				if err != nil {
					b.Fatal(err)
				}
				a.Close()
			}
		})
		b.Run("seen/"+c.name, func(b *testing.B) {
			a, err := env.Attach(ctx, "one", environment.AtomOptions{Seen: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer a.Close()
			for b.Loop() {
				want := change(b)
				if err := a.Wait(ctx, func(a *environment.Atom) bool { x, err := a.Connection("c"); return err == nil && x.ServerName == want }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
