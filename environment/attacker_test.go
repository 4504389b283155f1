package environment_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// attacker owns the storage of a signed registry.
type attacker struct {
	*signedWorld
	t *testing.T
	m environment.Storage
}

// set writes whatever it likes.
func (a *attacker) set(key string, value []byte) {
	a.t.Helper()
	revision := uint64(0)
	if r, err := a.m.Get(a.t.Context(), key); err == nil {
		revision = r.Revision
	}
	check(a.m.Put(a.t.Context(), key, value, revision))(a.t)
}

func (a *attacker) get(key string) []byte {
	a.t.Helper()
	return check(a.m.Get(a.t.Context(), key))(a.t).Value
}

func (a *attacker) remove(key string) {
	a.t.Helper()
	must(a.t, a.m.Delete(a.t.Context(), key, check(a.m.Get(a.t.Context(), key))(a.t).Revision))
}

// first is the n-th version of a record, from one.
func (a *attacker) version(key string, n int) []byte {
	a.t.Helper()
	return check(a.m.Versions(a.t.Context(), key))(a.t)[n-1].Value
}

func parseSigned[T authority.Statement](t *testing.T, text []byte) T {
	t.Helper()
	return check(authority.Parse[T](text))(t).Statement()
}

// signAs signs a statement with any key.
func signAs[T authority.Statement](t *testing.T, statement T, by ...crypto.Signer) []byte {
	t.Helper()
	s := check(authority.Make(statement))(t)
	for _, k := range by {
		s = check(s.Sign(nil, k))(t)
	}
	return s.Encode()
}

// besieged is a registry with the environments "test" and "other". In test, "a" is deployed
// and connection "c" trusts "b" alone; before, it trusted "a". A connection "d" trusts "a".
func besieged(t *testing.T) *attacker {
	t.Helper()
	w := newSignedWorld(t)
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "other"))(t)
	w.public(w.identity("mine"), "a")
	w.public(w.identity("theirs"), "b")
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "d", Trusted: []string{"a"}}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
	must(t, w.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
		c.Trusted = []string{"b"}
		return nil
	}))
	return &attacker{w, t, w.storage}
}

// trustOf is the subject that connection "c" of an atom trusts.
func trustOf(t *testing.T, a *environment.Atom) string {
	t.Helper()
	b, err := a.Connection("c")
	if err != nil {
		return err.Error()
	}
	s := check(b.Trusted.Snapshot())(t)
	var out []string
	for c := range s.All() {
		out = append(out, c.Subject.CommonName)
	}
	return strings.Join(out, " ")
}

