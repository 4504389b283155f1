package environment_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// Who may not change something is refused before anything is written, and told who may.
func TestChangesNeedTheRight(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
	revision := func() (sum uint64) {
		for _, r := range check(a.m.List(ctx, ""))(t) {
			sum += r.Revision
		}
		return sum
	}
	before := revision()
	as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
	rename := func(r *environment.Registry, id string) error {
		return r.UpdateConnection(ctx, id, func(c *environment.Connection) error {
			c.ServerName += "x"
			return nil
		})
	}
	testOf := func(r *environment.Registry) *environment.Environment { return check(r.Environment(ctx, "test"))(t) }
	for name, c := range map[string]struct {
		err error
		who string
	}{
		"nobody":                                {rename(as(nil), "e"), "ben"},
		"a stranger":                            {rename(as(stranger), "e"), "ben"},
		"a connection of two environments":      {rename(as(ben), "c"), "anna"},
		"another kind":                          {testOf(as(ben)).Deploy(ctx, "b"), "anna"},
		"a new component":                       {second2(as(ben).Rename(ctx, "a", "x")), "anna"},
		"a deletion":                            {as(ben).DeleteConnection(ctx, "d"), "anna"},
		"who releases nothing":                  {rename(as(carl), "c"), "anna"},
		"an environment that takes two to make": {second2(a.CreateEnvironment(ctx, "production")), "carl"},
	} {
		if !errors.Is(c.err, trustkeep.ErrNotPermitted) || !strings.Contains(c.err.Error(), c.who) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if after := revision(); after != before {
		t.Errorf("something was written: %d, %d", before, after)
	}
	// What counts in test alone is ben's.
	atom := a.attach("node", environment.AtomOptions{})
	must(t, rename(as(ben), "e"))
	settled(t, atom, func(a *environment.Atom) bool { b, err := a.Connection("e"); return err == nil && b.ServerName == "x" })
	// He may not make it count elsewhere.
	err := as(ben).UpdateConnection(ctx, "e", func(c *environment.Connection) error {
		c.Environments = []string{"test", "other"}
		return nil
	})
	if !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("another environment: %v", err)
	}
	// When anna does, it is hers.
	must(t, a.UpdateConnection(ctx, "e", func(c *environment.Connection) error {
		c.Environments = []string{"test", "other"}
		return nil
	}))
	must(t, atom.Problem())
}

func second2[T any](_ T, err error) error { return err }

// production is a signed registry with an environment that takes two of three to release.
func production(t *testing.T) *attacker {
	t.Helper()
	a := besieged(t)
	ctx := t.Context()
	p := check(a.as(t, carl, a.m).Propose(ctx, func(ctx context.Context, r *environment.Registry) error {
		_, err := r.CreateEnvironment(ctx, "production")
		return err
	}))(t)
	// Connections count there too.
	if len(p.Environments) != 1 || p.Environments[0].Needed != 2 || !slices.Equal(p.Environments[0].Approved, []string{"carl"}) {
		t.Fatalf("proposed: %v", p)
	}
	if done := check(a.as(t, dora, a.m).Approve(ctx, p.ID))(t); !done {
		t.Fatal("two approvals are not enough")
	}
	return a
}

