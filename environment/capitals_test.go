package environment_test

import (
	"context"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
)

// IDs have capitals where the storage takes them. Two that differ in case alone are refused,
// whatever they name; what is asked for in another case is not found.
func TestIDsWithCapitals(t *testing.T) {
	directory := check(dirstore.Open(t.TempDir(), dirstore.Options{Clock: newClock().Now}))(t)
	defer directory.Close()
	for name, storage := range map[string]environment.Storage{"memory": newWorld(t, environment.Options{}).storage, "directory": directory} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r := check(environment.Open(ctx, storage, environment.Options{Passwords: nil}))(t)
			w := newWorld(t, environment.Options{})
			_, file, err := w.identity("x").ExportPublic("")
			must(t, err)
			check(r.Import(ctx, "ACME", file, environment.ComponentOptions{ID: "ACME-Root"}))(t)
			e := check(r.CreateEnvironment(ctx, "Production"))(t)
			must(t, e.Deploy(ctx, "ACME-Root"))
			must(t, r.SetConnection(ctx, environment.Connection{ID: "ToACME", Trusted: []string{"ACME-Root"}, Environments: []string{"Production"}}))
			must(t, r.SetProcess(ctx, environment.Process{ID: "Orders", Connections: []string{"ToACME"}}))
			must(t, e.DeployProcess(ctx, "Orders"))
			must(t, e.Override(ctx, "ToACME", environment.Override{ServerName: new("acme.example")}))
			a := check(e.Attach(ctx, "HOST7", environment.AtomOptions{}))(t)
			defer a.Close()
			if b := check(a.Connection("ToACME"))(t); b.ServerName != "acme.example" || b.Trusted == nil {
				t.Errorf("%v", b)
			}
			check(check(a.Process("Orders"))(t).Connection("ToACME"))(t)
			if _, err := a.Connection("toacme"); !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("%v", err)
			}
			if uses := check(r.Uses(ctx, "ACME-Root"))(t); len(uses) != 3 {
				t.Errorf("%v", uses)
			}
			for what, err := range map[string]error{
				"component": func() error {
					_, err := r.Import(ctx, "x", file, environment.ComponentOptions{ID: "acme-root"})
					return err
				}(),
				"environment": func() error { _, err := r.CreateEnvironment(ctx, "PRODUCTION"); return err }(),
				"connection":  r.SetConnection(ctx, environment.Connection{ID: "toAcme"}),
				"process":     r.SetProcess(ctx, environment.Process{ID: "orders"}),
				"atom":        func() error { _, err := e.Attach(ctx, "host7", environment.AtomOptions{}); return err }(),
			} {
				if !errors.Is(err, trustkeep.ErrExists) {
					t.Errorf("a second %s in another case: %v", what, err)
				}
			}
			if err := r.Delete(ctx, "acme-root"); !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("%v", err)
			}
			must(t, r.SetConnection(ctx, environment.Connection{ID: "Spare"}))
			must(t, r.DeleteConnection(ctx, "Spare"))
			must(t, r.SetConnection(ctx, environment.Connection{ID: "spare"}))
		})
	}
}

// smallLetters is a storage that takes no capital letters.
type smallLetters struct{ environment.Storage }

func (s smallLetters) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := environment.CheckPut(key, value); err != nil {
		return 0, err
	}
	return s.Storage.Put(ctx, key, value, expected)
}

func TestIDsWithCapitalsInAStorageWithout(t *testing.T) {
	w := newWorld(t, environment.Options{})
	r := check(environment.Open(t.Context(), smallLetters{w.storage}, environment.Options{}))(t)
	if err := r.SetConnection(t.Context(), environment.Connection{ID: "Out"}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	must(t, r.SetConnection(t.Context(), environment.Connection{ID: "out"}))
}
