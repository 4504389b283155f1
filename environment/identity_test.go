package environment_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestRollbackDeploysNoOtherComponent: what was deployed was deleted, and another has its ID now.
func TestRollbackDeploysNoOtherComponent(t *testing.T) {
	type use struct {
		about      string
		begin, end func(ctx context.Context, w *world) error
	}
	trusted := []string{"a"}
	for _, use := range []use{
		{"deployed", func(ctx context.Context, w *world) error { return w.test.Deploy(ctx, "a") },
			func(ctx context.Context, w *world) error { return w.test.Undeploy(ctx, "a") }},
		{"held", func(ctx context.Context, w *world) error { return w.test.Hold(ctx, "a", 1) },
			func(ctx context.Context, w *world) error { return w.test.Follow(ctx, "a") }},
		{"overridden", func(ctx context.Context, w *world) error {
			return w.test.Override(ctx, "c", environment.Override{Trusted: &trusted})
		}, func(ctx context.Context, w *world) error { return w.test.Override(ctx, "c", environment.Override{}) }},
		{"role", func(ctx context.Context, w *world) error { return w.test.SetRole(ctx, "tls", "mine") },
			func(ctx context.Context, w *world) error { return w.test.SetRole(ctx, "tls", "") }},
		{"substituted", func(ctx context.Context, w *world) error {
			return w.test.Substitute(ctx, environment.Substitution{Component: "key", Replacement: "other"})
		}, func(ctx context.Context, w *world) error {
			return w.test.Substitute(ctx, environment.Substitution{Component: "key"})
		}},
	} {
		for _, before := range []bool{false, true} { // as a program of before has written it
			t.Run(use.about, func(t *testing.T) {
				w := newWorld(t, environment.Options{})
				ctx := t.Context()
				make := func() {
					w.public(w.identity("mine"), "a")
					w.pgpKey("key")
					w.pgpKey("other")
				}
				make()
				w.clock.Advance(time.Hour)
				must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
				must(t, use.begin(ctx, w))
				if before {
					r := check(w.storage.Get(ctx, "environments/test"))(t)
					var d map[string]json.RawMessage
					must(t, json.Unmarshal(r.Value, &d))
					delete(d, "known")
					check(w.storage.Put(ctx, r.Key, check(json.Marshal(d))(t), r.Revision))(t)
				}
				all := check(w.test.History(ctx))(t)
				at := all[len(all)-1]
				w.clock.Advance(time.Hour)
				must(t, use.end(ctx, w))
				must(t, w.test.Rollback(ctx, at.Revision)) // the component is there
				w.renew("mine")
				w.reimport("a", "mine")
				must(t, use.end(ctx, w))
				must(t, w.test.Rollback(ctx, at.Revision)) // the same in another version
				if use.about == "held" && check(w.test.Held(ctx))(t)["a"] != 1 {
					t.Error("held in another version")
				}
				must(t, use.end(ctx, w))

				ids := []string{"a", "mine", "key", "other"}
				for _, id := range ids {
					must(t, w.Delete(ctx, id))
				}
				w.clock.Advance(time.Hour)
				make()
				err := w.test.Rollback(ctx, at.Revision)
				if !errors.Is(err, trustkeep.ErrNotFound) || !strings.Contains(err.Error(), "not known to be the one of then") {
					t.Errorf("%v", err)
				}
				now := check(w.test.History(ctx))(t)
				if last := now[len(now)-1].State; last == at.State {
					t.Errorf("rolled back to %s", last)
				}
			})
		}
	}
}
