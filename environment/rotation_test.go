package environment_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// withoutBen is a successor in which he has no rights, and no key, any more.
func withoutBen(t *testing.T, d authority.Document) []byte {
	t.Helper()
	d.Grants = d.Grants[:1]
	d.Keys = slices.DeleteFunc(slices.Clone(d.Keys), func(m authority.Member) bool { return m.Name == "ben" })
	all := d.Environments[authority.Everywhere]
	all.Release.Keys = keyIDs(t, anna)
	d.Environments[authority.Everywhere] = all
	return signDocument(t, d, rootKey)
}

// A rotation whose program is killed at any moment is gone on with by one that starts afresh;
// so are the approvals that it needs.
func TestRotationThatEndsAnywhere(t *testing.T) {
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			ended := false
			t.Run(fmt.Sprintf("call %d, done %t", n, late), func(t *testing.T) {
				a := production(t)
				ctx := t.Context()
				must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
				must(t, a.as(t, ben, a.m).UpdateConnection(ctx, "e", func(c *environment.Connection) error {
					c.ServerName = "by-ben"
					return nil
				}))
				as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
				inTest := a.attach("node", environment.AtomOptions{})
				inProduction := check(check(as(nil).Environment(ctx, "production"))(t).Attach(ctx, "node", environment.AtomOptions{}))(t)
				defer inProduction.Close()

				successor := withoutBen(t, check(as(nil).Successor(ctx))(t))
				s := &dying{Storage: a.m, left: 1 << 30, after: late}
				r := a.as(t, anna, s)
				s.left = n
				err := r.Rotate(ctx, successor)
				ended = s.left > 0
				if !ended && !errors.Is(err, errKilled) {
					t.Errorf("it ended: %v", err)
				}
				if ended && !errors.Is(err, trustkeep.ErrNotPermitted) {
					t.Errorf("production takes two: %v", err)
				}
				if c, err := as(nil).Connection(ctx, "e"); err != nil || c.ServerName != "by-ben" {
					t.Errorf("read in between: %v, %v", c, err)
				}
				for _, env := range []string{"test", "production"} {
					one := check(check(as(nil).Environment(ctx, env))(t).Attach(ctx, "between", environment.AtomOptions{}))(t)
					if got := trustOf(t, one); got != "theirs" {
						t.Errorf("%s in between: connection c trusts %q", env, got)
					}
					must(t, one.Problem())
					must(t, one.Close())
				}
				if err := as(anna).Rotate(ctx, successor); err != nil && (!errors.Is(err, trustkeep.ErrNotPermitted)) {
					t.Fatalf("gone on with: %v", err)
				}
				p := check(as(carl).Propose(ctx, nil))(t)
				if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
					t.Error("two approvals are not enough")
				}
				if err := as(ben).UpdateConnection(ctx, "e", func(c *environment.Connection) error {
					c.ServerName = "again"
					return nil
				}); !errors.Is(err, trustkeep.ErrNotPermitted) {
					t.Errorf("ben changes: %v", err)
				}
				must(t, as(anna).UpdateConnection(ctx, "e", func(c *environment.Connection) error {
					c.ServerName = "by-anna"
					return nil
				}))
				settled(t, inTest, func(a *environment.Atom) bool {
					c, err := a.Connection("e")
					return err == nil && c.ServerName == "by-anna" && a.Problem() == nil
				})
				settled(t, inProduction, func(a *environment.Atom) bool { return a.Problem() == nil })
				for _, env := range []string{"test", "other", "production"} {
					if i := parseSigned[authority.Index](t, a.get("authority/indexes/"+env)); i.Authority != 2 {
						t.Errorf("the index of %s is of authority %d", env, i.Authority)
					}
				}
			})
			if ended || t.Failed() {
				break
			}
		}
	}
}

// before is a storage in which something happens before a write.
type before struct {
	environment.Storage
	key string
	do  func()
}

func (s *before) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if key == s.key && s.do != nil {
		do := s.do
		s.do = nil
		do()
	}
	return s.Storage.Put(ctx, key, value, expected)
}