func TestThresholds(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
	e := check(as(nil).Environment(ctx, "production"))(t)
	atom := check(e.Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	deploy := func(ctx context.Context, r *environment.Registry) error {
		e, err := r.Environment(ctx, "production")
		if err == nil {
			err = e.Deploy(ctx, "a")
		}
		if err == nil {
			err = e.Deploy(ctx, "b")
		}
		if err == nil {
			err = e.Undeploy(ctx, "b")
		}
		return err
	}
	// One alone can neither make the change nor approve it twice.
	if err := deploy(ctx, as(carl)); !errors.Is(err, trustkeep.ErrNotPermitted) || !strings.Contains(err.Error(), "Propose") {
		t.Errorf("made by one: %v", err)
	}
	p := check(as(carl).Propose(ctx, deploy))(t)
	if done, err := as(carl).Approve(ctx, p.ID); done || err != nil {
		t.Errorf("approved twice by one: %t, %v", done, err)
	}
	if done, err := as(anna).Approve(ctx, p.ID); done || !errors.Is(err, trustkeep.ErrNotPermitted) || !strings.Contains(err.Error(), "dora") {
		t.Errorf("approved by somebody else: %t, %v", done, err)
	}
	if n := len(check(atom.Certificates())(t)); n != 0 {
		t.Errorf("%d certificates with one approval", n)
	}
	list := check(as(nil).PendingChanges(ctx))(t)
	if len(list) != 1 || list[0].ID != p.ID || !slices.Equal(list[0].Environments[0].Approved, []string{"carl"}) {
		t.Errorf("proposals: %v", list)
	}
	if i := slices.IndexFunc(p.Changes, func(c environment.ProposedChange) bool { return c.Key == "environments/production" }); i < 0 ||
		p.Changes[i].By != "carl" || !strings.Contains(p.Changes[i].After, "deployed") || p.Changes[i].Document == nil {
		t.Errorf("changes: %+v", p.Changes)
	}
	// An approval is for this change: the storage cannot put another one in its place.
	other := check(as(carl).Propose(ctx, func(ctx context.Context, r *environment.Registry) error {
		e, err := r.Environment(ctx, "production")
		if err == nil {
			err = e.Deploy(ctx, "b")
		}
		return err
	}))(t)
	honest := a.get("proposals/" + p.ID)
	a.set("proposals/"+p.ID, a.get("proposals/"+other.ID))
	if done, err := as(dora).Approve(ctx, p.ID); done || !errors.Is(err, trustkeep.ErrUntrusted) {
		t.Errorf("another change under its ID: %t, %v", done, err)
	}
	if _, err := as(nil).PendingChanges(ctx); err == nil {
		t.Error("it is listed")
	}
	a.set("proposals/"+p.ID, honest)
	if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
	settled(t, atom, trusts(1))
	must(t, atom.Problem())
	// The other one was for what is gone.
	if done, err := as(dora).Approve(ctx, other.ID); done || !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("an approval is carried over: %t, %v", done, err)
	}
	must(t, as(nil).Withdraw(ctx, other.ID))
	if _, err := as(dora).Approve(ctx, other.ID); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("withdrawn: %v", err)
	}
	// A connection of every environment takes both kinds of approval.
	p = check(a.Propose(ctx, func(ctx context.Context, r *environment.Registry) error {
		return r.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
			c.ServerName = "new.example"
			return nil
		})
	}))(t)
	if done := check(as(emil).Approve(ctx, p.ID))(t); done {
		t.Error("one approval in production is enough")
	}
	if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
		t.Errorf("anna's, emil's and dora's approvals are not enough: %v", check(as(nil).PendingChanges(ctx))(t))
	}
	settled(t, atom, func(a *environment.Atom) bool {
		b, err := a.Connection("c")
		return err == nil && b.ServerName == "new.example"
	})
	if _, err := as(carl).Propose(ctx, func(context.Context, *environment.Registry) error { return nil }); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
}

// A record that was written, and that no approved index lists, does not count in production,
// whoever has signed it.
func TestRecordWithoutApprovals(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	e := check(a.as(t, nil, a.m).Environment(ctx, "production"))(t)
	atom := check(e.Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	s := check(authority.Parse[authority.Record](a.get("connections/c")))(t)
	r := s.Statement()
	r.Number, r.Previous, r.Signer = r.Number+1, s.Digest(), keyID(t, carl)
	r.Document = []byte(strings.Replace(string(r.Document), `["b"]`, `["a"]`, 1))
	a.set("connections/c", signAs(t, r, carl))
	i := check(authority.Parse[authority.Index](a.get("authority/indexes/production")))(t)
	next := i.Statement()
	next.Number, next.Previous = next.Number+1, i.Digest()
	next.Entries = slices.Clone(next.Entries)
	for n := range next.Entries {
		if next.Entries[n].Key == "connections/c" {
			next.Entries[n].Number, next.Entries[n].Digest = r.Number, check(authority.Make(r))(t).Digest()
		}
	}
	a.set("authority/indexes/production", signAs(t, next, carl, anna))
	settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeForged) })
	if got := trustOf(t, atom); got != "theirs" {
		t.Errorf("connection c trusts %q", got)
	}
}

