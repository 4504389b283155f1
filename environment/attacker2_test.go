package environment_test

import (
	"crypto"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// forgeIndex makes the next index of an environment, "registry" for that of the registry.
func (a *attacker) forgeIndex(key string, edit func(*authority.Index), by ...crypto.Signer) {
	a.t.Helper()
	s := check(authority.Parse[authority.Index](a.get(key)))(a.t)
	i := s.Statement()
	i.Entries = slices.Clone(i.Entries)
	i.Number, i.Previous = i.Number+1, s.Digest()
	edit(&i)
	a.set(key, signAs(a.t, i, by...))
}

// An index that says to be made in the future does not count: with it a release key would do
// without the dating key, and outlive its removal.
func TestIndexOfTheFuture(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	atom := a.attach("node", environment.AtomOptions{})
	a.forgeIndex("authority/indexes/test", func(i *authority.Index) { i.Time = a.clock.Now().Add(100 * 365 * 24 * time.Hour) }, ben)
	settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeOutdated) })
	if _, err := a.test.Attach(ctx, "starts", environment.AtomOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("starts: %v", err)
	}
	if err := check(a.as(t, dater, a.m).Environment(ctx, "test"))(t).Date(ctx, environment.DateOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("dated: %v", err)
	}
	check(a.Complete(ctx))(t)
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
}

// The index of the registry tells which versions there are. Whoever signs that, and may change
// little, does not delete what an environment's index lists, with the storage neither.
func TestRegistryIndexDeletesNothing(t *testing.T) {
	for name, edit := range map[string]func(e *authority.Entry){
		"deleted":        func(e *authority.Entry) { e.Number, e.Deleted = e.Number+1, true },
		"deleted by now": func(e *authority.Entry) { e.Deleted = true },
		"far away":       func(e *authority.Entry) { e.Number = 1 << 53 },
	} {
		for _, running := range []bool{true, false} {
			a := besieged(t)
			ctx := t.Context()
			atom := a.attach("node", environment.AtomOptions{})
			a.forgeIndex("authority/registry", func(i *authority.Index) {
				n := slices.IndexFunc(i.Entries, func(e authority.Entry) bool { return e.Key == "components/a" })
				edit(&i.Entries[n])
				i.Entries[n].Digest[0] ^= 1
			}, ben)
			if name != "far away" {
				a.remove("components/a")
			}
			r := a.Registry
			if !running {
				r = a.as(t, anna, a.m)
			}
			if _, err := r.Component(ctx, "a"); err != nil && !errors.Is(err, trustkeep.ErrUntrusted) || err == nil && name != "far away" {
				t.Errorf("%s: %v", name, err)
			}
			must(t, r.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
				c.ServerName = "c.example"
				return nil
			}))
			i := parseSigned[authority.Index](t, a.get("authority/indexes/test"))
			if e, ok := i.Find("components/a"); !ok || e.Deleted {
				t.Errorf("%s: the index of test lists %+v", name, e)
			}
			settled(t, atom, func(a *environment.Atom) bool {
				c, err := a.Connection("c")
				return err == nil && c.ServerName == "c.example"
			})
			if n := len(check(atom.Certificates())(t)); n != 1 {
				t.Errorf("%s: the atom trusts %d", name, n)
			}
			check(r.Discard(ctx))(t)
			if _, err := r.Component(ctx, "a"); err != nil {
				t.Errorf("%s: put back: %v", name, err)
			}
			check(r.Rename(ctx, "a", "x"))(t)
			settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
		}
	}
}