// Somebody who writes while the authority is replaced makes an index under the one before. It
// does not count for programs that start; those that have seen it go on, and so does the registry.
func TestWriterDuringRotation(t *testing.T) {
	for _, killed := range []bool{false, true} {
		a := besieged(t)
		ctx := t.Context()
		late := a.as(t, anna, a.m)
		set := func(r *environment.Registry, id, name string) {
			t.Helper()
			must(t, r.UpdateConnection(ctx, id, func(c *environment.Connection) error {
				c.ServerName = name
				return nil
			}))
		}
		running := a.attach("running", environment.AtomOptions{})
		has := func(id, name string) func(a *environment.Atom) bool {
			return func(a *environment.Atom) bool {
				c, err := a.Connection(id)
				return err == nil && c.ServerName == name
			}
		}
		successor := withoutBen(t, check(a.Successor(ctx))(t))
		s := &before{Storage: a.m, key: "authority/documents"}
		death := &dying{Storage: s, left: 1 << 30}
		r := a.as(t, anna, death)
		s.do = func() {
			set(late, "c", "late")
			set(late, "d", "later")
			settled(t, running, has("d", "later"))
			if killed {
				death.mu.Lock()
				death.left = 1
				death.mu.Unlock()
			}
		}
		if err := r.Rotate(ctx, successor); (err != nil) != killed {
			t.Errorf("killed %t: %v", killed, err)
		}
		fresh := a.as(t, anna, a.m)
		if c, err := fresh.Connection(ctx, "c"); err != nil || c.ServerName != "late" {
			t.Errorf("killed %t: a program that starts: %v, %v", killed, c, err)
		}
		if killed {
			must(t, fresh.Rotate(ctx, successor))
		}
		starts := a.attach("starts", environment.AtomOptions{})
		set(fresh, "c", "next")
		for _, one := range []*environment.Atom{running, starts} {
			settled(t, one, func(a *environment.Atom) bool {
				return has("c", "next")(a) && has("d", "later")(a) && a.Problem() == nil
			})
		}
		set(late, "d", "again")
		settled(t, running, has("d", "again"))
	}
}

// A successor lists the indexes that there are; what is made under the authority before does not
// count after it, whoever has the storage.
func TestSuccessorListsIndexes(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	fresh := func() *environment.Registry { return a.as(t, anna, a.m) }
	change := func(name string) {
		t.Helper()
		must(t, fresh().UpdateConnection(ctx, "e", func(c *environment.Connection) error {
			c.ServerName = name
			return nil
		}))
	}
	must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
	d := check(a.Successor(ctx))(t)
	change("meanwhile")
	if err := a.Rotate(ctx, withoutBen(t, d)); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("the indexes of before: %v", err)
	}
	if err := a.Rotate(ctx, withoutBen(t, a.authority.Next())); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("no indexes: %v", err)
	}
	before := check(authority.Parse[authority.Index](a.get("authority/indexes/production")))(t)
	d = check(a.Successor(ctx))(t)
	delete(d.Environments, "production") // anna alone from now on
	rotated := a.Rotate(ctx, withoutBen(t, d))
	must(t, rotated)

	d = check(fresh().Successor(ctx))(t)
	production := authorityDocument(t).Environments["production"]
	production.Release.Keys = production.Release.Keys[:2] // emil leaves
	d.Environments["production"] = production
	if err := a.Rotate(ctx, withoutBen(t, d)); !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("production takes two: %v", err)
	}
	listed := check(authority.Parse[authority.Index](a.get("authority/indexes/production")))(t)
	if listed.Statement().Authority != 2 || listed.Statement().Number <= before.Statement().Number {
		t.Fatalf("the index of production: %+v", listed.Statement())
	}
	e := check(fresh().Environment(ctx, "production"))(t)
	start := func(name string) (*environment.Atom, error) {
		atom, err := e.Attach(ctx, name, environment.AtomOptions{})
		if err == nil {
			t.Cleanup(func() { atom.Close() })
		}
		return atom, err
	}
	running := check(start("running"))(t)
	must(t, running.Problem())
	must(t, check(a.as(t, dater, a.m).Environment(ctx, "production"))(t).Date(ctx, environment.DateOptions{}))
	settled(t, running, func(a *environment.Atom) bool { return a.Problem() == nil })
	// Those who released under an authority before do not any more.
	for name, by := range map[string][]crypto.Signer{"two of three": {dora, emil}, "the one in between": {anna}} {
		i := listed.Statement()
		i.Number, i.Previous, i.Entries = i.Number+1, listed.Digest(), i.Entries[:1]
		a.set("authority/indexes/production", signAs(t, i, by...))
		if _, err := start("starts"); !slices.Contains(codes(err), authority.CodeForged) {
			t.Errorf("%s: %v", name, err)
		}
		settled(t, running, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeForged) })
		if got := trustOf(t, running); got != "theirs" {
			t.Errorf("%s: connection c trusts %q", name, got)
		}
	}
	a.remove("authority/indexes/production")
	if _, err := fresh().Successor(ctx); !slices.Contains(codes(err), authority.CodeWithheld) {
		t.Errorf("an index that the authority lists is withheld: %v", err)
	}
	// Others go on, and production is made anew from what the authority lists.
	change("others")
	p := check(a.as(t, carl, a.m).Propose(ctx, nil))(t)
	if done := check(a.as(t, dora, a.m).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
	settled(t, running, func(a *environment.Atom) bool { return a.Problem() == nil })
	// One made under the authority of now has taken its place.
	a.set("authority/indexes/production", listed.Encode())
	settled(t, running, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeRolledBack) })
}
