package environment_test

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
)

func deployIn(env, id string) func(context.Context, *environment.Registry) error {
	return func(ctx context.Context, r *environment.Registry) error {
		e, err := r.Environment(ctx, env)
		if err == nil {
			err = e.Deploy(ctx, id)
		}
		return err
	}
}

func rename(id, name string) func(context.Context, *environment.Registry) error {
	return func(ctx context.Context, r *environment.Registry) error {
		return r.UpdateConnection(ctx, id, func(c *environment.Connection) error {
			c.ServerName = name
			return nil
		})
	}
}

// Between the records of an approved proposal and its index, somebody else's is made: the records
// do not count, the approvals are not carried over, and the next proposal shows them.
func TestApproveBetweenRecordsAndIndex(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
	must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
	atom := check(check(as(nil).Environment(ctx, "production"))(t).Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	first := check(as(carl).Propose(ctx, deployIn("production", "a")))(t)
	other := check(as(carl).Propose(ctx, func(ctx context.Context, r *environment.Registry) error {
		return r.SetConnection(ctx, environment.Connection{ID: "p", Trusted: []string{"b"}, Environments: []string{"production"}})
	}))(t)
	s := &before{Storage: a.m, key: "connections/p", do: func() {
		killed := &dying{left: 1 << 30}
		killed.Storage = &before{Storage: a.m, key: "environments/production", do: func() { killed.left = 1 }}
		if done, err := a.as(t, dora, killed).Approve(ctx, first.ID); done || !errors.Is(err, errKilled) {
			t.Errorf("approved: %t, %v", done, err)
		}
		// Whoever changes what does not concern production goes on.
		must(t, rename("e", "meanwhile")(ctx, as(anna)))
	}}
	if done := check(a.as(t, emil, s).Approve(ctx, other.ID))(t); !done {
		t.Error("the other proposal is not made")
	}
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("p"); return err == nil })
	if n := len(check(atom.Certificates())(t)); n != 0 {
		t.Errorf("%d certificates", n)
	}
	must(t, atom.Problem())
	if done, err := as(emil).Approve(ctx, first.ID); done || !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("approved once more: %t, %v", done, err)
	}
	// Made anew, it is shown and approved anew.
	p := check(as(carl).Propose(ctx, nil))(t)
	if !slices.ContainsFunc(p.Changes, func(c environment.ProposedChange) bool { return c.Key == "environments/production" && c.By == "carl" }) {
		t.Errorf("proposed: %v", p)
	}
	if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
	settled(t, atom, trusts(1))
	must(t, atom.Problem())
}

// Who approves last is killed at any moment: whoever approves again completes it.
func TestApproveThatEndsAnywhere(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
	atom := check(check(as(nil).Environment(ctx, "production"))(t).Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	must(t, a.SetConnection(ctx, environment.Connection{ID: "e", Trusted: []string{"a"}, Environments: []string{"test"}}))
	p := check(as(carl).Propose(ctx, func(ctx context.Context, r *environment.Registry) error {
		return r.SetConnection(ctx, environment.Connection{ID: "p", Trusted: []string{"b"}, Environments: []string{"production"}})
	}))(t)
	check(as(dora).Approve(ctx, p.ID))(t)
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			name := time.Duration(n).String() + map[bool]string{true: "-late"}[late]
			p := check(as(carl).Propose(ctx, rename("p", name)))(t)
			s := &dying{Storage: a.m, left: 1 << 30, after: late}
			r := a.as(t, dora, s)
			s.left = n
			_, err := r.Approve(ctx, p.ID)
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Errorf("call %d: %v", n, err)
			}
			// Somebody changes something else meanwhile.
			must(t, rename("e", name)(ctx, as(anna)))
			if _, err := as(emil).Approve(ctx, p.ID); err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("call %d, done %t: approved again: %v", n, late, err)
			}
			settled(t, atom, func(a *environment.Atom) bool {
				c, err := a.Connection("p")
				return err == nil && c.ServerName == name && a.Problem() == nil
			})
		}
	}
}

// Where an index takes several signatures, a proposal without a change makes it anew when it was
// not dated in time, or lists another version than there is.
func TestProposeNothing(t *testing.T) {
	a := production(t)
	ctx := t.Context()
	as := func(k crypto.Signer) *environment.Registry { return a.as(t, k, a.m) }
	e := check(as(nil).Environment(ctx, "production"))(t)
	atom := check(e.Attach(ctx, "node", environment.AtomOptions{}))(t)
	defer atom.Close()
	if _, err := as(carl).Propose(ctx, nil); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("nothing to make anew: %v", err)
	}
	a.clock.Advance(25 * time.Hour)
	if _, err := e.Attach(ctx, "late", environment.AtomOptions{}); !slices.Contains(codes(err), authority.CodeOutdated) {
		t.Errorf("starts: %v", err)
	}
	p := check(as(carl).Propose(ctx, nil))(t)
	if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	late := check(e.Attach(ctx, "late", environment.AtomOptions{}))(t)
	must(t, late.Close())
	// An index that the storage has lost too.
	a.set("authority/indexes/production", a.version("authority/indexes/production", 1))
	p = check(as(carl).Propose(ctx, nil))(t)
	if done := check(as(dora).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
}
