package environment_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestProcessKeepsItsComponentInSpiteOfTheEnvironment: the environment substitutes a key, one
// process in it goes on with its own.
func TestProcessKeepsItsComponentInSpiteOfTheEnvironment(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	own, other := w.pgpKey("own").Fingerprint(), w.pgpKey("other").Fingerprint()
	for _, id := range []string{"orders", "invoices"} {
		must(t, w.SetProcess(ctx, environment.Process{ID: id, Components: []string{"own"}}))
		must(t, w.test.DeployProcess(ctx, id))
	}
	atom := w.attach("one", environment.AtomOptions{})
	uses := func(orders, invoices string) {
		t.Helper()
		settled(t, atom, func(a *environment.Atom) bool {
			for process, want := range map[string]string{"orders": orders, "invoices": invoices} {
				key := check(check(a.Process(process))(t).PGP(ctx, "own"))(t)
				if key.Fingerprint() != want {
					return false
				}
			}
			return true
		})
	}
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "own", Replacement: "other"}))
	uses(other, other)
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "own", Process: "orders", Replacement: "own"}))
	uses(own, other)
	must(t, w.test.DeployProcess(ctx, "orders"))
	uses(own, other)
	if n := len(check(w.test.Substitutions(ctx))(t)); n != 2 {
		t.Errorf("%d substitutions", n)
	}
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "own", Process: "orders"}))
	uses(other, other)
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "own"}))
	uses(own, own)
}

// TestResetsAreChecked: who ends what there is not has made a mistake.
func TestResetsAreChecked(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.pgpKey("own")
	w.pgpKey("other")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "own", Replacement: "other"}))
	told := len(w.actions())
	for about, x := range map[string]struct {
		err  error
		want error
	}{
		"a component that there is not":             {w.test.Substitute(ctx, environment.Substitution{Component: "owm"}), trustkeep.ErrNotFound},
		"in a process that there is not":            {w.test.Substitute(ctx, environment.Substitution{Component: "own", Process: "ordres"}), trustkeep.ErrNotFound},
		"what is not substituted":                   {w.test.Substitute(ctx, environment.Substitution{Component: "other"}), trustkeep.ErrNotFound},
		"its own place in a process there is not":   {w.test.Substitute(ctx, environment.Substitution{Component: "own", Process: "ordres", Replacement: "own"}), trustkeep.ErrNotFound},
		"its own place in the environment":          {w.test.Substitute(ctx, environment.Substitution{Component: "own", Replacement: "own"}), trustkeep.ErrInvalid},
		"a role that nothing has":                   {w.test.SetRole(ctx, "tls", ""), trustkeep.ErrNotFound},
		"an override of what is not overridden":     {w.test.Override(ctx, "c", environment.Override{}), trustkeep.ErrNotFound},
		"an override of a connection there is not":  {w.test.Override(ctx, "d", environment.Override{}), trustkeep.ErrNotFound},
		"the deployment of what is not deployed":    {w.test.Undeploy(ctx, "own"), trustkeep.ErrNotFound},
		"the deployment of a process there is none": {w.test.UndeployProcess(ctx, "orders"), trustkeep.ErrNotFound},
	} {
		if !errors.Is(x.err, x.want) {
			t.Errorf("%s: %v", about, x.err)
		}
	}
	if s := check(w.test.Substitutions(ctx))(t); len(s) != 1 || len(w.actions()) != told {
		t.Errorf("%v, %v", s, w.actions()[told:])
	}
	if err := w.test.Substitute(ctx, environment.Substitution{Component: "own", Replacement: "own"}); !strings.Contains(err.Error(), "empty Replacement") {
		t.Error(err)
	}
}