func TestRotation(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
	must(t, a.as(t, ben, a.m).UpdateConnection(ctx, "e", func(c *environment.Connection) error {
		c.ServerName = "by-ben"
		return nil
	}))
	reader := a.as(t, nil, a.m)
	atom := a.attach("node", environment.AtomOptions{})
	// Ben leaves. What he has signed counts on.
	d := check(a.Successor(ctx))(t)
	d.Grants = d.Grants[:1]
	d.Keys = slices.DeleteFunc(d.Keys, func(m authority.Member) bool { return m.Name == "ben" })
	all := d.Environments[authority.Everywhere]
	all.Release.Keys = keyIDs(t, anna)
	d.Environments[authority.Everywhere] = all
	if err := a.Rotate(ctx, signDocument(t, d, stranger)); !errors.Is(err, trustkeep.ErrUntrusted) {
		t.Errorf("without the root: %v", err)
	}
	old := a.get("authority/indexes/test")
	must(t, a.Rotate(ctx, signDocument(t, d, rootKey)))
	must(t, a.Rotate(ctx, signDocument(t, d, rootKey))) // nothing is left to do
	b := a.as(t, ben, a.m)
	for name, r := range map[string]*environment.Registry{"a reader that runs": reader, "a new one": b, "the one that rotated": a.Registry} {
		c, err := r.Connection(ctx, "e")
		if err != nil || c.ServerName != "by-ben" {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if err := b.UpdateConnection(ctx, "e", func(c *environment.Connection) error {
		c.ServerName = "again"
		return nil
	}); !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("a former administrator: %v", err)
	}
	starts := a.attach("starts", environment.AtomOptions{})
	for _, atom := range []*environment.Atom{atom, starts} {
		settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
		if c := check(atom.Connection("e"))(t); c.ServerName != "by-ben" {
			t.Errorf("connection e: %q", c.ServerName)
		}
	}
	// With the storage, he still can do nothing: neither sign a record, nor release it under
	// the authority that he was in.
	s := check(authority.Parse[authority.Record](a.get("connections/e")))(t)
	r := s.Statement()
	r.Number, r.Previous, r.Signer = r.Number+1, s.Digest(), keyID(t, ben)
	honest := a.get("connections/e")
	a.set("connections/e", signAs(t, r, ben))
	if _, err := reader.Connection(ctx, "e"); !errors.Is(err, trustkeep.ErrUntrusted) {
		t.Errorf("a former administrator's record: %v", err)
	}
	settled(t, atom, func(a *environment.Atom) bool { return slices.Contains(codes(a.Problem()), authority.CodeForged) })
	a.set("connections/e", honest)
	last := check(authority.Parse[authority.Index](a.get("authority/indexes/test")))(t)
	i := parseSigned[authority.Index](t, old)
	i.Number, i.Previous, i.Entries = last.Statement().Number+1, last.Digest(), i.Entries[:1]
	a.set("authority/indexes/test", signAs(t, i, ben))
	settled(t, atom, func(a *environment.Atom) bool {
		return slices.Equal(codes(a.Problem()), []trustkeep.Code{authority.CodeForged})
	})
	if c := check(atom.Connection("e"))(t); c.ServerName != "by-ben" {
		t.Errorf("connection e: %q", c.ServerName)
	}
	a.set("authority/indexes/test", last.Encode())
	// The successor withheld: who has seen it notices.
	a.remove("authority/documents")
	if _, err := reader.Connection(ctx, "e"); !slices.Contains(codes(err), authority.CodeWithheld) {
		t.Errorf("the successor is withheld: %v", err)
	}
}

// What counts nowhere, and a former administrator has signed, is signed anew.
func TestRotationSignsWhatNoIndexVouchesFor(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	d := check(a.Successor(ctx))(t)
	d.Grants = append(d.Grants, authority.Grant{Keys: keyIDs(t, ben), Kinds: []authority.Kind{authority.Components}, Environments: []string{"test"}})
	must(t, a.Rotate(ctx, signDocument(t, d, rootKey)))
	b := a.as(t, ben, a.m)
	_, data, err := check(a.Component(ctx, "a"))(t).ExportPublic("")
	must(t, err)
	check(b.Import(ctx, "spare", data, environment.ComponentOptions{ID: "spare"}))(t)
	check(b.Import(ctx, "gone", data, environment.ComponentOptions{ID: "gone"}))(t)
	must(t, b.Delete(ctx, "gone"))
	d = check(a.Successor(ctx))(t)
	d.Grants = d.Grants[:1]
	must(t, a.Rotate(ctx, signDocument(t, d, rootKey)))
	r := a.as(t, anna, a.m)
	if _, err := r.Component(ctx, "spare"); err != nil {
		t.Errorf("a component that counts nowhere: %v", err)
	}
	check(r.Components(ctx))(t)
	check(r.Import(ctx, "gone", data, environment.ComponentOptions{ID: "gone"}))(t)
}

// What was deleted stays deleted, also where it counted nowhere.
func TestDeletedRecordsAreNotBroughtBack(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	_, data, err := check(a.Component(ctx, "a"))(t).ExportPublic("")
	must(t, err)
	check(a.Import(ctx, "gone", data, environment.ComponentOptions{ID: "gone"}))(t)
	old := a.get("components/gone")
	must(t, a.Delete(ctx, "gone"))
	a.set("components/gone", old)
	for name, r := range map[string]*environment.Registry{"running": a.Registry, "new": a.as(t, anna, a.m)} {
		if _, err := r.Component(ctx, "gone"); !slices.Contains(codes(err), authority.CodeRolledBack) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys := check(a.Discard(ctx))(t)
	if _, err := a.Component(ctx, "gone"); !slices.Equal(keys, []string{"components/gone"}) || !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("discarded %v: %v", keys, err)
	}
	// The storage may clean up what says so.
	a.remove("components/gone")
	if _, err := a.as(t, anna, a.m).Component(ctx, "gone"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("cleaned up: %v", err)
	}
	check(a.Import(ctx, "gone", data, environment.ComponentOptions{ID: "gone"}))(t)
	if n := parseSigned[authority.Record](t, a.get("components/gone")).Number; n < 4 {
		t.Errorf("it begins again with number %d", n)
	}
}

func TestSwitchingOn(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	mine := w.identity("mine")
	w.public(mine, "a")
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}, Identity: "mine"}))
	before := w.attach("before", environment.AtomOptions{})
	o := environment.Options{Authority: testAuthority(t), Signer: anna, Clock: w.clock.Now}
	r := check(environment.Open(ctx, w.storage, o))(t)
	if _, err := r.Connection(ctx, "c"); !slices.Contains(codes(err), authority.CodeWithheld) && !slices.Contains(codes(err), authority.CodeUnsigned) {
		t.Errorf("before: %v", err)
	}
	if err := r.SetConnection(ctx, environment.Connection{ID: "d"}); !errors.Is(err, trustkeep.ErrUntrusted) {
		t.Errorf("written before: %v", err)
	}
	plan := check(r.PlanSigning(ctx))(t)
	if n := len(plan.Records); n != 5 || !strings.Contains(plan.String(), "connections/c") || !strings.Contains(plan.String(), "trusts [a]") {
		t.Errorf("%d records: %v", n, plan)
	}
	// Somebody changes a record meanwhile: it is not what was shown.
	must(t, w.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
		c.Trusted = nil
		return nil
	}))
	if err := plan.Sign(ctx); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("another record is signed: %v", err)
	}
	plan = check(r.PlanSigning(ctx))(t)
	must(t, plan.Sign(ctx))
	if n := len(check(r.PlanSigning(ctx))(t).Records); n != 0 {
		t.Errorf("%d records are left", n)
	}
	check(r.Connection(ctx, "c"))(t)
	check(r.Components(ctx))(t)
	e := check(r.Environment(ctx, "test"))(t)
	atom := check(e.Attach(ctx, "after", environment.AtomOptions{}))(t)
	defer atom.Close()
	settled(t, atom, trusts(1))
	must(t, atom.Problem())
	must(t, e.Undeploy(ctx, "a"))
	settled(t, atom, trusts(0))
	// An atom without the authority goes on with what it had: it cannot read what is signed.
	settled(t, before, func(a *environment.Atom) bool { return a.Problem() != nil })
	if n := len(check(before.Certificates())(t)); n != 1 {
		t.Errorf("the atom of before trusts %d", n)
	}
	if err := second2(environment.Open(ctx, w.storage, environment.Options{Authority: testAuthority(t), Signer: signerOfRSA{}})); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("another kind of key: %v", err)
	}
	for name, err := range map[string]error{
		"plan": second2(w.PlanSigning(ctx)), "complete": second2(w.Complete(ctx)), "discard": second2(w.Discard(ctx)),
		"propose": second2(w.Propose(ctx, nil)), "proposals": second2(w.PendingChanges(ctx)), "approve": second2(w.Approve(ctx, "x")),
		"withdraw": w.Withdraw(ctx, "x"), "rotate": w.Rotate(ctx, nil), "date": w.test.Date(ctx, environment.DateOptions{}),
	} {
		if !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s without an authority: %v", name, err)
		}
	}
}

