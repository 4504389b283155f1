package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/partner"
)

// dying is the storage of a program that is killed at its n-th call: before the call is done, or
// after it.
type dying struct {
	environment.Storage
	mu    sync.Mutex
	left  int
	after bool
}

var errKilled = errors.New("killed")

func (d *dying) call() (before, after error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left > 0 {
		return nil, nil
	}
	if d.left == 0 && d.after {
		return nil, errKilled
	}
	return errKilled, nil
}

func (d *dying) Get(ctx context.Context, key string) (environment.Record, error) {
	before, after := d.call()
	if before != nil {
		return environment.Record{}, before
	}
	r, err := d.Storage.Get(ctx, key)
	return r, errors.Join(err, after)
}

func (d *dying) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	before, after := d.call()
	if before != nil {
		return 0, before
	}
	n, err := d.Storage.Put(ctx, key, value, expected)
	return n, errors.Join(err, after)
}

func (d *dying) Delete(ctx context.Context, key string, expected uint64) error {
	before, after := d.call()
	if before != nil {
		return before
	}
	return errors.Join(d.Storage.Delete(ctx, key, expected), after)
}

func (d *dying) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	before, after := d.call()
	if before != nil {
		return nil, before
	}
	r, err := d.Storage.List(ctx, prefix)
	return r, errors.Join(err, after)
}

type sealedVerb struct {
	name string
	do   func(ctx context.Context, r *environment.Registry) error
}

// sealedVerbs are changes of what counts where, in what sealedFurnished makes.
func sealedVerbs(second environment.Recipient) []sealedVerb {
	type R = *environment.Registry
	in := func(env string, do func(ctx context.Context, e *environment.Environment) error) func(context.Context, R) error {
		return func(ctx context.Context, r R) error {
			e, err := r.Environment(ctx, env)
			if err != nil {
				return err
			}
			return do(ctx, e)
		}
	}
	last := func(_ any, err error) error { return err }
	other := "y"
	return []sealedVerb{
		{"create", func(ctx context.Context, r R) error {
			return last(r.Create(ctx, "new", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{ID: "new", Password: trustkeep.Password("pw")}))
		}},
		{"renew", func(ctx context.Context, r R) error {
			return last(r.Renew(ctx, "x", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{}))
		}},
		{"delete", func(ctx context.Context, r R) error { return r.Delete(ctx, "z") }},
		{"role", in("production", func(ctx context.Context, e *environment.Environment) error {
			return e.SetRole(ctx, environment.RoleTLS, "x")
		})},
		{"first role", in("production", func(ctx context.Context, e *environment.Environment) error {
			return e.SetRole(ctx, environment.RoleTLS, "z")
		})},
		{"end of a role", in("test", func(ctx context.Context, e *environment.Environment) error {
			return e.SetRole(ctx, environment.RoleTLS, "")
		})},
		{"deploy", in("production", func(ctx context.Context, e *environment.Environment) error { return e.Deploy(ctx, "p") })},
		{"undeploy", in("test", func(ctx context.Context, e *environment.Environment) error { return e.Undeploy(ctx, "p") })},
		{"connection", func(ctx context.Context, r R) error {
			return reconnect(ctx, r, func(c *environment.Connection) { c.Identity = "y" })
		}},
		{"fewer environments", func(ctx context.Context, r R) error {
			return reconnect(ctx, r, func(c *environment.Connection) { c.Environments = []string{"test"} })
		}},
		{"override", in("test", func(ctx context.Context, e *environment.Environment) error {
			return e.Override(ctx, "out", environment.Override{Identity: &other})
		})},
		{"partner", func(ctx context.Context, r R) error {
			return r.SetPartner(ctx, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "y", Uses: partner.Sign, Environment: "test"}}})
		}},
		{"process", in("production", func(ctx context.Context, e *environment.Environment) error { return e.DeployProcess(ctx, "orders") })},
		{"end of a process", in("test", func(ctx context.Context, e *environment.Environment) error {
			return e.UndeployProcess(ctx, "orders")
		})},
		{"new environment", func(ctx context.Context, r R) error { return last(r.CreateEnvironment(ctx, "new")) }},
		{"recipient", in("test", func(ctx context.Context, e *environment.Environment) error { return e.AddRecipient(ctx, second) })},
		{"end of a recipient", in("test", func(ctx context.Context, e *environment.Environment) error {
			_, err := e.RemoveRecipient(ctx, "atom")
			return err
		})},
		{"end of an environment", func(ctx context.Context, r R) error { return r.DeleteEnvironment(ctx, "old") }},
	}
}

func reconnect(ctx context.Context, r *environment.Registry, change func(*environment.Connection)) error {
	c, err := r.Connection(ctx, "out")
	if err != nil {
		return err
	}
	change(&c)
	return r.SetConnection(ctx, c)
}

// nextChange changes nothing of what counts where. A version that was never stored is forgotten
// with the next change of its component.
func nextChange(t *testing.T, r *environment.Registry) {
	t.Helper()
	must(t, r.SetConnection(t.Context(), environment.Connection{ID: "another"}))
	check(r.Rename(t.Context(), "x", "x again"))(t)
}

func sealedFurnished(t *testing.T) *sealedWorld {
	t.Helper()
	s := newSealedWorldOf(t, quickKey)
	ctx := t.Context()
	for _, id := range []string{"x", "y", "z", "w"} {
		s.identity(id)
	}
	s.pgpKey("p")
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	must(t, s.test.Deploy(ctx, "p"))
	must(t, s.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"w"}}))
	must(t, s.test.DeployProcess(ctx, "orders"))
	check(s.Renew(ctx, "w", issue.Options{Subject: pkix.Name{CommonName: "w"}}, environment.ComponentOptions{}))(t)
	must(t, s.SetConnection(ctx, environment.Connection{ID: "out", Identity: "x"}))
	must(t, check(s.CreateEnvironment(ctx, "old"))(t).SetRole(ctx, environment.RoleTLS, "y"))
	return s
}