func codes(err error) (out []trustkeep.Code) {
	var walk func(error)
	walk = func(err error) {
		if e, ok := err.(*authority.Error); ok {
			out = append(out, e.Code)
			return
		}
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				walk(one)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return out
}

// What whoever owns the storage does is refused by running atoms and by registries, and the
// trust stays the last good one.
func TestOwnerOfTheStorageIsRefused(t *testing.T) {
	record := func(a *attacker, change func(*authority.Record), by crypto.Signer) []byte {
		r := parseSigned[authority.Record](a.t, a.get("connections/c"))
		r.Document = bytes.ReplaceAll(r.Document, []byte(`["b"]`), []byte(`["a"]`))
		change(&r)
		return signAs(a.t, r, by)
	}
	next := func(a *attacker, r *authority.Record) {
		s := check(authority.Parse[authority.Record](a.get("connections/c")))(a.t)
		r.Number, r.Previous = s.Statement().Number+1, s.Digest()
	}
	for _, c := range []struct {
		name string
		do   func(*attacker)
		code trustkeep.Code // of the atom's Problem; empty: it sees nothing, and does nothing
		read trustkeep.Code // of the registry's error; empty: ErrUntrusted without a code
	}{
		{"an unsigned record", func(a *attacker) {
			a.set("connections/c", parseSigned[authority.Record](a.t, a.version("connections/c", 1)).Document)
		}, authority.CodeUnsigned, authority.CodeUnsigned},
		{"a forged record", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r) }, stranger))
		}, authority.CodeForged, authority.CodeForged},
		{"a stranger's record", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r); r.Signer = keyID(a.t, stranger) }, stranger))
		}, authority.CodeForged, authority.CodeForged},
		{"a record of another key", func(a *attacker) { a.set("connections/c", a.get("connections/d")) }, authority.CodeSwapped, authority.CodeSwapped},
		{"a record of another registry", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r); r.Registry = "elsewhere" }, anna))
		}, authority.CodeSwapped, authority.CodeSwapped},
		{"an old record", func(a *attacker) { a.set("connections/c", a.version("connections/c", 1)) }, authority.CodeRolledBack, authority.CodeRolledBack},
		{"a bare deletion", func(a *attacker) { a.remove("connections/c") }, authority.CodeWithheld, authority.CodeWithheld},
		{"another record of the same number", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) {}, anna))
		}, authority.CodeForked, authority.CodeForked},
		{"a record that does not follow", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r); r.Previous[0] ^= 1 }, anna))
		}, "", authority.CodeForked},
		{"a number left out", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r); r.Number++ }, anna))
		}, "", authority.CodeForked},
		{"an administrator of one environment", func(a *attacker) {
			a.set("connections/c", record(a, func(r *authority.Record) { next(a, r); r.Signer = keyID(a.t, ben) }, ben))
		}, "", ""},
		{"an administrator of another kind", func(a *attacker) {
			r := parseSigned[authority.Record](a.t, a.get("components/b"))
			s := check(authority.Parse[authority.Record](a.get("components/b")))(a.t)
			r.Number, r.Previous, r.Signer = r.Number+1, s.Digest(), keyID(a.t, ben)
			a.set("components/b", signAs(a.t, r, ben))
		}, "", ""},
		{"a damaged record", func(a *attacker) { a.set("connections/c", []byte(`{"signed":1,`)) }, "damaged", "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := besieged(t)
			ctx := t.Context()
			atom := a.attach("node", environment.AtomOptions{})
			c.do(a)
			// The atom has seen it when it has seen what the attacker does next.
			a.set("connections/seen", a.get("connections/d"))
			a.set("authority/indexes/test", a.get("authority/indexes/other"))
			settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeSwapped) })
			index := a.version("authority/indexes/test", len(check(a.m.Versions(ctx, "authority/indexes/test"))(t))-1)
			a.set("authority/indexes/test", index)
			a.remove("connections/seen")
			settled(t, atom, func(a *environment.Atom) bool {
				for _, code := range codes(a.Problem()) {
					if code != c.code {
						return false
					}
				}
				return true
			})
			if got := codes(atom.Problem()); (c.code != "" && c.code != "damaged") != (len(got) > 0) {
				t.Errorf("the atom says %v", atom.Problem())
			}
			if c.code == "damaged" && !errors.Is(atom.Problem(), trustkeep.ErrCorrupt) {
				t.Errorf("the atom says %v", atom.Problem())
			}
			if got := trustOf(t, atom); got != "theirs" {
				t.Errorf("connection c trusts %q", got)
			}
			// So do one that starts, as far as the storage has the versions, and registries.
			another := a.attach("another", environment.AtomOptions{})
			if got := trustOf(t, another); got != "theirs" {
				t.Errorf("connection c of a new atom trusts %q", got)
			}
			for name, r := range map[string]*environment.Registry{"the running one": a.Registry, "another": a.as(t, anna, a.m)} {
				_, err := r.Connection(ctx, "c")
				if c.name == "an administrator of another kind" {
					_, err = r.Component(ctx, "b")
				}
				want := c.read
				switch {
				case want == "damaged" && !errors.Is(err, trustkeep.ErrCorrupt),
					want != "damaged" && !errors.Is(err, trustkeep.ErrUntrusted),
					want != "" && want != "damaged" && !slices.Contains(codes(err), want):
					t.Errorf("%s: %v, want %q", name, err, want)
				}
				if _, err := r.Connections(ctx); err == nil && c.name != "an administrator of another kind" {
					t.Errorf("%s lists it", name)
				}
			}
			// Others can be changed all the same, and what the index lists can be put back.
			must(t, a.UpdateConnection(ctx, "d", func(c *environment.Connection) error {
				c.ServerName = "d.example"
				return nil
			}))
			keys, err := a.Discard(ctx)
			if err != nil || len(keys) != 1 {
				t.Fatalf("put back %v: %v", keys, err)
			}
			settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
			if c := check(a.Connection(ctx, "c"))(t); !slices.Equal(c.Trusted, []string{"b"}) {
				t.Errorf("put back as %v", c)
			}
			if got := trustOf(t, atom); got != "theirs" {
				t.Errorf("connection c trusts %q then", got)
			}
		})
	}
}

