package environment_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// reimport gives a public component the certificate that a private one has now.
func (w *world) reimport(id, of string) {
	w.t.Helper()
	_, data, err := check(w.Component(w.t.Context(), of))(w.t).ExportPublic(keystore.SuffixDER)
	must(w.t, err)
	check(w.Reimport(w.t.Context(), id, data, environment.ComponentOptions{}))(w.t)
}

func (w *world) renew(id string) {
	w.t.Helper()
	check(w.Renew(w.t.Context(), id, issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))(w.t)
}

// TestVersionsByEnvironment: test has a version while production stays at the one before, in
// everything that uses the component.
func TestVersionsByEnvironment(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.identity("mine")
	w.public(w.identity("server"), "a")
	w.pgpKey("key")
	trusted := []string{"a"}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: trusted, Identity: "mine"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"own"}}))
	for _, e := range []*environment.Environment{w.test, production} {
		must(t, errors.Join(e.Deploy(ctx, "a"), e.Deploy(ctx, "key"), e.SetRole(ctx, "tls", "mine")))
	}
	for _, id := range []string{"a", "mine", "key"} {
		must(t, production.Hold(ctx, id, 0))
	}
	old := w.attach("old", environment.AtomOptions{})
	address := serve(t, old, "server")
	w.renew("mine")
	w.renew("server")
	w.reimport("a", "server")
	fresh := serve(t, old, "server")
	_ = address
	next := check(check(w.Component(ctx, "key"))(t).Rename("renamed"))(t)
	_ = next

	one := check(production.Attach(ctx, "one", environment.AtomOptions{}))(t)
	defer one.Close()
	settled(t, old, func(a *environment.Atom) bool { return version("a", 2)(a) && version("mine", 2)(a) })
	for atom, want := range map[*environment.Atom]int{old: 2, one: 1} {
		for _, id := range []string{"a", "mine"} {
			if !version(id, want)(atom) {
				t.Errorf("%s has another version of %s", atom.ID(), id)
			}
		}
		own := check(atom.Connection("own"))(t)
		presented := check(check(own.Identity.TLSCertificate())(t), nil)(t)
		if got := presented.Leaf.Equal(check(keystore.CertificateOf(check(w.Component(ctx, "mine"))(t)))(t)); got != (want == 2) {
			t.Errorf("%s presents another version", atom.ID())
		}
		for about, b := range map[string]error{"deployed": dial(t, fresh, atom.Implicit()), "own trust": dial(t, fresh, own)} {
			if (b == nil) != (want == 2) {
				t.Errorf("%s of %s: %v", about, atom.ID(), b)
			}
		}
	}
	if got := check(production.Held(ctx))(t); !maps.Equal(got, map[string]int{"a": 1, "mine": 1, "key": 1}) {
		t.Errorf("%v", got)
	}

	// A process takes the version of its environment, and is stale by that.
	for _, e := range []*environment.Environment{w.test, production} {
		must(t, e.DeployProcess(ctx, "orders"))
		want := map[string]int{"a": 2, "mine": 2}
		if e == production {
			want = map[string]int{"a": 1, "mine": 1}
		}
		if got := check(e.Processes(ctx))(t)[0].Frozen; !maps.Equal(got, want) {
			t.Errorf("%s: %v", e.ID(), got)
		}
		if stale := check(e.Stale(ctx))(t); len(stale) != 0 {
			t.Errorf("%s: %+v", e.ID(), stale)
		}
	}
	// So does a report of what expires.
	for _, e := range check(w.Expiring(ctx, environment.ExpiryQuery{Environment: "production", Before: w.clock.Now().Add(800 * 24 * time.Hour)}))(t) {
		if e.Component != "key" && e.Version != 1 {
			t.Errorf("%+v", e)
		}
	}

	// The held version outlives what the component keeps.
	for range 65 {
		check(w.Rollback(ctx, "a", check(w.Component(ctx, "a"))(t).Version()-1))(t)
	}
	settled(t, old, version("a", 67))
	if !version("a", 1)(one) {
		t.Error("the held version is gone")
	}
	if err := production.Hold(ctx, "a", 1); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a version that is kept no longer: %v", err)
	}
	must(t, production.Hold(ctx, "a", 66))
	settled(t, one, version("a", 66))
	must(t, production.Follow(ctx, "a"))
	settled(t, one, version("a", 67))
	if err := production.Follow(ctx, "a"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("what is followed already: %v", err)
	}
}

func TestHoldIsChecked(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	check(w.Reimport(ctx, "b", unusable(t, w), environment.ComponentOptions{}))(t)
	for about, x := range map[string]struct {
		err  error
		want error
	}{
		"no component":       {w.test.Hold(ctx, "x", 0), trustkeep.ErrNotFound},
		"no version":         {w.test.Hold(ctx, "a", 2), trustkeep.ErrNotFound},
		"a negative version": {w.test.Hold(ctx, "a", -1), trustkeep.ErrInvalid},
		"a bad ID":           {w.test.Hold(ctx, "../a", 0), trustkeep.ErrInvalid},
		"unusable":           {w.test.Hold(ctx, "b", 2), trustkeep.ErrUnsupported},
		"usable":             {w.test.Hold(ctx, "b", 1), nil},
	} {
		if !errors.Is(x.err, x.want) {
			t.Errorf("%s: %v", about, x.err)
		}
	}
	if err := w.Delete(ctx, "b"); !errors.Is(err, trustkeep.ErrInUse) || !strings.Contains(err.Error(), "held in test") {
		t.Errorf("%v", err)
	}
	all := check(w.test.History(ctx))(t)
	if got := all[len(all)-1].State; !strings.HasSuffix(got, ", held [b version 1]") {
		t.Error(got)
	}
	var d struct{ Format int }
	must(t, json.Unmarshal(check(w.storage.Get(ctx, "environments/test"))(t).Value, &d))
	if d.Format != 2 {
		t.Errorf("format %d: a program of before would follow the current version", d.Format)
	}
	must(t, w.test.Follow(ctx, "b"))
	must(t, json.Unmarshal(check(w.storage.Get(ctx, "environments/test"))(t).Value, &d))
	if d.Format != 1 {
		t.Errorf("format %d: a program of before would understand it", d.Format)
	}
	must(t, w.Delete(ctx, "b"))
	if got := w.actions(); !slices.Contains(got, "version held") || !slices.Contains(got, "version followed") {
		t.Errorf("%v", got)
	}
}
