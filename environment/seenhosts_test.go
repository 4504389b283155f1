package environment_test

import (
	"errors"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Hosts of SSH that an atom has accepted are replayed by a dry run, those of processes with the
// definition that they were deployed with.
func TestDryRunOfSSH(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	first := w.attach("server", environment.AtomOptions{})
	a, b := hostKey(t), hostKey(t)
	address := serveSSH(t, a, first, "sftp")
	definition := environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "partner", KnownHosts: knownLine(address, a)}}
	must(t, w.SetConnection(ctx, definition))
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"out"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	atom := w.attach("one", environment.AtomOptions{})
	must(t, dialSSH(t, check(atom.SSH("out"))(t), address))
	must(t, dialSSH(t, check(atom.SSH("out"))(t), address))
	must(t, dialSSH(t, check(check(atom.Process("job"))(t).SSH("out"))(t), address))
	must(t, atom.Report(ctx))
	dry := func(p environment.Proposal) *environment.Forecast {
		t.Helper()
		return check(w.test.DryRun(ctx, p))(t)
	}
	if f := dry(environment.Proposal{Connections: []environment.Connection{definition}}); f.Checked != 2 || len(f.Failing) != 0 {
		t.Errorf("%v", f)
	}
	next := *definition.SSH
	next.KnownHosts = knownLine(address, b)
	changed := environment.Connection{ID: "out", Identity: "sftp", SSH: &next}
	f := dry(environment.Proposal{Connections: []environment.Connection{changed}})
	if len(f.Failing) != 1 || f.Failing[0].Process != "" || f.Failing[0].Count != 2 || f.Failing[0].Connection != "out" {
		t.Errorf("%v", f)
	}
	if f := dry(environment.Proposal{Connections: []environment.Connection{changed}, Processes: []string{"job"}}); len(f.Failing) != 2 {
		t.Errorf("with the process: %v", f)
	}
	if f := dry(environment.Proposal{Connections: []environment.Connection{{ID: "out"}}}); len(f.Failing) != 1 {
		t.Errorf("a connection of TLS: %v", f)
	}
	next.KnownHosts, next.Pins = "", []string{ssh.FingerprintSHA256(a.PublicKey())}
	if f := dry(environment.Proposal{Connections: []environment.Connection{changed}}); len(f.Failing) != 0 {
		t.Errorf("a pin of the same key: %v", f)
	}
}

// A limit bounds what is remembered, and none is remembered where nothing is to be.
func TestSeenHostsAreBounded(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	first := w.attach("server", environment.AtomOptions{})
	key := hostKey(t)
	pins := []string{ssh.FingerprintSHA256(key.PublicKey())}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "partner", Pins: pins}}))
	for seen, want := range map[int]int{2: 2, -1: 0} {
		atom := w.attach("one", environment.AtomOptions{Seen: seen})
		for range 4 {
			must(t, dialSSH(t, check(atom.SSH("out"))(t), serveSSH(t, key, first, "sftp")))
		}
		must(t, atom.Report(ctx))
		if f := check(w.test.DryRun(ctx, environment.Proposal{}))(t); f.Checked != want {
			t.Errorf("%d of %d", f.Checked, want)
		}
	}
}

// A process with a connection of SSH is promoted with what it trusts, overridden where it comes
// to; one whose connection does not count there is refused.
func TestPromotionOfSSH(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.identity("sftp")
	key := hostKey(t)
	first := w.attach("server", environment.AtomOptions{})
	address := serveSSH(t, key, first, "sftp")
	c := environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "tester", KnownHosts: knownLine(address, key)}}
	must(t, w.SetConnection(ctx, c))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "here", Environments: []string{"test"}, SSH: c.SSH}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"out"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "stays", Connections: []string{"here"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	must(t, w.test.DeployProcess(ctx, "stays"))
	must(t, production.Override(ctx, "out", environment.Override{SSHUser: new("partner")}))
	must(t, w.UpdateConnection(ctx, "out", func(c *environment.Connection) error {
		c.SSH.KnownHosts = knownLine(address, hostKey(t)) // later, and not tried in test
		return nil
	}))
	must(t, production.Promote(ctx, environment.Promotion{From: "test", Processes: []string{"job"}}))
	atom := check(production.Attach(ctx, "one", environment.AtomOptions{}))(t)
	defer atom.Close()
	must(t, dialSSH(t, check(check(atom.Process("job"))(t).SSH("out"))(t), address))
	if err := production.Promote(ctx, environment.Promotion{From: "test", Processes: []string{"stays"}}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a connection that does not count there: %v", err)
	}
}
