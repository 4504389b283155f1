package environment_test

import (
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
)

func TestSignedRegistryWorks(t *testing.T) {
	w := newSignedWorld(t)
	ctx := t.Context()
	mine := w.identity("mine")
	w.public(mine, "a")
	must(t, w.test.Deploy(ctx, "a"))
	a := w.attach("node", environment.AtomOptions{})
	settled(t, a, trusts(1))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}, Identity: "mine"}))
	settled(t, a, func(a *environment.Atom) bool { _, err := a.Connection("c"); return err == nil })
	must(t, w.test.Undeploy(ctx, "a"))
	settled(t, a, trusts(0))
	must(t, w.DeleteConnection(ctx, "c"))
	must(t, w.Delete(ctx, "a"))
	must(t, a.Problem())
	w.public(mine, "a")
	must(t, w.test.Deploy(ctx, "a"))
	settled(t, a, trusts(1))
	must(t, a.Problem())
}

func TestSignedWritersBothCount(t *testing.T) {
	w := newSignedWorld(t)
	ctx := t.Context()
	_, data, err := w.identity("server").ExportPublic("")
	must(t, err)
	check(w.Import(ctx, "a", data, environment.ComponentOptions{ID: "a"}))(t)
	must(t, w.test.Deploy(ctx, "a"))
	a := w.attach("node", environment.AtomOptions{})
	var all sync.WaitGroup
	for n := range 4 {
		r := w.Registry
		if n%2 == 0 {
			r = w.as(t, anna, w.storage)
		}
		all.Go(func() {
			for range 8 {
				if _, err := r.Reimport(ctx, "a", data, environment.ComponentOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := check(w.Component(ctx, "a"))(t).Version(); got != 33 {
		t.Errorf("version %d", got)
	}
	settled(t, a, version("a", 33))
	must(t, a.Problem())
}