// sealedWell checks that whatever counts somewhere is sealed there, and nothing else is.
func sealedWell(t *testing.T, r *environment.Registry, where string) {
	t.Helper()
	missing, extra, err := r.SealedState(t.Context())
	if err != nil || len(missing)+len(extra) > 0 {
		t.Errorf("%s: missing %v, too many %v, %v", where, missing, extra, err)
	}
}

// TestKilledBetweenSealingAndReferring: at whatever call a program dies, nothing that counts is
// lost, and the next change removes what is left over.
func TestKilledBetweenSealingAndReferring(t *testing.T) {
	s := sealedFurnished(t)
	sealedWell(t, s.Registry, "before")
	second := recipient("second", quickKey(t))
	o := environment.Options{OpeningKey: s.root, Clock: s.clock.Now, Rand: quickkdf.Rand()}
	step := testtool.Cases(3, 1)
	for i, v := range sealedVerbs(second) {
		t.Run(v.name, func(t *testing.T) {
			whole := s.copyOf()
			must(t, v.do(t.Context(), check(environment.Open(t.Context(), whole, o))(t)))
			sealedWell(t, check(environment.Open(t.Context(), whole, o))(t), "done")
			for _, after := range []bool{false, true} {
				for n, dead := 1+i%step, true; dead; n += step {
					m := s.copyOf()
					d := &dying{Storage: m, left: 1 << 30, after: after}
					r := check(environment.Open(t.Context(), d, o))(t)
					d.left = n
					err := v.do(t.Context(), r)
					if dead = d.left <= 0; !dead {
						must(t, err)
					}
					again := check(environment.Open(t.Context(), m, o))(t)
					where := fmt.Sprintf("call %d, after it %v", n, after)
					missing, _, err := again.SealedState(t.Context())
					if err != nil || len(missing) > 0 {
						t.Errorf("%s: missing %v, %v", where, missing, err)
					}
					nextChange(t, again)
					sealedWell(t, again, where+" and a change")
					if err := v.do(t.Context(), again); err != nil && !errors.Is(err, trustkeep.ErrExists) && !errors.Is(err, trustkeep.ErrNotFound) {
						t.Errorf("%s: once more: %v", where, err)
					}
					sealedWell(t, again, where+" and once more")
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// TestConcurrentSealing: two programs change what counts where at the same time.
func TestConcurrentSealing(t *testing.T) {
	s := sealedFurnished(t)
	o := environment.Options{OpeningKey: s.root, Clock: s.clock.Now, Rand: quickkdf.Rand()}
	second := recipient("second", quickKey(t))
	verbs := sealedVerbs(second)
	for i := range verbs {
		for j := range verbs {
			if (i+j)%testtool.Rounds(3, 1) != 0 {
				continue
			}
			m := s.copyOf()
			var both sync.WaitGroup
			for _, v := range []sealedVerb{verbs[i], verbs[j]} {
				r := check(environment.Open(t.Context(), m, o))(t)
				both.Go(func() {
					err := v.do(t.Context(), r)
					known := err == nil
					for _, sentinel := range []error{trustkeep.ErrNotFound, trustkeep.ErrInUse, trustkeep.ErrConflict, trustkeep.ErrExists, trustkeep.ErrInvalid} {
						known = known || errors.Is(err, sentinel)
					}
					if !known {
						t.Errorf("%s beside %s: %v", v.name, verbs[i].name+" or "+verbs[j].name, err)
					}
				})
			}
			both.Wait()
			again := check(environment.Open(t.Context(), m, o))(t)
			where := verbs[i].name + " beside " + verbs[j].name
			missing, _, err := again.SealedState(t.Context())
			if err != nil || len(missing) > 0 {
				t.Errorf("%s: missing %v, %v", where, missing, err)
			}
			nextChange(t, again)
			sealedWell(t, again, where)
		}
	}
}

// TestSealingAtEachMomentOfAnother runs the whole of one change between any two accesses of
// another to the storage.
func TestSealingAtEachMomentOfAnother(t *testing.T) {
	s := sealedFurnished(t)
	o := environment.Options{OpeningKey: s.root, Clock: s.clock.Now, Rand: quickkdf.Rand()}
	verbs := sealedVerbs(recipient("second", quickKey(t)))
	pairs := 0
	for i, outer := range verbs {
		for j, inner := range verbs {
			if (i*len(verbs)+j)%testtool.Cases(7, 2) != 0 {
				continue
			}
			pairs++
			for n, happened := 1, true; happened; n += testtool.Cases(3, 1) {
				m := s.copyOf()
				f := &faulty{Storage: m, last: make(chan struct{})}
				plain := check(environment.Open(t.Context(), m, o))(t)
				slow := check(environment.Open(t.Context(), f, o))(t)
				f.fault = func() error { inner.do(t.Context(), plain); return nil }
				f.arm(n)
				outer.do(t.Context(), slow)
				happened = f.happened()
				where := fmt.Sprintf("%s at call %d of %s", inner.name, n, outer.name)
				missing, _, err := plain.SealedState(t.Context())
				if err != nil || len(missing) > 0 {
					t.Errorf("%s: missing %v, %v", where, missing, err)
				}
				nextChange(t, plain)
				sealedWell(t, plain, where)
				if t.Failed() {
					return
				}
			}
		}
	}
	if pairs < 10 {
		t.Errorf("%d pairs", pairs)
	}
}
