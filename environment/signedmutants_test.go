package environment_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// What was deleted stays listed as deleted, in the indexes of environments too.
func TestIndexesListDeletions(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	must(t, a.DeleteConnection(ctx, "c"))
	must(t, a.UpdateConnection(ctx, "d", func(c *environment.Connection) error {
		c.ServerName = "d.example"
		return nil
	}))
	want := parseSigned[authority.Record](t, a.get("connections/c"))
	for _, key := range []string{"authority/indexes/test", "authority/indexes/other", "authority/registry"} {
		if e, ok := parseSigned[authority.Index](t, a.get(key)).Find("connections/c"); !ok || !e.Deleted || e.Number != want.Number {
			t.Errorf("%s: %+v", key, e)
		}
	}
}

// Programs that have seen a successor of the Authority notice when a shorter chain, or another
// one, takes its place, also when they are given that successor at the start.
func TestChainOfAuthorities(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	second := withoutBen(t, check(a.Successor(ctx))(t))
	must(t, a.Rotate(ctx, second))
	old := a.get("authority/documents")
	d := check(a.Successor(ctx))(t)
	fork := d.Registry
	third := withoutBen(t, d)
	must(t, a.Rotate(ctx, third))
	atom := a.attach("node", environment.AtomOptions{})
	honest := a.get("authority/documents")
	given := environment.Options{Authority: check(check(a.authority.Follow(second))(t).Follow(third))(t), Clock: a.clock.Now}
	for name, c := range map[string]struct {
		text string
		code []string
	}{
		"a prefix": {string(old), []string{string(authority.CodeRolledBack)}},
		"empty":    {`{"documents":[]}`, []string{string(authority.CodeRolledBack)}},
		"a fork": {`{"documents":[` + string(second) + `,` + string(signDocument(t, func() authority.Document {
			f := d
			f.Registry, f.Keys = fork, append(slices.Clone(f.Keys), authority.Member{Name: "new", Key: check(authority.NewPublicKey(stranger.Public()))(t)})
			return f
		}(), rootKey)) + `]}`, []string{string(authority.CodeForked)}},
	} {
		a.set("authority/documents", []byte(c.text))
		says := func(err error) bool {
			got := codes(err)
			return len(got) > 0 && string(got[0]) == c.code[0]
		}
		settled(t, atom, func(a *environment.Atom) bool { return says(a.Problem()) })
		if got := trustOf(t, atom); got != "theirs" {
			t.Errorf("%s: connection c trusts %q", name, got)
		}
		if _, err := a.Connection(ctx, "c"); !says(err) {
			t.Errorf("%s: a registry that runs: %v", name, err)
		}
		r := check(environment.Open(ctx, a.m, given))(t)
		if _, err := r.Connection(ctx, "c"); !says(err) {
			t.Errorf("%s: one that was given the successor: %v", name, err)
		}
		a.set("authority/documents", honest)
		settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	}
}

// An index counts under the Authority that it names, though its signer is in others too.
func TestIndexOfAnotherAuthority(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	must(t, a.Rotate(ctx, withoutBen(t, check(a.Successor(ctx))(t))))
	atom := a.attach("node", environment.AtomOptions{})
	honest := a.get("authority/indexes/test")
	for _, n := range []uint64{1, 3} {
		a.forgeIndex("authority/indexes/test", func(i *authority.Index) { i.Authority = n }, anna)
		settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeForged) })
		if _, err := a.test.Attach(ctx, "starts", environment.AtomOptions{}); !slices.Contains(codes(err), authority.CodeForged) {
			t.Errorf("authority %d: starts: %v", n, err)
		}
		a.set("authority/indexes/test", honest)
		settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	}
}

// A handshake verifies no signature and does not ask the storage: without its Authority, what an
// atom has handed out goes on.
func TestHandshakesVerifyNoSignatures(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	must(t, a.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"a"}, Identity: "mine"}))
	s := &dying{Storage: a.m, left: 1 << 30}
	e := check(a.as(t, nil, s).Environment(ctx, "test"))(t)
	atom := check(e.Attach(ctx, "node", environment.AtomOptions{Seen: -1}))(t)
	defer atom.Close()
	address := serve(t, atom, "mine")
	c := check(atom.Connection("own"))(t)
	must(t, dial(t, address, c)) // which opens the key
	s.mu.Lock()
	s.left = 1
	s.mu.Unlock()
	environment.ForgetAuthority(atom)
	for range 20 {
		must(t, dial(t, address, c))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left != 1 {
		t.Errorf("the storage was asked %d times", 1-s.left)
	}
}

// A registry and an atom say whether they are signed.
func TestStringSaysWhetherItIsSigned(t *testing.T) {
	a := besieged(t)
	must(t, a.Rotate(t.Context(), withoutBen(t, check(a.Successor(t.Context()))(t))))
	atom := a.attach("node", environment.AtomOptions{})
	w := newWorld(t, environment.Options{})
	for got, want := range map[string]string{
		fmt.Sprint(a.Registry):                               "registry tests, signed, authority 2",
		fmt.Sprintf("%+v", w.Registry):                       "registry that is not signed",
		fmt.Sprintf("%#v", atom):                             "atom node of environment test, signed, authority 2, index ",
		w.attach("node", environment.AtomOptions{}).String(): "atom node of environment test, not signed",
	} {
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
