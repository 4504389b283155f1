package environment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/partner"
)

// TestTwoWritersOfADefinition read the same state. The second one to write learns of the first
// one, and what that has changed stays.
func TestTwoWritersOfADefinition(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	r := w.Registry // whose SetConnection is not that of world
	w.public(w.identity("server"), "a")
	must(t, r.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, r.SetProcess(ctx, environment.Process{ID: "p"}))
	must(t, r.SetPartner(ctx, environment.Partner{ID: "acme"}))
	name := "first.example"
	must(t, w.test.Override(ctx, "c", environment.Override{ServerName: &name}))

	trusted := []string{"a"}
	for about, x := range map[string]struct {
		// read returns a write of what was read and changed, by the first or the second writer.
		read  func() func(second bool) error
		state func() string
	}{
		"connection": {func() func(bool) error {
			c := check(r.Connection(ctx, "c"))(t)
			return func(second bool) error {
				if second {
					c.ServerName = "second.example"
				} else {
					c.Trusted = trusted
				}
				return r.SetConnection(ctx, c)
			}
		}, func() string {
			c := check(r.Connections(ctx))(t)[0]
			return fmt.Sprint(c.Trusted, c.ServerName)
		}},
		"process": {func() func(bool) error {
			p := check(r.Process(ctx, "p"))(t)
			return func(second bool) error {
				if second {
					p.Connections = []string{"c"}
				} else {
					p.Components = trusted
				}
				return r.SetProcess(ctx, p)
			}
		}, func() string {
			p := check(r.Processes(ctx))(t)[0]
			return fmt.Sprint(p.Components, p.Connections)
		}},
		"partner": {func() func(bool) error {
			p := check(r.Partner(ctx, "acme"))(t)
			return func(second bool) error {
				use := partner.Encrypt
				if second {
					use = partner.Verify
				}
				p.Members = append(p.Members, environment.PartnerMember{Component: "a", Uses: use})
				return r.SetPartner(ctx, p)
			}
		}, func() string {
			p := check(r.Partners(ctx))(t)[0]
			return fmt.Sprint(p.Members)
		}},
		"override": {func() func(bool) error {
			o := check(w.test.Overrides(ctx))(t)["c"]
			return func(second bool) error {
				if second {
					o.Identity = new(string)
				} else {
					o.Trusted = &trusted
				}
				return w.test.Override(ctx, "c", o)
			}
		}, func() string {
			o := check(w.test.Overrides(ctx))(t)["c"]
			return fmt.Sprint(o.Trusted != nil, o.Identity != nil, o.ServerName != nil)
		}},
	} {
		t.Run(about, func(t *testing.T) {
			first, second := x.read(), x.read()
			before := x.state()
			must(t, first(false))
			after := x.state()
			if after == before {
				t.Fatal("nothing changed")
			}
			if err := second(true); !errors.Is(err, trustkeep.ErrConflict) {
				t.Errorf("what was stale has been written: %v", err)
			}
			if now := x.state(); now != after {
				t.Errorf("%s is %s now", after, now)
			}
			must(t, x.read()(true)) // having read again
		})
	}
}

func TestDefinitionWithoutRevisionIsNew(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	r := w.Registry
	name := "a.example"
	sets := map[string]func() error{
		"connection": func() error { return r.SetConnection(ctx, environment.Connection{ID: "c"}) },
		"process":    func() error { return r.SetProcess(ctx, environment.Process{ID: "p"}) },
		"partner":    func() error { return r.SetPartner(ctx, environment.Partner{ID: "acme"}) },
	}
	for about, set := range sets {
		must(t, set())
		if err := set(); !errors.Is(err, trustkeep.ErrExists) {
			t.Errorf("%s: %v", about, err)
		}
	}
	set := func() error { return w.test.Override(ctx, "c", environment.Override{ServerName: &name}) }
	must(t, set())
	if err := set(); !errors.Is(err, trustkeep.ErrExists) {
		t.Errorf("override: %v", err)
	}
	read := check(w.test.Overrides(ctx))(t)["c"]
	must(t, w.test.Override(ctx, "c", environment.Override{}))
	if err := w.test.Override(ctx, "c", read); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("an override that was ended: %v", err)
	}
	must(t, set())
	if err := w.test.Override(ctx, "c", environment.Override{Revision: "of another state"}); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("ending what is not what was read: %v", err)
	}
	must(t, w.test.Override(ctx, "c", environment.Override{Revision: read.Revision}))
	c := check(r.Connection(ctx, "c"))(t)
	must(t, r.DeleteConnection(ctx, "c"))
	if err := r.SetConnection(ctx, c); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("a connection that was deleted: %v", err)
	}
}

