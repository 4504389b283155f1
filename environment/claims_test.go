package environment_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// TestForecastOfAProcessWithoutItsConnection: a peer that a process has accepted over a connection
// that it no longer has then is refused, and one of a process that is not deployed is refused already.
func TestForecastOfAProcessWithoutItsConnection(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"own"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	one := w.attach("one", environment.AtomOptions{})
	own := check(check(one.Process("orders"))(t).Connection("own"))(t)
	must(t, dial(t, serve(t, one, "server"), own))
	must(t, one.Report(ctx))

	must(t, w.UpdateProcess(ctx, "orders", func(p *environment.Process) error { p.Connections = nil; return nil }))
	f := check(w.test.DryRun(ctx, environment.Proposal{Processes: []string{"orders"}}))(t)
	if f.Checked != 1 || len(f.Failing) != 1 || f.Failing[0].Process != "orders" {
		t.Errorf("deployed again without the connection: %v", f)
	}
	must(t, w.test.UndeployProcess(ctx, "orders"))
	f = check(w.test.DryRun(ctx, environment.Proposal{Connections: []environment.Connection{{ID: "own", Trusted: []string{"b"}}}}))(t)
	if f.Checked != 1 || len(f.Failing) != 0 {
		t.Errorf("refused already, since the process is not deployed: %v", f)
	}
}

// TestPromotionOfWhatAProcessNeedsHere: the copies of a process are in the versions that are promoted
// with it, also those that only the environment's own overrides name.
func TestPromotionOfWhatAProcessNeedsHere(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"own"}}))
	must(t, production.Override(ctx, "own", environment.Override{Trusted: &[]string{"b"}}))
	must(t, production.Hold(ctx, "b", 1))
	must(t, w.test.DeployProcess(ctx, "orders"))
	w.renew("other")
	w.reimport("b", "other")
	must(t, w.test.Hold(ctx, "b", 2))
	p := environment.Promotion{From: "test", Components: []string{"b"}, Processes: []string{"orders"}}
	must(t, production.Promote(ctx, p))
	if got := check(production.Processes(ctx))(t)[0].Frozen["b"]; got != 2 {
		t.Errorf("the process has version %d of b, the environment 2", got)
	}
	if stale := check(production.Stale(ctx))(t); len(stale) != 0 {
		t.Errorf("stale as soon as it is promoted: %+v", stale)
	}
}

// TestDeploymentsAtTheSameTimeAreOfNow: whoever writes last does not bring back what was before a
// change that another deployment has taken over already.
func TestDeploymentsAtTheSameTimeAreOfNow(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w := newWorld(t, o)
	o.Clock = w.clock.Now
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	check(w.CreateEnvironment(ctx, "production"))(t)
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"own"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, w.test.Hold(ctx, "a", 0))
	_, next, err := check(w.Component(ctx, "b"))(t).ExportPublic("")
	must(t, err)

	type deployment func(context.Context, *environment.Registry) error
	in := func(env string, do func(context.Context, *environment.Environment) error) deployment {
		return func(ctx context.Context, r *environment.Registry) error {
			e, err := r.Environment(ctx, env)
			if err != nil {
				return err
			}
			return do(ctx, e)
		}
	}
	tighten := func(ctx context.Context, r *environment.Registry) error {
		_, err := r.Reimport(ctx, "a", next, environment.ComponentOptions{})
		return errors.Join(err, r.UpdateConnection(ctx, "own", func(c *environment.Connection) error { c.Trusted = []string{"b"}; return nil }))
	}
	deploy := in("test", func(ctx context.Context, e *environment.Environment) error { return e.DeployProcess(ctx, "orders") })
	hold := in("test", func(ctx context.Context, e *environment.Environment) error { return e.Hold(ctx, "a", 0) })
	promote := in("production", func(ctx context.Context, e *environment.Environment) error {
		return e.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a"}, Processes: []string{"orders"}})
	})
	for name, x := range map[string]struct {
		do      []deployment // after the change; the last is what is attacked
		key     string
		strict  func(value []byte) bool
		outdate func(ctx context.Context, r *environment.Registry) error
	}{
		"deploy process": {do: []deployment{deploy}, key: "environments/test/processes/orders", strict: trustsB},
		"hold":           {do: []deployment{hold}, key: "environments/test", strict: holdsSecond},
		"promoted process": {do: []deployment{deploy, promote}, key: "environments/production/processes/orders",
			strict: trustsB},
		"promoted component": {do: []deployment{hold, promote}, key: "environments/production", strict: holdsSecond},
	} {
		t.Run(name, func(t *testing.T) {
			for n, happened := 1, true; happened; n++ {
				m := w.copyOf()
				f := &faulty{Storage: m, last: make(chan struct{})}
				plain := check(environment.Open(ctx, m, o))(t)
				slow := check(environment.Open(ctx, f, o))(t)
				f.fault = func() error {
					err := tighten(ctx, plain)
					for _, do := range x.do {
						err = errors.Join(err, do(ctx, plain))
					}
					return err
				}
				f.arm(n)
				if err := x.do[len(x.do)-1](ctx, slow); err != nil && !errors.Is(err, trustkeep.ErrConflict) {
					t.Fatalf("at call %d: %v", n, err)
				}
				if happened = f.happened(); happened && !x.strict(check(m.Get(ctx, x.key))(t).Value) {
					t.Errorf("at call %d: what was deployed before the change is back", n)
				}
			}
		})
	}
}