// Whatever is done to an index or its date is refused as well.
func TestForgedIndexesAreRefused(t *testing.T) {
	const index, date = "authority/indexes/test", "authority/dates/test"
	change := func(a *attacker, edit func(*authority.Index), by ...crypto.Signer) {
		s := check(authority.Parse[authority.Index](a.get(index)))(a.t)
		i := s.Statement()
		i.Entries = slices.Clone(i.Entries)
		i.Number, i.Previous = i.Number+1, s.Digest()
		edit(&i)
		a.set(index, signAs(a.t, i, by...))
	}
	drop := func(i *authority.Index) {
		i.Entries = slices.DeleteFunc(i.Entries, func(e authority.Entry) bool { return e.Key == "connections/c" })
	}
	for _, c := range []struct {
		name string
		do   func(*attacker)
		code trustkeep.Code
	}{
		{"a stranger's index", func(a *attacker) { change(a, drop, stranger) }, authority.CodeForged},
		{"an index by the dating key", func(a *attacker) { change(a, drop, dater) }, authority.CodeForged},
		{"an index by an administrator who releases nothing", func(a *attacker) { change(a, drop, carl) }, authority.CodeForged},
		{"an unsigned index", func(a *attacker) { change(a, drop) }, authority.CodeForged},
		{"an index of another environment", func(a *attacker) { a.set(index, a.get("authority/indexes/other")) }, authority.CodeSwapped},
		{"an index of another registry", func(a *attacker) {
			change(a, func(i *authority.Index) { i.Registry = "elsewhere" }, anna)
		}, authority.CodeSwapped},
		{"an old index", func(a *attacker) { a.set(index, a.version(index, 2)) }, authority.CodeRolledBack},
		{"another index of the same number", func(a *attacker) {
			change(a, func(i *authority.Index) {
				before := parseSigned[authority.Index](a.t, a.get(index))
				drop(i)
				i.Number, i.Previous = before.Number, before.Previous
			}, anna)
		}, authority.CodeForked},
		{"an index that does not follow", func(a *attacker) {
			change(a, func(i *authority.Index) { i.Previous[0] ^= 1 }, anna)
		}, authority.CodeForked},
		{"an index under another authority", func(a *attacker) {
			change(a, func(i *authority.Index) { i.Authority = 2 }, anna)
		}, authority.CodeForged},
		{"an index of what there is not", func(a *attacker) {
			change(a, func(i *authority.Index) { i.Entries[0].Digest[0] ^= 1 }, anna)
		}, authority.CodeForked},
		{"no index", func(a *attacker) { a.remove(index) }, authority.CodeWithheld},
		{"a date by a release key", func(a *attacker) {
			s := check(authority.Parse[authority.Index](a.get(index)))(a.t)
			a.set(date, signAs(a.t, authority.Date{Registry: "tests", Environment: "test", Authority: 1, Index: s.Statement().Number,
				Digest: s.Digest(), Time: a.clock.Now(), Expires: a.clock.Now().Add(time.Hour)}, anna))
		}, authority.CodeForged},
		{"a date of an index that there is not", func(a *attacker) {
			s := check(authority.Parse[authority.Index](a.get(index)))(a.t)
			d := s.Digest()
			d[0] ^= 1
			a.set(date, signAs(a.t, authority.Date{Registry: "tests", Environment: "test", Authority: 1, Index: s.Statement().Number,
				Digest: d, Time: a.clock.Now(), Expires: a.clock.Now().Add(time.Hour)}, dater))
		}, authority.CodeSwapped},
		{"an unsigned successor of the authority", func(a *attacker) {
			d := a.authority.Next()
			d.Keys = append(d.Keys, authority.Member{Name: "me", Key: check(authority.NewPublicKey(stranger.Public()))(a.t)})
			text := check(json.Marshal(map[string]any{"documents": []json.RawMessage{signDocument(a.t, d, stranger)}}))(a.t)
			a.set("authority/documents", text)
		}, authority.CodeForged},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := besieged(t)
			ctx := t.Context()
			atom := a.attach("node", environment.AtomOptions{})
			c.do(a)
			settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), c.code) })
			if got := trustOf(t, atom); got != "theirs" {
				t.Errorf("connection c trusts %q", got)
			}
			err := a.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
				c.ServerName = "c.example"
				return nil
			})
			// Where the registry knows the index, it goes on from there. An authority that
			// does not follow stops everything.
			if strings.Contains(c.name, "successor") {
				if !slices.Contains(codes(err), authority.CodeForged) {
					t.Errorf("the registry goes on: %v", err)
				}
				return
			}
			if c.name == "an index of what there is not" || c.name == "an index that does not follow" {
				return // by the release key itself
			}
			must(t, err)
			if strings.HasPrefix(c.name, "a date") {
				a.remove(date)
			}
			settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
		})
	}
}

