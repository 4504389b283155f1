package environment_test

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/pkitest"
)

// TestSubkeysInExpiryReport: the subkey that encrypts ends before its key.
func TestSubkeysInExpiryReport(t *testing.T) {
	w := newWorld(t, environment.Options{})
	o := pgp.Options{Clock: w.clock.Now}
	key, _, err := pgp.Generate(pgp.GenerateOptions{Options: o, UserIDs: []string{"p"}})
	must(t, err)
	subkey := key.Info(o).Subkeys[0]
	key, err = key.SetSubkeyExpiry(subkey.Fingerprint, w.clock.Now().AddDate(0, 0, 10), o)
	must(t, err)
	check(w.Import(t.Context(), "p", key.Marshal(), environment.ComponentOptions{ID: "p"}))(t)
	must(t, w.test.Deploy(t.Context(), "p"))
	got := check(w.Expiring(t.Context(), environment.ExpiryQuery{}))(t)
	if len(got) != 1 || got[0].Subject != "subkey "+subkey.KeyID+" that encrypts" || got[0].Expired {
		t.Errorf("%+v", got)
	}
}

func TestExpiryReport(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	pki := newPKI(t, w)
	for id, left := range map[string]time.Duration{"gone": -24 * time.Hour, "soon": 10 * 24 * time.Hour, "later": 200 * 24 * time.Hour} {
		leaf := pki.Issue(pkitest.Certificate{CommonName: id, NotBefore: w.clock.Now().AddDate(-1, 0, 0), NotAfter: w.clock.Now().Add(left)})
		check(w.Import(ctx, id, inPEM(leaf.Leaf()), environment.ComponentOptions{ID: id}))(t)
		must(t, w.test.Deploy(ctx, id))
	}
	check(w.Import(ctx, "idle", inPEM(pki.Issue(pkitest.Certificate{CommonName: "idle", NotBefore: w.clock.Now().AddDate(-1, 0, 0), NotAfter: w.clock.Now().Add(time.Hour)}).Leaf()), environment.ComponentOptions{ID: "idle"}))(t)
	check(w.Create(ctx, "p", pgp.GenerateOptions{UserIDs: []string{"p"}, Expires: w.clock.Now().Add(48 * time.Hour)},
		environment.ComponentOptions{ID: "p", Password: trustkeep.Password("x")}))(t)
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"p"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	single := pki.Issue(pkitest.Certificate{CommonName: "single", NotBefore: w.clock.Now(), NotAfter: w.clock.Now().AddDate(0, 11, 0)})
	check(w.Import(ctx, "single", inPEM(single.Leaf()), environment.ComponentOptions{ID: "single"}))(t)
	must(t, w.test.DeployTo(ctx, "single", "two"))
	w.attach("one", environment.AtomOptions{})
	check(check(w.CreateEnvironment(ctx, "production"))(t).Attach(ctx, "elsewhere", environment.AtomOptions{}))(t).Close()
	list := func(q environment.ExpiryQuery) (out []string) {
		for _, e := range check(w.Expiring(ctx, q))(t) {
			out = append(out, fmt.Sprintf("%s %s %v", e.Component, e.Location, e.Expired))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		query environment.ExpiryQuery
		want  []string
	}{
		{"expired or within 30 days", environment.ExpiryQuery{}, []string{"gone deployed true", "p frozen in process orders false", "soon deployed false"}},
		{"another environment", environment.ExpiryQuery{Environment: "production"}, nil},
		{"between", environment.ExpiryQuery{From: w.clock.Now().AddDate(0, 0, 5), Before: w.clock.Now().AddDate(1, 0, 0)}, []string{"soon deployed false", "later deployed false", "single deployed false"}},
		{"an atom", environment.ExpiryQuery{Atom: "one"}, []string{"gone deployed true", "p frozen in process orders false", "soon deployed false"}},
		{"an atom of another environment", environment.ExpiryQuery{Atom: "elsewhere"}, nil},
		{"an atom that something is deployed to alone", environment.ExpiryQuery{Atom: "two", Before: w.clock.Now().AddDate(1, 0, 0)}, []string{"single deployed false"}},
		{"not deployed too", environment.ExpiryQuery{All: true, Before: w.clock.Now().Add(2 * time.Hour)}, []string{"gone deployed true", "idle component false"}},
	} {
		if got := list(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

func TestExpiryReportOfWhatThereIsNot(t *testing.T) {
	w := newWorld(t, environment.Options{})
	for _, q := range []environment.ExpiryQuery{{Environment: "tset"}, {Atom: "no"}} {
		if all, err := w.Expiring(t.Context(), q); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%+v: %v, %v", q, all, err)
		}
	}
}

func TestAuditOfAllComponents(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	x := w.identity("x")
	must(t, w.Add(ctx, renamed(t, x, "twin"), trustkeep.Password("secret-x")))
	check(w.Create(ctx, "y", issue.Options{Subject: pkix.Name{CommonName: "y"}, NotBefore: w.clock.Now(), Validity: 24 * time.Hour},
		environment.ComponentOptions{ID: "y", Password: trustkeep.Password("changeit")}))(t)
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"y"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	check(w.Renew(ctx, "y", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{NewPassword: trustkeep.Password("long and secret")}))(t)
	report := check(w.Audit(ctx, audit.Options{}))(t)
	found := make(map[string]bool)
	for _, f := range report.Findings {
		found[f.Target+" "+string(f.Code)] = true
	}
	for _, want := range []string{"twin key-reuse", "twin duplicate", "y expires-soon", "y, frozen in process orders in test default-password"} {
		if !found[want] {
			t.Errorf("nothing about %q", want)
		}
	}
	if found["y default-password"] || report.Targets != 4 {
		t.Errorf("%v", report)
	}
}

func TestDryRunListsWhoWouldFail(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server-a"), "a")
	b := w.identity("server-b")
	w.public(b, "b")
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.Deploy(ctx, "b"))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"b"}}))
	atom := w.attach("one", environment.AtomOptions{})
	addressA, addressB := serve(t, atom, "server-a"), serve(t, atom, "server-b")
	must(t, dial(t, addressA, atom.Implicit()))
	must(t, dial(t, addressB, atom.Implicit()))
	must(t, dial(t, addressB, check(atom.Connection("own"))(t)))
	must(t, atom.Report(ctx))

	f := check(w.test.DryRun(ctx, environment.Proposal{Undeploy: []string{"b"}}))(t)
	if f.Atoms != 1 || f.Checked != 3 || len(f.Failing) != 1 || f.Failing[0].Atom != "one" || f.Failing[0].Connection != "" || f.Failing[0].Err == nil {
		t.Fatalf("%v", f)
	}
	next := check(b.Renew(ctx, issue.RenewOptions{NewKey: true}, component.Options{Password: trustkeep.Password("secret-server-b"), Clock: w.clock.Now}))(t)
	_, data, err := next.ExportPublic("")
	must(t, err)
	replaced := check(check(w.Component(ctx, "b"))(t).Reimport(ctx, data, component.Options{}))(t)
	f = check(w.test.DryRun(ctx, environment.Proposal{Replace: []*component.Component{replaced}}))(t)
	if len(f.Failing) != 2 || f.Failing[1].Connection != "own" {
		t.Fatalf("%v", f)
	}
	if f := check(w.test.DryRun(ctx, environment.Proposal{Deploy: []string{"b"}}))(t); len(f.Failing) != 0 {
		t.Errorf("%v", f)
	}
	if _, err := w.test.DryRun(ctx, environment.Proposal{Deploy: []string{"server-a"}}); !errors.Is(err, trustkeep.ErrNotDeployable) {
		t.Errorf("%v", err)
	}
	// Nothing was changed by it.
	must(t, dial(t, addressB, atom.Implicit()))
	if n := len(check(w.test.Deployments(ctx))(t)); n != 2 {
		t.Errorf("%d deployments", n)
	}
}