func trustsB(value []byte) bool {
	var d struct{ Connections []environment.Connection }
	return json.Unmarshal(value, &d) == nil && len(d.Connections) == 1 && slices.Equal(d.Connections[0].Trusted, []string{"b"})
}

func holdsSecond(value []byte) bool {
	var d struct {
		Held map[string]struct {
			X509 struct{ Versions []struct{ Number int } }
		}
	}
	return json.Unmarshal(value, &d) == nil && len(d.Held["a"].X509.Versions) == 1 && d.Held["a"].X509.Versions[0].Number == 2
}

// TestRollbackIsCheckedAsTheChangesAre: what cannot be deployed or overridden now does not come back.
func TestRollbackIsCheckedAsTheChangesAre(t *testing.T) {
	for name, x := range map[string]struct {
		set, end, spoil func(w *world) error
		want            error
	}{
		"deployed, unusable": {
			func(w *world) error { return w.test.Deploy(w.t.Context(), "a") },
			func(w *world) error { return w.test.Undeploy(w.t.Context(), "a") },
			func(w *world) error {
				_, err := w.Reimport(w.t.Context(), "a", unusable(w.t, w), environment.ComponentOptions{})
				return err
			}, trustkeep.ErrUnsupported,
		},
		"trusted by an override, unusable": {
			func(w *world) error {
				return w.test.Override(w.t.Context(), "own", environment.Override{Trusted: &[]string{"a"}})
			},
			func(w *world) error { return w.test.Override(w.t.Context(), "own", environment.Override{}) },
			func(w *world) error {
				_, err := w.Reimport(w.t.Context(), "a", unusable(w.t, w), environment.ComponentOptions{})
				return err
			}, trustkeep.ErrUnsupported,
		},
		"overridden, counts elsewhere": {
			func(w *world) error {
				return w.test.Override(w.t.Context(), "own", environment.Override{DeployedTrust: true})
			},
			func(w *world) error { return w.test.Override(w.t.Context(), "own", environment.Override{}) },
			func(w *world) error {
				return w.UpdateConnection(w.t.Context(), "own", func(c *environment.Connection) error {
					c.Environments = []string{"production"}
					return nil
				})
			}, trustkeep.ErrNotFound,
		},
		"overridden, of SSH now": {
			func(w *world) error {
				return w.test.Override(w.t.Context(), "own", environment.Override{ServerName: new("x.example")})
			},
			func(w *world) error { return w.test.Override(w.t.Context(), "own", environment.Override{}) },
			func(w *world) error {
				return w.UpdateConnection(w.t.Context(), "own", func(c *environment.Connection) error {
					*c = environment.Connection{ID: "own", SSH: &environment.SSH{User: "u", EnvironmentHosts: true}}
					return nil
				})
			}, trustkeep.ErrInvalid,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, environment.Options{})
			ctx := t.Context()
			check(w.CreateEnvironment(ctx, "production"))(t)
			w.public(w.identity("server"), "a")
			w.public(w.identity("other"), "b")
			must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"b"}}))
			must(t, x.set(w))
			all := check(w.test.History(ctx))(t)
			must(t, x.end(w))
			must(t, w.test.Rollback(ctx, all[len(all)-1].Revision))
			must(t, x.end(w))
			must(t, x.spoil(w))
			before := dump(t, w.storage)
			if err := w.test.Rollback(ctx, all[len(all)-1].Revision); !errors.Is(err, x.want) {
				t.Errorf("%v", err)
			}
			if now := dump(t, w.storage); now != before {
				t.Errorf("changed:\n%s", difference(before, now))
			}
		})
	}
}

