package environment_test

import (
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
)

func TestEventsTellBeforeAndAfter(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := environment.WithActor(t.Context(), "eve\n2026 alice deployed")
	w.identity("x")
	w.identity("y")
	last := func() environment.Event {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.events[len(w.events)-1]
	}
	for _, c := range []struct {
		name          string
		do            func(id string) error
		before, after string
	}{
		{"connection", func(id string) error {
			return w.SetConnection(ctx, environment.Connection{ID: "out", Identity: id})
		}, "presents x", "presents y"},
		{"process", func(id string) error {
			return w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{id}})
		}, "components [x]", "components [y]"},
		{"deployed process", func(id string) error {
			if err := w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{id}}); err != nil {
				return err
			}
			return w.test.DeployProcess(ctx, "orders")
		}, "x at version 1", "y at version 1"},
		{"override", func(id string) error { return override(ctx, w.test, "out", environment.Override{Identity: &id}) }, "x", "y"},
		{"role", func(id string) error { return w.test.SetRole(ctx, "tls", id) }, "x", "y"},
	} {
		for _, id := range []string{"x", "y"} {
			must(t, c.do(id))
		}
		if e := last(); !strings.Contains(e.Before, c.before) || !strings.Contains(e.After, c.after) || strings.Contains(e.Actor, "\n") {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}