// A rollback of everything is refused by whoever has seen more: by running atoms and
// registries, and by atoms with a memory when they start. Without one, it counts until the
// old index does not: then it is refused too.
func TestRollbackOfEverything(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	memory := t.TempDir() + "/memory"
	before := make(map[string][]byte)
	for _, r := range check(a.m.List(ctx, ""))(t) {
		before[r.Key] = r.Value
	}
	must(t, a.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
		c.Trusted = []string{"a"}
		return nil
	}))
	atom := a.attach("node", environment.AtomOptions{Memory: memory})
	if got := trustOf(t, atom); got != "mine" {
		t.Fatalf("connection c trusts %q", got)
	}
	old := storagetest.NewMemory(a.clock.Now)
	for key, value := range before {
		a.set(key, value)
		check(old.Put(ctx, key, value, 0))(t)
	}
	settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeRolledBack) })
	if got := trustOf(t, atom); got != "mine" {
		t.Errorf("connection c trusts %q", got)
	}
	if _, err := a.Connection(ctx, "c"); !slices.Contains(codes(err), authority.CodeRolledBack) {
		t.Errorf("the registry that runs: %v", err)
	}
	// Restarted, on the storage as it was.
	r := a.as(t, nil, old)
	e := check(r.Environment(ctx, "test"))(t)
	if _, err := e.Attach(ctx, "node", environment.AtomOptions{Memory: memory}); !slices.Contains(codes(err), authority.CodeRolledBack) {
		t.Errorf("an atom that remembers: %v", err)
	}
	forgetful := check(e.Attach(ctx, "forgetful", environment.AtomOptions{}))(t)
	defer forgetful.Close()
	if got := trustOf(t, forgetful); got != "theirs" {
		t.Errorf("an atom that does not remember trusts %q", got)
	}
	a.clock.Advance(25 * time.Hour)
	if _, err := e.Attach(ctx, "forgetful", environment.AtomOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("an atom that does not remember, a day later: %v", err)
	}
}

func TestMemoryOfAtoms(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	file := t.TempDir() + "/memory"
	a.attach("node", environment.AtomOptions{Memory: file})
	other := check(a.Environment(ctx, "other"))(t)
	if _, err := other.Attach(ctx, "node", environment.AtomOptions{Memory: file}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("of another environment: %v", err)
	}
	writeFile(t, file, "{}")
	if _, err := a.test.Attach(ctx, "node", environment.AtomOptions{Memory: file}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
	// One that cannot be written is told, and what was taken back is not trusted for it.
	folder := t.TempDir()
	atom := a.attach("two", environment.AtomOptions{Memory: folder + "/missing/memory"})
	if err := atom.Problem(); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("Problem: %v", err)
	}
	must(t, a.test.Undeploy(ctx, "a"))
	settled(t, atom, trusts(0))
}