type signerOfRSA struct{ crypto.Signer }

func (signerOfRSA) Public() crypto.PublicKey { return "a key" }

// stopping is a storage that ends with the n-th write, as if the writer was killed.
type stopping struct {
	environment.Storage
	mu   sync.Mutex
	left int
	done []string
	lost bool // the write is done, and its answer lost
}

func (s *stopping) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	if s.left < 0 || s.left == 0 && !s.lost {
		return 0, errFault
	}
	n, err := s.Storage.Put(ctx, key, value, expected)
	s.done = append(s.done, key)
	if s.left == 0 {
		return 0, errors.Join(err, errFault)
	}
	return n, err
}

func (s *stopping) Get(ctx context.Context, key string) (environment.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left <= 0 {
		return environment.Record{}, errFault
	}
	return s.Storage.Get(ctx, key)
}

// A writer that ends at any moment leaves nothing applied, or all; the next one completes it, or
// puts back what was.
func TestWriterThatEndsInBetween(t *testing.T) {
	for _, discard := range []bool{false, true} {
		for n := 1; ; n++ {
			ended := false
			t.Run(fmt.Sprintf("discard %t, write %d", discard, n), func(t *testing.T) {
				a := besieged(t)
				ctx := t.Context()
				atom := a.attach("node", environment.AtomOptions{})
				s := &stopping{Storage: a.m, left: 1 << 30}
				r := a.as(t, anna, s)
				s.left = n
				err := r.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
					c.Trusted = []string{"a"}
					return nil
				})
				if err == nil {
					ended = true
					return
				}
				started := a.attach("starts", environment.AtomOptions{})
				if got := trustOf(t, started); got != "theirs" && !slices.Contains(s.done, "authority/indexes/test") {
					t.Errorf("after %v connection c trusts %q", s.done, got)
				}
				want := "theirs"
				if discard {
					check(a.Discard(ctx))(t)
				} else {
					check(a.Complete(ctx))(t)
				}
				if slices.Contains(s.done, "connections/c") && (!discard || len(s.done) > 1) {
					want = "mine"
				}
				is := func(a *environment.Atom) bool { return trustOf(t, a) == want && a.Problem() == nil }
				settled(t, atom, is)
				settled(t, started, is)
				c := check(a.Connection(ctx, "c"))(t)
				if got := map[string]string{"a": "mine", "b": "theirs"}[c.Trusted[0]]; got != want {
					t.Errorf("the registry says %q, want %q", got, want)
				}
			})
			if ended {
				break
			}
			if n > 10 {
				t.Fatal("it never ends")
			}
		}
	}
}

