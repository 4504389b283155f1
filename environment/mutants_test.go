package environment_test

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

// TestOverrideIsInTheFrozenCopies of a process: it trusts what its environment has set, and goes on
// so when the override ends, until it is deployed again.
func TestOverrideIsInTheFrozenCopies(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"c"}}))
	must(t, w.test.Override(ctx, "c", environment.Override{Trusted: &[]string{"b"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, w.test.Override(ctx, "c", environment.Override{}))
	atom := w.attach("one", environment.AtomOptions{})
	c := check(check(atom.Process("orders"))(t).Connection("c"))(t)
	if err := dial(t, serve(t, atom, "server-b"), c); err != nil {
		t.Errorf("what the override trusts: %v", err)
	}
	if dial(t, serve(t, atom, "server-a"), c) == nil {
		t.Error("the process was deployed without the override")
	}
}

// TestAddChecksThePassword: a wrong one is neither kept nor passed over.
func TestAddChecksThePassword(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, environment.Options{})
	unsealed := check(environment.Open(ctx, w.storage, environment.Options{}))(t)
	c := check(component.Create(ctx, "mine", issue.Options{DNSNames: []string{"a.example"}}, component.Options{ID: "mine", Password: trustkeep.Password("right")}))(t)
	for about, r := range map[string]*environment.Registry{"that keeps passwords": w.Registry, "that keeps none": unsealed} {
		if err := r.Add(ctx, c, trustkeep.Password("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("in a registry %s: %v", about, err)
		}
	}
	if _, err := w.Component(ctx, "mine"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("it was added: %v", err)
	}
	must(t, w.Add(ctx, c, trustkeep.Password("right")))
	if got := check(check(w.Password(ctx, "mine"))(t).Reveal())(t); string(got) != "right" {
		t.Errorf("kept is %q", got)
	}
}
