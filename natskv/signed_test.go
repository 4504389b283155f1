package natskv

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// signer is the one key of TestSignedFaults, for everything.
func signer(t *testing.T) (ed25519.PrivateKey, *authority.Authority) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	public, err := authority.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{public.ID()}
	s, err := authority.Make(authority.Document{
		Registry: "faults", Number: 1,
		Keys:   []authority.Member{{Name: "all", Key: public}},
		Root:   authority.Role{Keys: ids, Threshold: 1},
		Grants: []authority.Grant{{Keys: ids, Kinds: authority.Kinds(), Environments: []string{authority.Everywhere}}},
		Environments: map[string]authority.Environment{
			authority.Everywhere: {Release: authority.Role{Keys: ids, Threshold: 1}, Dating: ids, Lifetime: 24 * time.Hour},
		},
	})
	if err == nil {
		s, err = s.Sign(nil, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := authority.Trust(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return key, a
}

// TestSignedFaults is TestFaults of a registry whose records are signed: no change is lost, and no
// atom has a state that never was, or an older one than before.
func TestSignedFaults(t *testing.T) {
	const atoms = 5
	writes := max(40, *puts/10)
	if *puts > 1000 {
		writes = *puts
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(writes)*200*time.Millisecond)
	defer cancel()
	p := newProcess(t)
	proxies := make([]*proxy, atoms+1) // the first is the writer's
	for i := range proxies {
		proxies[i] = newProxy(t, p.address())
	}
	key, a := signer(t)
	open := func(x *proxy, o environment.Options) *environment.Registry {
		o.Authority = a
		r, err := environment.Open(ctx, connectTo(t, x.url(), Options{}), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open(proxies[0], environment.Options{Signer: key})
	if _, err := r.CreateEnvironment(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	name := func(n int) string { return fmt.Sprintf("n%d.example", n) }
	if err := r.SetConnection(ctx, environment.Connection{ID: "c", ServerName: name(0)}); err != nil {
		t.Fatal(err)
	}
	var begun, seen atomic.Int64 // the number of the last write, and how many states were seen
	var running []*environment.Atom
	for i := range atoms {
		e, err := open(proxies[1+i], environment.Options{}).Environment(ctx, "test")
		if err != nil {
			t.Fatal(err)
		}
		var me atomic.Pointer[environment.Atom]
		last := 0
		atom, err := e.Attach(ctx, fmt.Sprintf("a%d", i), environment.AtomOptions{OnChange: func() {
			if me.Load() == nil {
				return
			}
			n := 0
			b, err := me.Load().Connection("c")
			if err == nil {
				_, err = fmt.Sscanf(b.ServerName, "n%d.example", &n)
			}
			if err != nil || n < last || n > int(begun.Load()) {
				t.Errorf("atom %d has %q after number %d, and number %d was the last to begin: %v", i, b.ServerName, last, begun.Load(), err)
			}
			last = n
			seen.Add(1)
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { atom.Close() })
		me.Store(atom)
		running = append(running, atom)
	}
	progress := make(chan int, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(progress)
		for n := 1; n <= writes; n++ {
			progress <- n
			begun.Store(int64(n))
			for ctx.Err() == nil {
				err := r.UpdateConnection(ctx, "c", func(c *environment.Connection) error { c.ServerName = name(n); return nil })
				if err == nil {
					break
				}
				// It may be written, and not in the index.
				if _, err := r.Complete(ctx); err == nil {
					if c, err := r.Connection(ctx, "c"); err == nil && c.ServerName == name(n) {
						break
					}
				}
			}
		}
	})
	faults := inject(p, proxies, progress, writes)
	for _, x := range proxies {
		x.freeze(false)
		x.partition(false)
	}
	wg.Wait()
	for i, atom := range running {
		err := atom.Wait(ctx, func(a *environment.Atom) bool {
			b, err := a.Connection("c")
			return err == nil && b.ServerName == name(writes)
		})
		if err != nil {
			t.Errorf("atom %d never had number %d: %v; %v", i, writes, err, atom.Problem())
		}
	}
	t.Logf("%d signed changes to %d atoms through %v: %d states seen", writes, atoms, faults, seen.Load())
	if faults["kill"] == 0 {
		t.Error("nobody was disturbed")
	}
}
