package environment_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestPromotion: production takes over what test has, in the versions and definitions that were
// tried, after a forecast of it, and goes on with its own overrides.
func TestPromotion(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	w.identity("mine")
	live := "live.example"
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"a", "b"}, Identity: "mine", ServerName: "test.example"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"own"}}))
	must(t, production.Override(ctx, "own", environment.Override{ServerName: &live}))
	must(t, w.test.Override(ctx, "own", environment.Override{Identity: new("")}))
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, production.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a"}, Processes: []string{"orders"}}))
	one := check(production.Attach(ctx, "one", environment.AtomOptions{}))(t)
	defer one.Close()
	old := serve(t, one, "server")
	must(t, dial(t, old, one.Implicit()))
	must(t, one.Report(ctx))

	// Test gets the next version, and tries it.
	w.renew("server")
	w.reimport("a", "server")
	must(t, w.test.DeployProcess(ctx, "orders"))
	// Meanwhile everything changes again.
	w.renew("server")
	w.reimport("b", "server")
	must(t, w.test.Hold(ctx, "a", 2))
	w.reimport("a", "server")
	must(t, w.UpdateConnection(ctx, "own", func(c *environment.Connection) error { c.Trusted = []string{"b"}; return nil }))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders"}))
	versions := func(wantA int, orders map[string]int) {
		t.Helper()
		if got := check(production.Held(ctx))(t); got["a"] != wantA || len(got) != 1 {
			t.Errorf("production is kept at %v", got)
		}
		if got := check(production.Processes(ctx))(t); len(got) != 1 || !maps.Equal(got[0].Frozen, orders) {
			t.Errorf("orders is deployed as %+v", got)
		}
		if !version("a", wantA)(one) {
			t.Errorf("the atom has another version of a than %d", wantA)
		}
	}
	versions(1, map[string]int{"a": 1, "b": 1, "mine": 1})

	next := environment.Promotion{From: "test", Components: []string{"a"}, Processes: []string{"orders"}}
	f := check(production.DryRun(ctx, environment.Proposal{Promote: next}))(t)
	if f.Checked != 1 || len(f.Failing) != 1 || f.Failing[0].Atom != "one" {
		t.Errorf("the server has its old certificate: %v", f)
	}
	versions(1, map[string]int{"a": 1, "b": 1, "mine": 1})
	must(t, production.Promote(ctx, next))
	settled(t, one, version("a", 2))
	versions(2, map[string]int{"a": 2, "b": 1, "mine": 1})
	var d struct{ Connections []environment.Connection }
	must(t, json.Unmarshal(check(w.storage.Get(ctx, "environments/production/processes/orders"))(t).Value, &d))
	if c := d.Connections[0]; c.ServerName != live || c.Identity != "mine" || !slices.Equal(c.Trusted, []string{"a", "b"}) {
		t.Errorf("%+v", c)
	}
	if dial(t, old, one.Implicit()) == nil {
		// The server of the atom follows its own environment, which follows "server".
		t.Error("the old certificate is accepted")
	}
	f = check(production.DryRun(ctx, environment.Proposal{Hold: map[string]int{"a": 3}}))(t)
	if f.Checked != 1 {
		t.Errorf("%v", f)
	}
	var told []string
	w.mu.Lock()
	for _, e := range w.events {
		if strings.HasSuffix(e.Action, "promoted") && e.Environment == "production" {
			told = append(told, e.Action+" "+e.Object+": "+e.Before+"; "+e.After)
		}
	}
	w.mu.Unlock()
	if want := []string{
		"component promoted a: ; version 1 from test",
		"process promoted orders: ; to all atoms, 1 connections, a at version 1, b at version 1, mine at version 1 from test",
		"component promoted a: version 1; version 2 from test",
		"process promoted orders: to all atoms, 1 connections, a at version 1, b at version 1, mine at version 1; to all atoms, 1 connections, a at version 2, b at version 1, mine at version 1 from test",
	}; !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

func TestPromotionIsChecked(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("mine"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"c"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "idle"}))
	must(t, w.test.DeployTo(ctx, "a", "one"))
	must(t, w.test.DeployProcessTo(ctx, "orders", "one"))
	before := dump(t, w.storage)
	for about, x := range map[string]struct {
		p    environment.Promotion
		want error
	}{
		"of nothing":                       {environment.Promotion{From: "test"}, trustkeep.ErrInvalid},
		"of nothing, with empty lists":     {environment.Promotion{From: "test", Components: []string{}, Processes: []string{}}, trustkeep.ErrInvalid},
		"from nowhere":                     {environment.Promotion{Components: []string{"a"}}, trustkeep.ErrInvalid},
		"from itself":                      {environment.Promotion{From: "production", Components: []string{"a"}}, trustkeep.ErrInvalid},
		"from an environment there is not": {environment.Promotion{From: "staging", Components: []string{"a"}}, trustkeep.ErrNotFound},
		"no component":                     {environment.Promotion{From: "test", Components: []string{"mine", "x"}}, trustkeep.ErrNotFound},
		"a process that is not deployed":   {environment.Promotion{From: "test", Components: []string{"mine"}, Processes: []string{"idle"}}, trustkeep.ErrNotFound},
		"a component of single atoms":      {environment.Promotion{From: "test", Components: []string{"a"}}, trustkeep.ErrUnsupported},
		"a process of single atoms":        {environment.Promotion{From: "test", Processes: []string{"orders"}}, trustkeep.ErrUnsupported},
	} {
		if err := production.Promote(ctx, x.p); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", about, err)
		}
		if x.p.From != "" {
			if _, err := production.DryRun(ctx, environment.Proposal{Promote: x.p}); !errors.Is(err, x.want) {
				t.Errorf("forecast, %s: %v", about, err)
			}
		}
	}
	if now := dump(t, w.storage); now != before {
		t.Errorf("changed:\n%s", now)
	}
	// Where there are atoms of its own already, they go on.
	must(t, production.DeployTo(ctx, "a", "other"))
	must(t, production.DeployProcessTo(ctx, "orders", "another"))
	must(t, production.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a", "mine"}, Processes: []string{"orders"}}))
	if d := check(production.Deployments(ctx))(t); len(d) != 1 || !slices.Equal(d[0].Atoms, []string{"other"}) {
		t.Errorf("%+v", d)
	}
	if p := check(production.Processes(ctx))(t); len(p) != 1 || !slices.Equal(p[0].Atoms, []string{"another"}) {
		t.Errorf("%+v", p)
	}
	// As a program of before has deployed it.
	r := check(w.storage.Get(ctx, "environments/test/processes/orders"))(t)
	var d map[string]json.RawMessage
	must(t, json.Unmarshal(r.Value, &d))
	delete(d, "defined")
	check(w.storage.Put(ctx, r.Key, check(json.Marshal(d))(t), r.Revision))(t)
	if err := production.Promote(ctx, environment.Promotion{From: "test", Processes: []string{"orders"}}); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "deploy it to test again") {
		t.Errorf("%v", err)
	}
}