// The dating key renews what there is, and nothing else.
func TestDating(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	atom := a.attach("node", environment.AtomOptions{})
	dating := check(a.as(t, dater, a.m).Environment(ctx, "test"))(t)
	memory := t.TempDir() + "/dated"
	for range 3 {
		a.clock.Advance(20 * time.Hour)
		must(t, dating.Date(ctx, environment.DateOptions{Memory: memory}))
	}
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	a.attach("starts", environment.AtomOptions{})
	for name, k := range map[string]crypto.Signer{"a release key": anna, "nobody": nil} {
		e := check(a.as(t, k, a.m).Environment(ctx, "test"))(t)
		if err := e.Date(ctx, environment.DateOptions{}); !errors.Is(err, trustkeep.ErrNotPermitted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := dating.Deploy(ctx, "b"); !errors.Is(err, trustkeep.ErrNotPermitted) || !strings.Contains(err.Error(), "anna") {
		t.Errorf("the dating key deploys: %v", err)
	}
	// An older index is not dated, by one that has seen more or remembers, nor one that does
	// not count any more.
	const index = "authority/indexes/test"
	now := a.get(index)
	a.set(index, a.version(index, 3))
	if err := dating.Date(ctx, environment.DateOptions{Memory: memory}); !slices.Contains(codes(err), authority.CodeRolledBack) {
		t.Errorf("an older index: %v", err)
	}
	a.remove("authority/dates/test")
	// Reading the environment is refused already; so the new program opens it before.
	a.set(index, now)
	fresh := check(a.as(t, dater, a.m).Environment(ctx, "test"))(t)
	a.set(index, a.version(index, 3))
	if err := fresh.Date(ctx, environment.DateOptions{Memory: memory}); !slices.Contains(codes(err), authority.CodeRolledBack) {
		t.Errorf("an older index, after a restart: %v", err)
	}
	a.set(index, now)

	// It stops: running atoms go on and say so, new ones refuse.
	a.clock.Advance(25 * time.Hour)
	settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeOutdated) })
	if got := trustOf(t, atom); got != "theirs" {
		t.Errorf("connection c trusts %q", got)
	}
	if _, err := a.test.Attach(ctx, "late", environment.AtomOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("starts: %v", err)
	}
	if err := fresh.Date(ctx, environment.DateOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("dated without memory: %v", err)
	}
	// An administrator releases it anew, or the dating program that remembers goes on.
	must(t, fresh.Date(ctx, environment.DateOptions{Memory: memory}))
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	a.clock.Advance(25 * time.Hour)
	check(a.Complete(ctx))(t)
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })

	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := fresh.KeepDated(ended, time.Hour, environment.DateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if err := a.test.KeepDated(ctx, time.Hour, environment.DateOptions{}); !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("without the right: %v", err)
	}
	if err := fresh.KeepDated(ctx, 0, environment.DateOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("without interval: %v", err)
	}
}

// A dating program that remembers does not date an older state, though it starts anew and the
// storage shows nothing else.
func TestDatingRemembers(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	old := storagetest.NewMemory(a.clock.Now)
	for _, r := range check(a.m.List(ctx, ""))(t) {
		check(old.Put(ctx, r.Key, r.Value, 0))(t)
	}
	must(t, a.test.Undeploy(ctx, "a"))
	o := environment.DateOptions{Memory: t.TempDir() + "/dated"}
	must(t, check(a.as(t, dater, a.m).Environment(ctx, "test"))(t).Date(ctx, o))
	e := check(a.as(t, dater, old).Environment(ctx, "test"))(t)
	if err := e.Date(ctx, o); !slices.Contains(codes(err), authority.CodeRolledBack) {
		t.Errorf("an older state: %v", err)
	}
	must(t, e.Date(ctx, environment.DateOptions{})) // who does not remember cannot tell
}