// An answer that is lost changes nothing: what was done is found out.
func TestLostAnswersOfASignedWriter(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	atom := a.attach("node", environment.AtomOptions{})
	for n := 1; n < 6; n++ {
		s := &answerless{Storage: a.m, at: n}
		r := a.as(t, anna, s)
		name := fmt.Sprint("n", n)
		must(t, r.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
			c.ServerName = name
			return nil
		}))
		settled(t, atom, func(a *environment.Atom) bool { b, err := a.Connection("c"); return err == nil && b.ServerName == name })
		must(t, atom.Problem())
	}
}

// answerless loses the answer of one write.
type answerless struct {
	environment.Storage
	at int
}

func (s *answerless) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	n, err := s.Storage.Put(ctx, key, value, expected)
	if s.at--; s.at == 0 && err == nil {
		return 0, errFault
	}
	return n, err
}

// Nothing of what is signed is needed to verify it: the keys never print.
func TestSignersDoNotPrint(t *testing.T) {
	o := environment.Options{Authority: testAuthority(t), Signer: anna}
	r := check(environment.Open(t.Context(), storagetest.NewMemory(nil), o))(t)
	var b strings.Builder
	for _, v := range []any{o, &o, r} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			fmt.Fprintf(&b, format+"\n", v)
		}
	}
	for _, secret := range []string{fmt.Sprintf("%x", anna.Seed()), strings.Trim(fmt.Sprint([]byte(anna.Seed())), "[]"), fmt.Sprintf("%#v", anna.Seed())[7:60]} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("it prints the key: %q", secret)
		}
	}
}

