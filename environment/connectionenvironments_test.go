package environment_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// A connection that names environments counts there and nowhere else.
func TestConnectionCountsInItsEnvironments(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("x"), "a")
	user := "partner"
	must(t, w.SetConnection(ctx, environment.Connection{ID: "everywhere"}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "tls", Environments: []string{"test"}, Trusted: []string{"a"}}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "ssh", Environments: []string{"test"}, SSH: &environment.SSH{
		User: "u", Pins: []string{"SHA256:" + strings.Repeat("A", 43)},
	}}))
	if got := check(w.Connection(ctx, "tls"))(t).Environments; !slices.Equal(got, []string{"test"}) {
		t.Errorf("stored as %v", got)
	}
	if got := check(w.Connection(ctx, "everywhere"))(t).Environments; got != nil {
		t.Errorf("stored as %v", got)
	}
	in := w.attach("one", environment.AtomOptions{})
	out := check(production.Attach(ctx, "two", environment.AtomOptions{}))(t)
	defer out.Close()
	for id, ask := range map[string]func(*environment.Atom) error{
		"tls": func(a *environment.Atom) error { _, err := a.Connection("tls"); return err },
		"ssh": func(a *environment.Atom) error { _, err := a.SSH("ssh"); return err },
	} {
		must(t, ask(in))
		err := ask(out)
		var hint *trustkeep.Error
		if !errors.Is(err, trustkeep.ErrNotFound) || !strings.Contains(err.Error(), "Connection.Environments") || !errors.As(err, &hint) {
			t.Errorf("%s where it does not count: %v", id, err)
		}
	}
	check(out.Connection("everywhere"))(t)

	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"tls"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	if err := production.DeployProcess(ctx, "job"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a process whose connection does not count: %v", err)
	}
	name := "other.example"
	for connection, o := range map[string]environment.Override{"tls": {ServerName: &name}, "ssh": {SSHUser: &user}} {
		must(t, w.test.Override(ctx, connection, o))
		if err := production.Override(ctx, connection, o); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("an override of %s where it does not count: %v", connection, err)
		}
	}
	if err := w.SetConnection(ctx, environment.Connection{ID: "tls", Environments: []string{"production"}}); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("a connection is taken away from an environment that overrides it: %v", err)
	}
	must(t, w.test.Override(ctx, "tls", environment.Override{}))
	must(t, w.test.Override(ctx, "ssh", environment.Override{}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "tls", Environments: []string{"production"}}))
	settled(t, in, func(a *environment.Atom) bool {
		_, err := a.Connection("tls")
		return errors.Is(err, trustkeep.ErrNotFound)
	})
	settled(t, out, func(a *environment.Atom) bool { _, err := a.Connection("tls"); return err == nil })
}

func TestEnvironmentsOfAConnectionAreReferences(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "production"))(t)
	for name, c := range map[string]struct {
		environments []string
		want         error
	}{
		"an empty list":        {[]string{}, trustkeep.ErrInvalid},
		"one that there isn't": {[]string{"test", "no"}, trustkeep.ErrNotFound},
		"one that is no ID":    {[]string{"../test"}, trustkeep.ErrInvalid},
	} {
		if err := w.SetConnection(ctx, environment.Connection{ID: "c", Environments: c.environments}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.test.DryRun(ctx, environment.Proposal{Connections: []environment.Connection{{ID: "c", Environments: c.environments}}}); !errors.Is(err, c.want) {
			t.Errorf("%s, proposed: %v", name, err)
		}
	}
	if all := check(w.Connections(ctx))(t); len(all) != 0 {
		t.Errorf("%v", all)
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Environments: []string{"production"}}))
	if err := w.DeleteEnvironment(ctx, "production"); !errors.Is(err, trustkeep.ErrInUse) || !strings.Contains(err.Error(), "connection c") {
		t.Errorf("an environment that a connection names: %v", err)
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, w.DeleteEnvironment(ctx, "production"))
}

// An empty list in a record is damage, and not every environment.
func TestEmptyEnvironmentsInARecord(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.storage.Put(ctx, "connections/c", []byte(`{"format":1,"time":"2026-03-01T12:00:00Z","connection":{"id":"c","environments":[]}}`), 0))(t)
	if _, err := w.Connection(ctx, "c"); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	check(w.storage.Put(ctx, "connections/d", []byte(`{"format":1,"time":"2026-03-01T12:00:00Z","connection":{"id":"d","environments":null}}`), 0))(t)
	if c := check(w.Connection(ctx, "d"))(t); c.Environments != nil {
		t.Errorf("%v", c.Environments)
	}
}

func TestExpiryWhereAConnectionCounts(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("x"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Environments: []string{"production"}, Trusted: []string{"a"}}))
	rows := check(w.Expiring(ctx, environment.ExpiryQuery{Before: w.clock.Now().AddDate(2, 0, 0)}))(t)
	if len(rows) != 1 || rows[0].Environment != "production" {
		t.Errorf("%+v", rows)
	}
}

// On request, connections that are merely defined are left out.
func TestExpiryOfConnectionsInUse(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("server"), "a")
	for _, id := range []string{"idle", "seen", "overridden", "deployed"} {
		must(t, w.SetConnection(ctx, environment.Connection{ID: id, Trusted: []string{"a"}}))
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "named", Trusted: []string{"a"}, Environments: []string{"test"}}))
	must(t, w.test.Override(ctx, "overridden", environment.Override{ServerName: new("other.example")}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"deployed"}}))
	must(t, production.DeployProcess(ctx, "job"))
	atom := w.attach("one", environment.AtomOptions{})
	must(t, dial(t, serve(t, atom, "server"), check(atom.Connection("seen"))(t)))
	must(t, atom.Report(ctx))
	listed := func(inUse bool) []string {
		var out []string
		for _, row := range check(w.Expiring(ctx, environment.ExpiryQuery{Before: w.clock.Now().AddDate(2, 0, 0), InUse: inUse}))(t) {
			if !row.Frozen {
				out = append(out, row.Environment+": "+row.Location)
			}
		}
		slices.Sort(out)
		return out
	}
	if all := listed(false); len(all) != 9 {
		t.Errorf("%q", all)
	}
	want := []string{"production: connection deployed", "test: connection named", "test: connection overridden", "test: connection seen"}
	if got := listed(true); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
