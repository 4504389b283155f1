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
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// sealedProduction is a sealed and signed registry with an environment that takes two of three to
// release, and a component "x".
func sealedProduction(t *testing.T) (*world, *environment.OpeningKey, func(crypto.Signer, environment.Storage) *environment.Registry) {
	t.Helper()
	root := newKey(t)
	a := testAuthority(t)
	w := newWorld(t, environment.Options{Authority: a, Signer: anna, OpeningKey: root})
	check(w.Seal(t.Context(), recipient("root", root)))(t)
	as := func(k crypto.Signer, in environment.Storage) *environment.Registry {
		return check(environment.Open(t.Context(), in, environment.Options{Authority: a, Signer: k, OpeningKey: root, Clock: w.clock.Now, Rand: quickkdf.Rand()}))(t)
	}
	w.identity("x")
	p := check(as(carl, w.storage).Propose(t.Context(), func(ctx context.Context, r *environment.Registry) error {
		_, err := r.CreateEnvironment(ctx, "production")
		return err
	}))(t)
	if done := check(as(dora, w.storage).Approve(t.Context(), p.ID))(t); !done {
		t.Fatal("two approvals are not enough")
	}
	return w, root, as
}

func roleIn(env, component string) func(context.Context, *environment.Registry) error {
	return func(ctx context.Context, r *environment.Registry) error {
		e, err := r.Environment(ctx, env)
		if err != nil {
			return err
		}
		return e.SetRole(ctx, environment.RoleTLS, component)
	}
}

// TestSealedByProposal: what is proposed is sealed with it, and nothing is lost wherever the last
// who approves is killed.
func TestSealedByProposal(t *testing.T) {
	w, root, as := sealedProduction(t)
	ctx := t.Context()
	begin := check(as(carl, w.storage).Propose(ctx, roleIn("production", "x")))(t)
	if _, err := w.storage.Get(ctx, "environments/production/secrets/x"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("sealed before it is approved: %v", err)
	}
	for i, next := range []func() string{
		func() string { return begin.ID },
		func() string { return check(as(carl, w.storage).Propose(ctx, roleIn("production", "")))(t).ID },
	} {
		id := next()
		for n, dead := 1, true; dead; n++ {
			m := w.copyOf()
			d := &dying{Storage: m, left: 1 << 30}
			r := as(dora, d)
			d.left = n
			r.Approve(ctx, id)
			dead = d.left <= 0
			where := fmt.Sprintf("change %d, killed at call %d", i, n)
			if _, err := as(carl, m).Password(ctx, "x"); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if _, err := as(dora, m).Approve(ctx, id); err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("%s: once more: %v", where, err)
			}
			sealedWell(t, as(carl, m), where)
			check(as(carl, m).Password(ctx, "x"))(t)
		}
		if done := check(as(dora, w.storage).Approve(ctx, id))(t); !done {
			t.Error("two approvals are not enough")
		}
		sealedWell(t, as(carl, w.storage), fmt.Sprintf("change %d", i))
	}
	_ = root
}

// TestProposalsFollowRecipients: a password that is proposed to be sealed for administrators is
// sealed for those of now, or not at all.
func TestProposalsFollowRecipients(t *testing.T) {
	w, root, as := sealedProduction(t)
	ctx := t.Context()
	p := check(as(carl, w.storage).Propose(ctx, roleIn("production", "x")))(t)
	check(as(dora, w.storage).Approve(ctx, p.ID))(t)
	former := newKey(t)
	must(t, as(carl, w.storage).AddAdministrator(ctx, recipient("former", former)))
	p = check(as(carl, w.storage).Propose(ctx, roleIn("production", "")))(t)
	check(as(carl, w.storage).RemoveAdministrator(ctx, "former"))(t)
	if _, err := as(dora, w.storage).Approve(ctx, p.ID); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("approved: %v", err)
	}
	var sealed []environment.Record
	for _, r := range check(environment.StorageOf(as(carl, w.storage)).List(ctx, ""))(t) {
		sealed = append(sealed, check(environment.StorageOf(as(carl, w.storage)).Versions(ctx, r.Key))(t)...)
	}
	if found := environment.Openings(former, sealed); len(found) > 0 {
		t.Errorf("who was removed opens %v", found)
	}
	p = check(as(carl, w.storage).Propose(ctx, roleIn("production", "")))(t)
	if done := check(as(dora, w.storage).Approve(ctx, p.ID))(t); !done {
		t.Error("two approvals are not enough")
	}
	sealedWell(t, as(carl, w.storage), "proposed again")
	if found := environment.Openings(root, sealed); !slices.Contains(slices.Collect(func(yield func(string) bool) {
		for _, v := range found {
			if !yield(v) {
				return
			}
		}
	}), "production:x") {
		t.Errorf("found %v", found)
	}
}
