package environment_test

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// presents checks that an atom opens the version of a private component that it has.
func presents(t *testing.T, a *environment.Atom, id string, n int) {
	t.Helper()
	settled(t, a, version(id, n))
	identity := check(a.Identity(id))(t)
	cert := check(identity.TLSCertificate())(t)
	if c := check(a.Component(id))(t); c.Describe()[0].Subject != cert.Leaf.Subject.String() {
		t.Errorf("it presents %s", cert.Leaf.Subject)
	}
}

// TestHeldVersionIsSealed: atoms of the environment open the version that it is kept at, also if
// the component begins to count there later, and is another elsewhere.
func TestHeldVersionIsSealed(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	s.identity("mine")
	must(t, s.production.Hold(ctx, "mine", 0))
	s.want("administrators:mine")
	s.renew("mine")
	for range 64 {
		check(s.Rename(ctx, "mine", "another name"))(t)
	}
	must(t, s.production.SetRole(ctx, "tls", "mine"))
	must(t, s.test.SetRole(ctx, "tls", "mine"))
	presents(t, s.atom("production"), "mine", 1)
	presents(t, s.atom("test"), "mine", 2)
	must(t, s.production.Follow(ctx, "mine"))
	presents(t, s.atom("production"), "mine", 2)
}

// TestSealHeldVersions: a registry that keeps environments at versions is sealed.
func TestSealHeldVersions(t *testing.T) {
	root, node := newKey(t), newKey(t)
	w := newWorld(t, environment.Options{OpeningKey: root})
	ctx := t.Context()
	w.identity("mine")
	must(t, w.test.SetRole(ctx, "tls", "mine"))
	must(t, w.test.Hold(ctx, "mine", 0))
	w.renew("mine")
	if left := check(w.Seal(ctx, recipient("root", root)))(t); len(left) > 0 {
		t.Fatalf("%v", left)
	}
	must(t, w.test.AddRecipient(ctx, recipient("node", node)))
	s := &sealedWorld{world: w, atoms: map[string]*environment.OpeningKey{"test": node}}
	presents(t, s.atom("test"), "mine", 1)
	if _, err := w.storage.Get(ctx, "secrets"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("the key of before is kept: %v", err)
	}
}
