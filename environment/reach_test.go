package environment_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// reached lists which of these atoms trust anything.
func reached(t *testing.T, w *world, atoms ...string) (out []string) {
	t.Helper()
	for _, name := range atoms {
		a := check(w.test.Attach(t.Context(), name, environment.AtomOptions{}))(t)
		if len(check(a.Certificates())(t)) > 0 {
			out = append(out, name)
		}
		must(t, a.Close())
	}
	return out
}

// TestDeployToOneMoreAtom: a second atom does not take the component away from the first.
func TestDeployToOneMoreAtom(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	atoms := []string{"one", "two", "three"}
	for _, step := range []struct {
		about string
		do    func() error
		want  []string
	}{
		{"also, before any", func() error { return w.test.DeployAlso(ctx, "a", "one") }, []string{"one"}},
		{"also a second", func() error { return w.test.DeployAlso(ctx, "a", "two", "one") }, []string{"one", "two"}},
		{"to others instead", func() error { return w.test.DeployTo(ctx, "a", "two", "three") }, []string{"two", "three"}},
		{"from one of them", func() error { return w.test.UndeployFrom(ctx, "a", "two") }, []string{"three"}},
		{"to all", func() error { return w.test.Deploy(ctx, "a") }, atoms},
		{"also one of all", func() error { return w.test.DeployAlso(ctx, "a", "one") }, atoms},
		{"to single ones again", func() error { return w.test.DeployTo(ctx, "a", "one") }, []string{"one"}},
		{"from the last one", func() error { return w.test.UndeployFrom(ctx, "a", "one") }, nil},
	} {
		must(t, step.do())
		if got := reached(t, w, atoms...); !slices.Equal(got, step.want) {
			t.Fatalf("%s: %v trust it, not %v", step.about, got, step.want)
		}
	}
	if all := check(w.test.Deployments(ctx))(t); len(all) != 0 {
		t.Errorf("deployed to nobody, and listed: %+v", all)
	}
}

func TestUndeployFromAtoms(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	if err := w.test.UndeployFrom(ctx, "a", "one"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("of what is not deployed: %v", err)
	}
	must(t, w.test.Deploy(ctx, "a"))
	if err := w.test.UndeployFrom(ctx, "a", "one"); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "all atoms") {
		t.Errorf("from one of all atoms: %v", err)
	}
	if d := check(w.test.Deployments(ctx))(t); len(d) != 1 || !d[0].All || len(d[0].Atoms) != 0 {
		t.Errorf("%+v", d)
	}
	must(t, w.test.DeployTo(ctx, "a", "one", "two", "one"))
	if err := w.test.UndeployFrom(ctx, "a", "one", "three"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("from an atom that does not have it: %v", err)
	}
	if d := check(w.test.Deployments(ctx))(t); len(d) != 1 || d[0].All || !slices.Equal(d[0].Atoms, []string{"one", "two"}) {
		t.Errorf("%+v", d)
	}
	must(t, w.test.UndeployFrom(ctx, "a", "one"))
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.events[len(w.events)-1]
	if got := fmt.Sprintf("%s: %s, then %s", last.Action, last.Before, last.After); got != "component undeployed: to atoms [one two], then to atoms [two]" {
		t.Error(got)
	}
}
