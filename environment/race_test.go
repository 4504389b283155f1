package environment_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/partner"
)

// rival is a deletion and something that refers to what is deleted.
type rival struct {
	name   string
	refer  func(context.Context, *environment.Registry, *environment.Environment) error
	delete func(context.Context, *environment.Registry) error
}

// rivals are all ways to refer to something, in what furnished makes.
func rivals(former func(environment.HistoryEntry) bool) []rival {
	type (
		R = *environment.Registry
		E = *environment.Environment
	)
	deletes := func(id string) func(context.Context, R) error {
		return func(ctx context.Context, r R) error { return r.Delete(ctx, id) }
	}
	trusted := []string{"loose"}
	return []rival{
		{"deploy", func(ctx context.Context, _ R, e E) error { return e.Deploy(ctx, "loose") }, deletes("loose")},
		{"new connection", func(ctx context.Context, r R, _ E) error {
			return setConnection(ctx, r, environment.Connection{ID: "new", Trusted: trusted})
		}, deletes("loose")},
		{"changed connection", func(ctx context.Context, r R, _ E) error {
			return setConnection(ctx, r, environment.Connection{ID: "unused", Identity: "spare"})
		}, deletes("spare")},
		{"process", func(ctx context.Context, r R, _ E) error {
			return setProcess(ctx, r, environment.Process{ID: "idle", Components: trusted})
		}, deletes("loose")},
		{"override", func(ctx context.Context, _ R, e E) error {
			return e.Override(ctx, "unused", environment.Override{Trusted: &trusted})
		}, deletes("loose")},
		{"hold", func(ctx context.Context, _ R, e E) error { return e.Hold(ctx, "loose", 0) }, deletes("loose")},
		{"promote", func(ctx context.Context, r R, e E) error {
			return e.Promote(ctx, environment.Promotion{From: "old", Components: []string{"loose"}})
		}, deletes("loose")},
		{"promote to an empty environment", func(ctx context.Context, r R, _ E) error {
			old, err := r.Environment(ctx, "old")
			if err != nil {
				return err
			}
			return old.Promote(ctx, environment.Promotion{From: "test", Components: []string{"loose"}})
		}, deletes("loose")},
		{"role", func(ctx context.Context, _ R, e E) error {
			return e.SetRole(ctx, environment.RolePrimary, "spare")
		}, deletes("spare")},
		{"substitute", func(ctx context.Context, _ R, e E) error {
			return e.Substitute(ctx, environment.Substitution{Component: "key", Process: "orders", Replacement: "third"})
		}, deletes("third")},
		{"substituted", func(ctx context.Context, _ R, e E) error {
			return e.Substitute(ctx, environment.Substitution{Component: "third", Replacement: "key"})
		}, deletes("third")},
		{"roll-back", func(ctx context.Context, _ R, e E) error {
			all, err := e.History(ctx)
			if err != nil {
				return err
			}
			return e.Rollback(ctx, all[slices.IndexFunc(all, former)].Revision)
		}, deletes("gone")},
		{"deployed process", func(ctx context.Context, _ R, e E) error { return e.DeployProcess(ctx, "brief") },
			func(ctx context.Context, r R) error {
				// With its last use in a definition.
				if err := setProcess(ctx, r, environment.Process{ID: "brief"}); err != nil {
					return err
				}
				return r.Delete(ctx, "brief")
			}},
		{"partner", func(ctx context.Context, r R, _ E) error {
			return setPartner(ctx, r, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "spare", Uses: partner.Sign}}})
		}, deletes("spare")},
		{"partner in an environment", func(ctx context.Context, r R, _ E) error {
			return setPartner(ctx, r, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "loose", Uses: partner.Encrypt, Environment: "old"}}})
		}, func(ctx context.Context, r R) error { return r.DeleteEnvironment(ctx, "old") }},
		{"replace", func(ctx context.Context, r R, _ E) error {
			_, err := r.Rename(ctx, "loose", "another")
			return err
		}, deletes("loose")},
		{"process of a connection", func(ctx context.Context, r R, _ E) error {
			return setProcess(ctx, r, environment.Process{ID: "idle", Connections: []string{"unused"}})
		}, func(ctx context.Context, r R) error { return r.DeleteConnection(ctx, "unused") }},
		{"overridden connection", func(ctx context.Context, _ R, e E) error {
			name := "x.example"
			return e.Override(ctx, "unused", environment.Override{ServerName: &name})
		}, func(ctx context.Context, r R) error { return r.DeleteConnection(ctx, "unused") }},
		{"deployment of a process", func(ctx context.Context, _ R, e E) error { return e.DeployProcess(ctx, "idle") },
			func(ctx context.Context, r R) error { return r.DeleteProcess(ctx, "idle") }},
		{"substitution in a process", func(ctx context.Context, _ R, e E) error {
			return e.Substitute(ctx, environment.Substitution{Component: "key", Process: "idle", Replacement: "partner"})
		}, func(ctx context.Context, r R) error { return r.DeleteProcess(ctx, "idle") }},
		{"attach", func(ctx context.Context, r R, _ E) error {
			e, err := r.Environment(ctx, "old")
			if err != nil {
				return err
			}
			a, err := e.Attach(ctx, "new", environment.AtomOptions{})
			if err == nil {
				err = a.Close()
			}
			return err
		}, func(ctx context.Context, r R) error { return r.DeleteEnvironment(ctx, "old") }},
		{"deploy to an environment", func(ctx context.Context, r R, _ E) error {
			e, err := r.Environment(ctx, "old")
			if err != nil {
				return err
			}
			return e.DeployProcess(ctx, "idle")
		}, func(ctx context.Context, r R) error { return r.DeleteEnvironment(ctx, "old") }},
	}
}

