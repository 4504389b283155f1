package environment_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// An empty list of trusted components is nobody's wish: it never means what is deployed.
func TestEmptyListOfTrustedComponents(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("x"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}}))
	empty := environment.Connection{ID: "out", Trusted: []string{}}
	if err := w.SetConnection(ctx, empty); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("in a connection: %v", err)
	}
	if _, err := w.test.DryRun(ctx, environment.Proposal{Connections: []environment.Connection{empty}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("in a proposal: %v", err)
	}
	if err := w.test.Override(ctx, "out", environment.Override{Trusted: &[]string{}}); !errors.Is(err, trustkeep.ErrInvalid) || !strings.Contains(err.Error(), "DeployedTrust") {
		t.Errorf("in an override: %v", err)
	}
	if err := w.test.Override(ctx, "out", environment.Override{Trusted: new([]string)}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("a nil list in an override: %v", err)
	}
	if err := w.test.Override(ctx, "out", environment.Override{Trusted: &[]string{"a"}, DeployedTrust: true}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("both: %v", err)
	}
}

// Deployed trust takes the place of a connection's own by its name, or by the empty list of
// records of before.
func TestDeployedTrustByOverride(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	w.public(w.identity("x"), "b")
	atom := w.attach("one", environment.AtomOptions{})
	address := serve(t, atom, "server")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"b"}}))
	must(t, w.test.Deploy(ctx, "a"))
	reaches := func(a *environment.Atom) bool {
		b, err := a.Connection("out")
		return err == nil && dial(t, address, b) == nil
	}
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("out"); return err == nil })
	if reaches(atom) {
		t.Fatal("the connection's own trust does not count")
	}
	must(t, w.test.Override(ctx, "out", environment.Override{DeployedTrust: true}))
	settled(t, atom, reaches)
	must(t, w.test.Override(ctx, "out", environment.Override{}))
	settled(t, atom, func(a *environment.Atom) bool { return !reaches(a) })

	before := check(w.storage.Get(ctx, "environments/test"))(t)
	text := strings.Replace(string(before.Value), `"deployed":`, `"overrides":{"out":{"trusted":[]}},"deployed":`, 1)
	check(w.storage.Put(ctx, before.Key, []byte(text), before.Revision))(t)
	settled(t, atom, reaches)
	o := check(w.test.Overrides(ctx))(t)["out"]
	if o.Trusted != nil || !o.DeployedTrust {
		t.Errorf("%+v", o)
	}
	must(t, w.test.Override(ctx, "out", o)) // to change one field more

	record := check(w.storage.Get(ctx, "connections/out"))(t)
	text = strings.Replace(string(record.Value), `"trusted":["b"]`, `"trusted":[]`, 1)
	check(w.storage.Put(ctx, record.Key, []byte(text), record.Revision))(t)
	if c := check(w.Connection(ctx, "out"))(t); c.Trusted != nil {
		t.Errorf("a connection of before: %v", c.Trusted)
	}
}