// TestOverrideWhileTheConnectionMovesAway: of an override and a change by which the connection no
// longer counts there, one at least fails.
func TestOverrideWhileTheConnectionMovesAway(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "production"))(t)
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own"}))
	o := environment.Options{Clock: w.clock.Now}
	override := func(r *environment.Registry) error {
		e, err := r.Environment(ctx, "test")
		if err != nil {
			return err
		}
		return e.Override(ctx, "own", environment.Override{ServerName: new("x.example")})
	}
	move := func(r *environment.Registry) error {
		return r.UpdateConnection(ctx, "own", func(c *environment.Connection) error {
			c.Environments = []string{"production"}
			return nil
		})
	}
	for name, x := range map[string][2]func(*environment.Registry) error{"in an override": {override, move}, "in a move": {move, override}} {
		t.Run(name, func(t *testing.T) {
			for n, happened := 1, true; happened; n++ {
				m := w.copyOf()
				f := &faulty{Storage: m, last: make(chan struct{})}
				plain := check(environment.Open(ctx, m, o))(t)
				slow := check(environment.Open(ctx, f, o))(t)
				var other error
				f.fault = func() error { other = x[1](plain); return nil }
				f.arm(n)
				err := x[0](slow)
				happened = f.happened()
				c := check(plain.Connection(ctx, "own"))(t)
				overrides := check(check(plain.Environment(ctx, "test"))(t).Overrides(ctx))(t)
				if _, ok := overrides["own"]; ok && c.Environments != nil {
					t.Errorf("at call %d: overridden where it does not count; %v; %v", n, err, other)
				}
			}
		})
	}
}

// TestForecastOfAConnectionThatCannotBeSet: what SetConnection refuses is no forecast.
func TestForecastOfAConnectionThatCannotBeSet(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "production"))(t)
	w.public(w.identity("server"), "a")
	w.pgpKey("key")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own"}))
	must(t, w.test.Override(ctx, "own", environment.Override{ServerName: new("x.example")}))
	for about, x := range map[string]struct {
		c    environment.Connection
		want error
	}{
		"overridden where it would not count": {environment.Connection{ID: "own", Environments: []string{"production"}}, trustkeep.ErrInUse},
		"a public identity":                   {environment.Connection{ID: "own", Identity: "a"}, trustkeep.ErrUnsupported},
		"trust in PGP":                        {environment.Connection{ID: "own", Trusted: []string{"key"}}, trustkeep.ErrUnsupported},
		"a setting that tlsctx refuses":       {environment.Connection{ID: "own", ClientURI: "spiffe://x/y"}, trustkeep.ErrInvalid},
		"no ID":                               {environment.Connection{}, trustkeep.ErrInvalid},
	} {
		if _, err := w.test.DryRun(ctx, environment.Proposal{Connections: []environment.Connection{x.c}}); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", about, err)
		}
		x.c.Revision = check(w.Connection(ctx, "own"))(t).Revision
		if err := w.SetConnection(ctx, x.c); !errors.Is(err, x.want) {
			t.Errorf("%s, set: %v", about, err)
		}
	}
}

// TestRollbackTellsWhatFollows: the versions that a former state has now are in its event.
func TestRollbackTellsWhatFollows(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	w.public(w.identity("other"), "b")
	must(t, errors.Join(w.test.Deploy(ctx, "a"), w.test.Deploy(ctx, "b"), w.test.Hold(ctx, "b", 1)))
	all := check(w.test.History(ctx))(t)
	must(t, w.test.Undeploy(ctx, "a"))
	w.renew("server")
	w.reimport("a", "server")
	must(t, w.test.Rollback(ctx, all[len(all)-1].Revision))
	w.mu.Lock()
	defer w.mu.Unlock()
	if got, want := w.events[len(w.events)-1].After, all[len(all)-1].State+", following [a version 2]"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