// What begins to count in an environment by a change is signed by who makes it, unless its signer
// has the right there; who has not either is refused.
func TestWhatBeginsToCountIsSignedAnew(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	d := check(a.Successor(ctx))(t)
	d.Grants = append(d.Grants,
		authority.Grant{Keys: keyIDs(t, ben), Kinds: []authority.Kind{authority.Components}, Environments: []string{"test"}},
		authority.Grant{Keys: keyIDs(t, ben), Kinds: []authority.Kind{authority.Deployments}, Environments: []string{"other"}})
	must(t, a.Rotate(ctx, signDocument(t, d, rootKey)))
	b := a.as(t, ben, a.m)
	_, data, err := check(a.Component(ctx, "a"))(t).ExportPublic("")
	must(t, err)
	for _, id := range []string{"x", "y"} {
		check(b.Import(ctx, id, data, environment.ComponentOptions{ID: id}))(t)
	}
	other := check(b.Environment(ctx, "other"))(t)
	if err := other.Deploy(ctx, "x"); !errors.Is(err, trustkeep.ErrNotPermitted) || !strings.Contains(err.Error(), "anna") {
		t.Errorf("deployed without the right for its content: %v", err)
	}
	atom := check(other.Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	mine := check(a.Environment(ctx, "other"))(t)
	must(t, mine.Deploy(ctx, "x"))
	must(t, a.test.Deploy(ctx, "y"))
	settled(t, atom, trusts(1))
	for key, want := range map[string]crypto.Signer{"components/x": anna, "components/y": ben} {
		if got := parseSigned[authority.Record](t, a.get(key)).Signer; got != keyID(t, want) {
			t.Errorf("%s is signed by another", key)
		}
	}
	// What counts in other now is no longer his to change.
	if _, err := b.Rename(ctx, "x", "z"); !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("renamed: %v", err)
	}
	check(b.Rename(ctx, "y", "z"))(t)
}

// A registry of before is read and signed whole.
func TestGoldenRegistryIsSigned(t *testing.T) {
	own := t.TempDir()
	must(t, os.CopyFS(own, os.DirFS(filepath.Join("testdata", "golden-v1", "storage"))))
	ctx := t.Context()
	clock := newClock()
	d := check(dirstore.Open(own, dirstore.Options{Clock: clock.Now}))(t)
	defer d.Close()
	plain := check(environment.Open(ctx, d, environment.Options{Clock: clock.Now}))(t)
	components, connections := check(plain.Components(ctx))(t), check(plain.Connections(ctx))(t)
	envs := check(plain.Environments(ctx))(t)
	document := authorityDocument(t)
	delete(document.Environments, "production")
	o := environment.Options{Signer: anna, Clock: clock.Now, Authority: check(authority.Trust(signDocument(t, document, rootKey)))(t)}
	r := check(environment.Open(ctx, d, o))(t)
	plan := check(r.PlanSigning(ctx))(t)
	must(t, plan.Sign(ctx))
	o.Sealer = environment.FileSealer(filepath.Join("testdata", "golden-v1", "key"))
	r = check(environment.Open(ctx, d, o))(t)
	after := check(r.Components(ctx))(t)
	if len(after) != len(components) || len(check(r.Connections(ctx))(t)) != len(connections) || !slices.Equal(check(r.Environments(ctx))(t), envs) {
		t.Errorf("%d components of %d", len(after), len(components))
	}
	for i, c := range components {
		if after[i].Fingerprint() != c.Fingerprint() || after[i].Version() != c.Version() {
			t.Errorf("component %s has changed", c.ID())
		}
	}
	for _, id := range envs {
		a := check(check(r.Environment(ctx, id))(t).Attach(ctx, "after", environment.AtomOptions{}))(t)
		must(t, a.Problem())
		must(t, a.Close())
	}
	if history := check(r.History(ctx, "server-public"))(t); len(history) < 2 || history[len(history)-1].State == "" {
		t.Errorf("history: %v", history)
	}
}
