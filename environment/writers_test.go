package environment_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/sshctx"
)

// TestWritersOfAnEnvironmentAtTheSameTime: each changes a part of what the others change at the same
// moment, and none of it is lost.
func TestWritersOfAnEnvironmentAtTheSameTime(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w := newWorld(t, o)
	o.Clock = w.clock.Now
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	mine := w.identity("mine")
	for _, id := range []string{"a", "b", "h0", "h1", "h2", "h3", "q0", "q1", "q2", "q3"} {
		w.public(mine, id)
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Connections: []string{"own"}}))
	must(t, w.test.DeployTo(ctx, "b", "gone0", "gone1", "gone2", "gone3", "stays"))
	must(t, w.test.DeployProcessTo(ctx, "p", "gone0", "gone1", "gone2", "gone3"))
	for i := range 4 {
		must(t, w.test.Hold(ctx, fmt.Sprint("q", i), 0))
	}
	fields := []func(*environment.Override){
		func(o *environment.Override) { o.ServerName = new("x.example") },
		func(o *environment.Override) { o.Identity = new("mine") },
		func(o *environment.Override) { o.Trusted = &[]string{"b"} },
		func(o *environment.Override) { o.ConcealCAs = new(true) },
	}
	var all sync.WaitGroup
	for i := range 4 {
		r := check(environment.Open(ctx, w.storage, o))(t)
		e := check(r.Environment(ctx, "test"))(t)
		other := check(r.Environment(ctx, "production"))(t)
		id := func(prefix string) string { return fmt.Sprint(prefix, i) }
		key := hostKey(t).PublicKey()
		for name, do := range map[string]func(context.Context) error{
			"deploy also":           func(ctx context.Context) error { return e.DeployAlso(ctx, "a", id("node")) },
			"undeploy from":         func(ctx context.Context) error { return e.UndeployFrom(ctx, "b", id("gone")) },
			"deploy process also":   func(ctx context.Context) error { return e.DeployProcessAlso(ctx, "p", id("node")) },
			"undeploy process from": func(ctx context.Context) error { return e.UndeployProcessFrom(ctx, "p", id("gone")) },
			"hold":                  func(ctx context.Context) error { return e.Hold(ctx, id("h"), 0) },
			"follow":                func(ctx context.Context) error { return e.Follow(ctx, id("q")) },
			"override": func(ctx context.Context) error {
				return e.UpdateOverride(ctx, "own", func(o *environment.Override) error { fields[i](o); return nil })
			},
			"known hosts": func(ctx context.Context) error {
				return e.UpdateKnownHosts(ctx, func(k *sshctx.KnownHosts) (*sshctx.KnownHosts, error) {
					return k, k.Add(id("host"), key)
				})
			},
			"promote": func(ctx context.Context) error {
				return other.Promote(ctx, environment.Promotion{From: "test", Components: []string{id("h")}})
			},
		} {
			all.Go(func() {
				if err := do(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	all.Wait()
	want := func(what string, got any, want string) {
		t.Helper()
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", what, got, want)
		}
	}
	sorted := func(all []string) []string { return slices.Sorted(slices.Values(all)) }
	deployed := check(w.test.Deployments(ctx))(t)
	want("a", sorted(deployed[0].Atoms), "[node0 node1 node2 node3]")
	want("b", sorted(deployed[1].Atoms), "[stays]")
	want("p", sorted(check(w.test.Processes(ctx))(t)[0].Atoms), "[node0 node1 node2 node3]")
	want("held", check(w.test.Held(ctx))(t), "map[h0:1 h1:1 h2:1 h3:1]")
	want("promoted", check(production.Held(ctx))(t), "map[h0:1 h1:1 h2:1 h3:1]")
	override := check(w.test.Overrides(ctx))(t)["own"]
	if override.ServerName == nil || override.Identity == nil || override.Trusted == nil || override.ConcealCAs == nil {
		t.Errorf("%+v", override)
	}
	hosts := string(check(check(w.test.KnownHosts(ctx))(t).Encode(trustkeep.SaveOptions{}))(t))
	for i := range 4 {
		if !strings.Contains(hosts, fmt.Sprint("host", i, " ")) {
			t.Errorf("host%d is not among %s", i, hosts)
		}
	}
}
