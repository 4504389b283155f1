package environment_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestProcessDeployedToSingleAtoms: the others do not have it, and taking new copies does not
// give it to them.
func TestProcessDeployedToSingleAtoms(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.pgpKey("key")
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"key"}}))
	atoms := []*environment.Atom{}
	for _, name := range []string{"one", "two", "three"} {
		atoms = append(atoms, w.attach(name, environment.AtomOptions{}))
	}
	for _, step := range []struct {
		about string
		do    func() error
		want  []string
	}{
		{"to one", func() error { return w.test.DeployProcessTo(ctx, "orders", "one") }, []string{"one"}},
		{"once more", func() error { return w.test.DeployProcess(ctx, "orders") }, []string{"one"}},
		{"also", func() error { return w.test.DeployProcessAlso(ctx, "orders", "two") }, []string{"one", "two"}},
		{"instead", func() error { return w.test.DeployProcessTo(ctx, "orders", "two", "three") }, []string{"two", "three"}},
		{"from one of them", func() error { return w.test.UndeployProcessFrom(ctx, "orders", "two") }, []string{"three"}},
		{"to all", func() error { return w.test.DeployProcessToAll(ctx, "orders") }, []string{"one", "two", "three"}},
		{"also one of all", func() error { return w.test.DeployProcessAlso(ctx, "orders", "two") }, []string{"one", "two", "three"}},
		{"to the last", func() error { return w.test.DeployProcessTo(ctx, "orders", "one") }, []string{"one"}},
		{"from the last", func() error { return w.test.UndeployProcessFrom(ctx, "orders", "one") }, nil},
		{"anew", func() error { return w.test.DeployProcess(ctx, "orders") }, []string{"one", "two", "three"}},
	} {
		must(t, step.do())
		for _, a := range atoms {
			settled(t, a, func(a *environment.Atom) bool {
				p, err := a.Process("orders")
				if err == nil {
					_, err = p.PGP(ctx, "key")
				}
				return (err == nil) == slices.Contains(step.want, a.ID())
			})
		}
		listed := check(w.test.Processes(ctx))(t)
		switch {
		case step.want == nil && len(listed) == 0:
		case len(listed) != 1 || listed[0].All != (len(step.want) == 3) || !listed[0].All && !slices.Equal(listed[0].Atoms, step.want):
			t.Errorf("%s: %+v", step.about, listed)
		}
	}
	if err := w.test.UndeployProcessFrom(ctx, "orders", "one"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("from one of all: %v", err)
	}
	must(t, w.test.DeployProcessTo(ctx, "orders", "one"))
	if err := w.test.UndeployProcessFrom(ctx, "orders", "two"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("from one that does not have it: %v", err)
	}
}

// TestProgramsOfBeforeRefuseAProcessForSingleAtoms, which they would run although it is not
// deployed to them. What they understand is written as before.
func TestProgramsOfBeforeRefuseAProcessForSingleAtoms(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders"}))
	for _, step := range []struct {
		deploy func() error
		want   int
	}{
		{func() error { return w.test.DeployProcess(ctx, "orders") }, 1},
		{func() error { return w.test.DeployProcessTo(ctx, "orders", "one") }, 2},
		{func() error { return w.test.DeployProcessToAll(ctx, "orders") }, 1},
	} {
		must(t, step.deploy())
		var d struct{ Format int }
		must(t, json.Unmarshal(check(w.storage.Get(ctx, "environments/test/processes/orders"))(t).Value, &d))
		if d.Format != step.want {
			t.Errorf("format %d, not %d", d.Format, step.want)
		}
	}
}

// TestProcessOfSingleAtomsInReports: what expires is listed for the atoms that have it.
func TestProcessOfSingleAtomsInReports(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("mine")
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"mine"}}))
	must(t, w.test.DeployProcessTo(ctx, "orders", "one"))
	w.attach("two", environment.AtomOptions{})
	soon := w.clock.Now().Add(2 * 365 * 24 * time.Hour)
	for atom, want := range map[string]int{"one": 1, "two": 0} {
		got := check(w.Expiring(ctx, environment.ExpiryQuery{Atom: atom, Before: soon}))(t)
		if len(got) != want || want == 1 && (!got[0].Frozen || !slices.Equal(got[0].Atoms, []string{"one"})) {
			t.Errorf("%s: %+v", atom, got)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Action == "process deployed" && !strings.HasPrefix(e.After, "to atoms [one], ") {
			t.Errorf("%+v", e)
		}
	}
}

// TestGoldenProcessForSingleAtoms reads a record in the form of format 2.
func TestGoldenProcessForSingleAtoms(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	const golden = `{"format":2,"actor":"alice","time":"2026-11-21T21:00:00Z","atoms":["one","two"],"process":{"id":"orders","connections":["c"]},` +
		`"connections":[{"id":"c","serverName":"live.example"}],"defined":[{"id":"c","serverName":"test.example"}]}`
	check(w.storage.Put(ctx, "environments/test/processes/orders", []byte(golden), 0))(t)
	p := check(w.test.Processes(ctx))(t)
	if len(p) != 1 || p[0].All || !slices.Equal(p[0].Atoms, []string{"one", "two"}) || p[0].Actor != "alice" {
		t.Fatalf("%+v", p)
	}
	for atom, want := range map[string]bool{"one": true, "three": false} {
		running, err := w.attach(atom, environment.AtomOptions{}).Process("orders")
		if (err == nil) != want {
			t.Errorf("%s: %v", atom, err)
		}
		if err == nil && check(running.Connection("c"))(t).ServerName != "live.example" {
			t.Error("the connection is not as it was deployed")
		}
	}
}