// compatible are rivals that can be done one after the other: what is renamed can be
// deleted, a process deployed that no longer uses the component, and what was deployed to
// an environment goes with it.
var compatible = []string{"replace", "deployed process", "deploy to an environment"}

// rivalWorld adds to what furnished makes.
func rivalWorld(t *testing.T, o environment.Options) (*world, []rival) {
	w := newWorld(t, o)
	ctx := t.Context()
	w.pgpKey("third")
	furnished(t, w)
	mine := check(w.Component(ctx, "a"))(t)
	for _, id := range []string{"gone", "brief"} {
		_, data, err := mine.ExportPublic("")
		must(t, err)
		check(w.Import(ctx, id, data, environment.ComponentOptions{ID: id}))(t)
	}
	must(t, w.SetProcess(ctx, environment.Process{ID: "brief", Components: []string{"brief"}}))
	must(t, w.test.Deploy(ctx, "gone"))
	all := check(w.test.History(ctx))(t)
	state := all[len(all)-1].State
	must(t, w.test.Undeploy(ctx, "gone"))
	return w, rivals(func(c environment.HistoryEntry) bool { return c.State == state })
}

// consistent checks that nothing refers to what is not there, and that what was done, and
// nothing else, is there.
func consistent(t *testing.T, s environment.Storage, x rival, referred, deleted error) {
	t.Helper()
	ctx := context.Background()
	if referred == nil && deleted == nil && !slices.Contains(compatible, x.name) {
		t.Errorf("both were done")
	}
	for _, err := range []error{referred, deleted} {
		known := err == nil
		for _, sentinel := range []error{trustkeep.ErrNotFound, trustkeep.ErrInUse, trustkeep.ErrConflict} {
			known = known || errors.Is(err, sentinel)
		}
		if !known {
			t.Errorf("%v", err)
		}
	}
	r := check(environment.Open(ctx, s, environment.Options{}))(t)
	there := make(map[string]bool)
	for _, record := range check(s.List(ctx, ""))(t) {
		there[record.Key] = true
	}
	for key := range there {
		if strings.Contains(string(check(s.Get(ctx, key))(t).Value), `"deleting":true`) {
			t.Errorf("%s is still marked", key)
		}
	}
	for _, id := range []string{"loose", "spare", "third", "key", "partner", "gone", "brief"} {
		if uses := check(r.Uses(ctx, id))(t); len(uses) > 0 && !there["components/"+id] {
			t.Errorf("%s is gone, and in use: %v", id, uses)
		}
	}
	for _, p := range check(r.Processes(ctx))(t) {
		for _, c := range p.Connections {
			if !there["connections/"+c] {
				t.Errorf("process %s refers to %s, which is gone", p.ID, c)
			}
		}
	}
	if there["environments/test/processes/idle"] && !there["processes/idle"] {
		t.Error("a process is deployed that is gone")
	}
	for _, key := range []string{"environments/old/processes/orders", "environments/old/processes/idle", "environments/old/atoms/new"} {
		if there[key] && !there["environments/old"] {
			t.Errorf("%s, of an environment that is gone", key)
		}
	}
	for _, p := range check(r.Partners(ctx))(t) {
		for _, m := range p.Members {
			if m.Environment != "" && !there["environments/"+m.Environment] {
				t.Errorf("partner %s refers to an environment that is gone", p.ID)
			}
		}
	}
	if e, err := r.Environment(ctx, "test"); err == nil {
		for id := range check(e.Overrides(ctx))(t) {
			if !there["connections/"+id] {
				t.Errorf("%s is gone, and overridden", id)
			}
		}
		for _, s := range check(e.Substitutions(ctx))(t) {
			if s.Process != "" && !there["processes/"+s.Process] {
				t.Errorf("process %s is gone, and has substitutions", s.Process)
			}
		}
	}
}