// TestManyWritersOfADefinition add what is theirs at the same time.
func TestManyWritersOfADefinition(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	const writers, rounds = 4, 5
	ids := make([]string, writers*rounds)
	file := inPEM(newPKI(t, w).Server.Leaf())
	for i := range ids {
		ids[i] = fmt.Sprint("c", i)
		check(w.Import(ctx, ids[i], file, environment.ComponentOptions{ID: ids[i]}))(t)
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p"}))
	must(t, w.SetPartner(ctx, environment.Partner{ID: "acme"}))
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for _, id := range ids[i*rounds : (i+1)*rounds] {
				err := errors.Join(
					w.UpdateConnection(ctx, "c", func(c *environment.Connection) error { c.Trusted = append(c.Trusted, id); return nil }),
					w.UpdateProcess(ctx, "p", func(p *environment.Process) error { p.Components = append(p.Components, id); return nil }),
					w.UpdatePartner(ctx, "acme", func(p *environment.Partner) error {
						p.Members = append(p.Members, environment.PartnerMember{Component: id, Uses: partner.Encrypt})
						return nil
					}),
					w.test.UpdateOverride(ctx, "c", func(o *environment.Override) error {
						o.Revision = "" // does not matter
						if o.Trusted == nil {
							o.Trusted = new([]string)
						}
						*o.Trusted = append(*o.Trusted, id)
						return nil
					}))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	slices.Sort(ids)
	members := []string{}
	for _, m := range check(w.Partner(ctx, "acme"))(t).Members {
		members = append(members, m.Component)
	}
	for about, got := range map[string][]string{
		"connection": check(w.Connection(ctx, "c"))(t).Trusted,
		"process":    check(w.Registry.Process(ctx, "p"))(t).Components,
		"partner":    members,
		"override":   *check(w.test.Overrides(ctx))(t)["c"].Trusted,
	} {
		if slices.Sort(got); !slices.Equal(got, ids) {
			t.Errorf("%s: %d of %d changes are left", about, len(got), len(ids))
		}
	}
}

func TestUpdateOfADefinition(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	own := errors.New("own")
	for about, x := range map[string]struct {
		err  error
		want error
	}{
		"no function":                 {w.UpdateConnection(ctx, "c", nil), trustkeep.ErrInvalid},
		"an error of the function":    {w.UpdateConnection(ctx, "c", func(*environment.Connection) error { return own }), own},
		"another ID":                  {w.UpdateConnection(ctx, "c", func(c *environment.Connection) error { c.ID = "d"; return nil }), trustkeep.ErrInvalid},
		"no connection":               {w.UpdateConnection(ctx, "d", func(*environment.Connection) error { return nil }), trustkeep.ErrNotFound},
		"no connection to override":   {w.test.UpdateOverride(ctx, "d", func(o *environment.Override) error { o.ServerName = new(string); return nil }), trustkeep.ErrNotFound},
		"no override, and none after": {w.test.UpdateOverride(ctx, "c", func(*environment.Override) error { return nil }), nil},
		"an override":                 {w.test.UpdateOverride(ctx, "c", func(o *environment.Override) error { o.ServerName = new("a.example"); return nil }), nil},
	} {
		if !errors.Is(x.err, x.want) {
			t.Errorf("%s: %v", about, x.err)
		}
	}
	must(t, w.test.UpdateOverride(ctx, "c", func(o *environment.Override) error {
		if o.ServerName == nil || *o.ServerName != "a.example" {
			t.Errorf("%+v", o)
		}
		o.ServerName = nil
		return nil
	}))
	if all := check(w.test.Overrides(ctx))(t); len(all) != 0 {
		t.Errorf("an override of nothing is left: %v", all)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.UpdateConnection(cancelled, "c", func(c *environment.Connection) error { c.ServerName = "x"; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
