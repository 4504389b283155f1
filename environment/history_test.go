package environment_test

import (
	"testing"

	"github.com/trustkeep/trustkeep/environment"
)

// TestHistoryOfAnEnvironmentSaysWhat: two states that differ are described differently.
func TestHistoryOfAnEnvironmentSaysWhat(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := environment.WithActor(t.Context(), "bob")
	w.public(w.identity("mine"), "a")
	w.pgpKey("own")
	w.pgpKey("other")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"own"}}))
	trusted, name := []string{"a"}, "a.example"
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return w.test.DeployTo(ctx, "a", "one", "two") },
			`deployed [a to atoms [one two]], substitutions [], overrides [], roles []`},
		{func() error { return w.test.Deploy(ctx, "a") },
			`deployed [a], substitutions [], overrides [], roles []`},
		{func() error { return w.test.Override(ctx, "c", environment.Override{Trusted: &trusted}) },
			`deployed [a], substitutions [], overrides [c: Trusted [a]], roles []`},
		{func() error {
			return w.test.UpdateOverride(ctx, "c", func(o *environment.Override) error { o.ServerName = &name; return nil })
		}, `deployed [a], substitutions [], overrides [c: Trusted [a], ServerName "a.example"], roles []`},
		{func() error { return w.test.Override(ctx, "c", environment.Override{}) },
			`deployed [a], substitutions [], overrides [], roles []`},
		{func() error {
			return w.test.Substitute(ctx, environment.Substitution{Component: "own", Process: "orders", Replacement: "other"})
		}, `deployed [a], substitutions [own by other in process orders], overrides [], roles []`},
		{func() error { return w.test.SetRole(ctx, "tls", "mine") },
			`deployed [a], substitutions [own by other in process orders], overrides [], roles [tls: mine]`},
	} {
		must(t, step.do())
		all := check(w.test.History(ctx))(t)
		if last := all[len(all)-1]; last.State != step.want || last.Actor != "bob" {
			t.Errorf("%s by %q, not %s", last.State, last.Actor, step.want)
		}
	}
}