// TestDeletionAtEachMomentOfAReference runs the whole of one between any two accesses of
// the other to the storage.
func TestDeletionAtEachMomentOfAReference(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w, all := rivalWorld(t, o)
	o.Clock = w.clock.Now
	step := testtool.Cases(4, 1)
	for i, x := range all {
		t.Run(x.name, func(t *testing.T) {
			for k, outer := range []string{"reference", "deletion"} {
				for n, happened := 1+(i+k)%step, true; happened; n += step {
					m := w.copyOf()
					f := &faulty{Storage: m, last: make(chan struct{})}
					plain := check(environment.Open(t.Context(), m, o))(t)
					slow := check(environment.Open(t.Context(), f, o))(t)
					var referred, deleted error
					if outer == "reference" {
						env := check(slow.Environment(t.Context(), "test"))(t)
						f.fault = func() error { deleted = x.delete(t.Context(), plain); return nil }
						f.arm(n)
						referred = x.refer(t.Context(), slow, env)
					} else {
						env := check(plain.Environment(t.Context(), "test"))(t)
						f.fault = func() error { referred = x.refer(t.Context(), plain, env); return nil }
						f.arm(n)
						deleted = x.delete(t.Context(), slow)
					}
					if happened = f.happened(); happened {
						consistent(t, m, x, referred, deleted)
					}
					if t.Failed() {
						t.Fatalf("at call %d of the %s: reference: %v; deletion: %v", n, outer, referred, deleted)
					}
				}
			}
		})
	}
}

func TestDeletionAgainstReferences(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w, all := rivalWorld(t, o)
	o.Clock = w.clock.Now
	for _, kind := range []struct {
		name   string
		rounds int
		open   func(t *testing.T) environment.Storage
	}{
		{"memory", testtool.Rounds(1, 5), func(*testing.T) environment.Storage { return storagetest.NewMemory(w.clock.Now) }},
		{"directory", 1, func(t *testing.T) environment.Storage {
			d := check(dirstore.Open(t.TempDir(), dirstore.Options{}))(t)
			t.Cleanup(func() { d.Close() })
			return d
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, x := range all {
				for range kind.rounds {
					s := kind.open(t)
					w.copyTo(s)
					one := check(environment.Open(t.Context(), s, o))(t)
					two := check(environment.Open(t.Context(), s, o))(t)
					env := check(one.Environment(t.Context(), "test"))(t)
					var referred, deleted error
					var both sync.WaitGroup
					both.Go(func() { referred = x.refer(t.Context(), one, env) })
					both.Go(func() { deleted = x.delete(t.Context(), two) })
					both.Wait()
					consistent(t, s, x, referred, deleted)
					if t.Failed() {
						t.Fatalf("%s: reference: %v; deletion: %v", x.name, referred, deleted)
					}
				}
			}
		})
	}
}
