package environment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/pgp"
)

var errFault = errors.New("the storage is out of order")

// faulty is a storage in which something happens at the n-th call.
type faulty struct {
	environment.Storage

	mu    sync.Mutex
	left  int           // calls until then
	fault func() error  // instead of the call, or before it if there is no error
	after bool          // the error comes after the call was done
	last  chan struct{} // closed when it has happened

	watched context.Context // of the last Watch
}

// arm makes it happen at the n-th call from now on; never for zero.
func (f *faulty) arm(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = n
}

func (f *faulty) happened() bool {
	select {
	case <-f.last:
		return true
	default:
		return false
	}
}

func (f *faulty) next() (before, after error) {
	f.mu.Lock()
	f.left--
	now := f.left == 0
	f.mu.Unlock()
	if !now {
		return nil, nil
	}
	close(f.last)
	if err := f.fault(); f.after {
		return nil, err
	} else {
		return err, nil
	}
}

func (f *faulty) Get(ctx context.Context, key string) (environment.Record, error) {
	before, after := f.next()
	if before != nil {
		return environment.Record{}, before
	}
	r, err := f.Storage.Get(ctx, key)
	return r, errors.Join(err, after)
}

func (f *faulty) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	before, after := f.next()
	if before != nil {
		return 0, before
	}
	n, err := f.Storage.Put(ctx, key, value, expected)
	return n, errors.Join(err, after)
}

func (f *faulty) Delete(ctx context.Context, key string, expected uint64) error {
	before, after := f.next()
	if before != nil {
		return before
	}
	return errors.Join(f.Storage.Delete(ctx, key, expected), after)
}

func (f *faulty) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	before, after := f.next()
	if before != nil {
		return nil, before
	}
	r, err := f.Storage.List(ctx, prefix)
	return r, errors.Join(err, after)
}

func (f *faulty) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	before, after := f.next()
	if before != nil {
		return nil, before
	}
	r, err := f.Storage.Versions(ctx, key)
	return r, errors.Join(err, after)
}

func (f *faulty) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	before, after := f.next()
	if before != nil {
		return nil, before
	}
	if after != nil {
		return nil, after
	}
	f.watched = ctx
	return f.Storage.Watch(ctx, paths...)
}

// verb is a change, in a registry that furnished has filled.
type verb struct {
	name string
	do   func(context.Context, *environment.Registry, *environment.Environment) error
}

// furnished fills a registry: private components "mine", "spare" and "key" (PGP), public
// ones "a", "b" and "loose", a second key "partner", connections, processes, an
// environment "test" with some of each, and an empty one.
func furnished(t *testing.T, w *world) []verb {
	ctx := t.Context()
	mine := w.identity("mine")
	w.identity("spare")
	for _, id := range []string{"a", "b", "loose"} {
		w.public(mine, id)
	}
	w.pgpKey("key")
	w.pgpKey("partner")
	check(w.Rename(ctx, "spare", "spare one"))(t)
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}, Identity: "mine"}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "unused"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"out"}, Components: []string{"key"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "idle"}))
	must(t, w.SetPartner(ctx, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "a", Uses: partner.Encrypt | partner.Verify}}}))
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.Deploy(ctx, "b"))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "key", Replacement: "partner"}))
	trusted := []string{"b"}
	must(t, w.test.Override(ctx, "out", environment.Override{Trusted: &trusted}))
	must(t, w.test.SetRole(ctx, environment.RoleTLS, "mine"))
	must(t, w.AddSealer(ctx, environment.PasswordSealer(trustkeep.Password("another"))))
	check(w.CreateEnvironment(ctx, "old"))(t)
	must(t, check(w.Environment(ctx, "old"))(t).DeployProcess(ctx, "orders"))
	check(w.Environment(ctx, "old"))(t)
	check(w.test.Attach(ctx, "node", environment.AtomOptions{}))(t).Close()

	_, file, err := mine.ExportPublic("")
	must(t, err)
	secret := trustkeep.Password("secret-spare")
	type (
		R = *environment.Registry
		E = *environment.Environment
	)
	second := func(_ any, err error) error { return err }
	return []verb{
		{"import", func(ctx context.Context, r R, _ E) error {
			return second(r.Import(ctx, "new", file, environment.ComponentOptions{ID: "new"}))
		}},
		{"add", func(ctx context.Context, r R, _ E) error { return r.Add(ctx, renamed(t, mine, "new"), nil) }},
		{"reimport", func(ctx context.Context, r R, _ E) error {
			return second(r.Reimport(ctx, "a", file, environment.ComponentOptions{}))
		}},
		{"regenerate", func(ctx context.Context, r R, _ E) error {
			return second(r.Renew(ctx, "spare", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))
		}},
		{"regenerate PGP", func(ctx context.Context, r R, _ E) error {
			return second(r.Renew(ctx, "key", pgp.GenerateOptions{UserIDs: []string{"key"}}, environment.ComponentOptions{}))
		}},
		{"change password", func(ctx context.Context, r R, _ E) error {
			return second(r.ChangePassword(ctx, "spare", secret, trustkeep.Password("next")))
		}},
		{"rename", func(ctx context.Context, r R, _ E) error { return second(r.Rename(ctx, "a", "A")) }},
		{"roll back component", func(ctx context.Context, r R, _ E) error { return second(r.Rollback(ctx, "spare", 1)) }},
		{"delete component", func(ctx context.Context, r R, _ E) error { return r.Delete(ctx, "loose") }},
		{"password reference", func(ctx context.Context, r R, _ E) error {
			return r.SetPasswordReference(ctx, "spare", "vault/spare")
		}},
		{"save draft", func(ctx context.Context, r R, _ E) error {
			d, err := r.Draft(ctx, "a", nil)
			if err != nil {
				return err
			}
			must(t, d.Change(func(c *component.Component) (*component.Component, error) {
				return c.Rename("drafted")
			}))
			return d.Save()
		}},
		{"new connection", func(ctx context.Context, r R, _ E) error {
			return setConnection(ctx, r, environment.Connection{ID: "in", Trusted: []string{"b"}, Identity: "spare"})
		}},
		{"changed connection", func(ctx context.Context, r R, _ E) error {
			return setConnection(ctx, r, environment.Connection{ID: "out", Trusted: []string{"loose"}})
		}},
		{"delete connection", func(ctx context.Context, r R, _ E) error { return r.DeleteConnection(ctx, "unused") }},
		{"new process", func(ctx context.Context, r R, _ E) error {
			return setProcess(ctx, r, environment.Process{ID: "new", Connections: []string{"out"}, Components: []string{"loose"}})
		}},
		{"changed process", func(ctx context.Context, r R, _ E) error {
			return setProcess(ctx, r, environment.Process{ID: "orders", Connections: []string{"unused"}})
		}},
		{"delete process", func(ctx context.Context, r R, _ E) error { return r.DeleteProcess(ctx, "idle") }},
		{"new partner", func(ctx context.Context, r R, _ E) error {
			return setPartner(ctx, r, environment.Partner{ID: "new", Members: []environment.PartnerMember{{Component: "loose", Uses: partner.Verify, Environment: "test"}}})
		}},
		{"changed partner", func(ctx context.Context, r R, _ E) error {
			return setPartner(ctx, r, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "mine", Uses: partner.Sign | partner.Decrypt}}})
		}},
		{"delete partner", func(ctx context.Context, r R, _ E) error { return r.DeletePartner(ctx, "acme") }},
		{"create environment", func(ctx context.Context, r R, _ E) error { return second(r.CreateEnvironment(ctx, "new")) }},
		{"delete environment", func(ctx context.Context, r R, _ E) error { return r.DeleteEnvironment(ctx, "old") }},
		{"deploy", func(ctx context.Context, _ R, e E) error { return e.Deploy(ctx, "loose") }},
		{"deploy otherwise", func(ctx context.Context, _ R, e E) error { return e.DeployTo(ctx, "a", "node") }},
		{"deploy to one more", func(ctx context.Context, _ R, e E) error { return e.DeployAlso(ctx, "loose", "node") }},
		{"undeploy", func(ctx context.Context, _ R, e E) error { return e.Undeploy(ctx, "a") }},
		{"substitute", func(ctx context.Context, _ R, e E) error {
			return e.Substitute(ctx, environment.Substitution{Component: "key", Process: "orders", Replacement: "partner"})
		}},
		{"end substitution", func(ctx context.Context, _ R, e E) error {
			return e.Substitute(ctx, environment.Substitution{Component: "key"})
		}},
		{"override", func(ctx context.Context, _ R, e E) error {
			name := "b.example"
			return e.Override(ctx, "unused", environment.Override{ServerName: &name})
		}},
		{"end override", func(ctx context.Context, _ R, e E) error { return e.Override(ctx, "out", environment.Override{}) }},
		{"set role", func(ctx context.Context, _ R, e E) error { return e.SetRole(ctx, environment.RoleTLS, "spare") }},
		{"end role", func(ctx context.Context, _ R, e E) error { return e.SetRole(ctx, environment.RoleTLS, "") }},
		{"deploy process", func(ctx context.Context, _ R, e E) error { return e.DeployProcess(ctx, "idle") }},
		{"deploy process again", func(ctx context.Context, _ R, e E) error { return e.DeployProcess(ctx, "orders") }},
		{"deploy process to an atom", func(ctx context.Context, _ R, e E) error { return e.DeployProcessTo(ctx, "orders", "node") }},
		{"hold", func(ctx context.Context, _ R, e E) error { return e.Hold(ctx, "a", 0) }},
		{"promote", func(ctx context.Context, r R, e E) error {
			old, err := r.Environment(ctx, "old")
			if err != nil {
				return err
			}
			return old.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a", "b"}})
		}},
		{"promote all", func(ctx context.Context, r R, e E) error {
			old, err := r.Environment(ctx, "old")
			if err != nil {
				return err
			}
			return old.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a", "b"}, Processes: []string{"orders"}})
		}},
		{"undeploy process", func(ctx context.Context, _ R, e E) error { return e.UndeployProcess(ctx, "orders") }},
		{"roll back environment", func(ctx context.Context, _ R, e E) error {
			all, err := e.History(ctx)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(c environment.HistoryEntry) bool { return strings.HasPrefix(c.State, "deployed [a],") })
			return e.Rollback(ctx, all[i].Revision)
		}},
		{"attach", func(ctx context.Context, _ R, e E) error {
			a, err := e.Attach(ctx, "new", environment.AtomOptions{})
			if err == nil {
				err = a.Close()
			}
			return err
		}},
		{"detach", func(ctx context.Context, _ R, e E) error { return e.Detach(ctx, "node") }},
		{"remove key", func(ctx context.Context, r R, _ E) error { return r.RemoveSealer(ctx, "password") }},
	}
}

// renamed is a component like another, of an ID of its own.
func renamed(t *testing.T, c *component.Component, id string) *component.Component {
	t.Helper()
	s := c.State()
	s.ID = id
	return check(component.Restore(s, keystore.ComponentKind()))(t)
}

// copyOf copies the storage of a world, so that many can begin with the same.
func (w *world) copyOf() *storagetest.Memory {
	w.t.Helper()
	m := storagetest.NewMemory(w.clock.Now)
	w.copyTo(m)
	return m
}

func (w *world) copyTo(s environment.Storage) {
	w.t.Helper()
	for _, r := range check(w.storage.List(w.t.Context(), ""))(w.t) {
		var expected uint64
		for _, v := range check(w.storage.Versions(w.t.Context(), r.Key))(w.t) {
			expected = check(s.Put(w.t.Context(), r.Key, v.Value, expected))(w.t)
		}
	}
}

// dump is what a storage holds, without keys that are new each time.
func dump(t *testing.T, s environment.Storage) string {
	t.Helper()
	var b strings.Builder
	for _, r := range check(s.List(context.Background(), ""))(t) {
		var v map[string]any
		must(t, json.Unmarshal(r.Value, &v))
		text := string(check(json.Marshal(v))(t))
		if strings.HasPrefix(r.Key, "components/") {
			var d struct {
				X509, PGP struct {
					Name     string
					Versions []struct{ Number int }
				}
				Secrets  map[int]struct{ Reference string }
				Deleting bool
			}
			must(t, json.Unmarshal(r.Value, &d))
			text = fmt.Sprint(d.X509, d.PGP, d.Secrets, d.Deleting)
		}
		fmt.Fprintf(&b, "%s %s\n", r.Key, text)
	}
	return b.String()
}

func TestEveryChangeIsDoneOrNotDone(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	resolve := func(context.Context, string) ([]byte, error) { return []byte("secret-spare"), nil }
	w := newWorld(t, environment.Options{Sealer: environment.FileSealer(path)})
	verbs := furnished(t, w)
	original := w.copyOf()

	// run does one thing on a copy and returns what is there afterwards.
	run := func(t *testing.T, v verb, f *faulty, ctx context.Context) (state string, events []string, err error) {
		var told []string
		m := w.copyOf()
		f.Storage, f.last = m, make(chan struct{})
		left := f.left
		f.arm(0)
		r := check(environment.Open(t.Context(), f, environment.Options{
			Sealer: environment.FileSealer(path), Clock: w.clock.Now, Rand: quickkdf.Rand(), Resolve: resolve,
			OnEvent: func(e environment.Event) { told = append(told, e.Action) },
		}))(t)
		e := check(r.Environment(t.Context(), "test"))(t)
		f.arm(left)
		err = v.do(ctx, r, e)
		state, events = dump(t, m), slices.Clone(told)
		if f.watched != nil && f.watched.Err() == nil {
			t.Error("the storage is still watched")
		}
		if err != nil && f.left < 0 {
			// Whoever tries again gets there, unless it was done all the same.
			if again := v.do(t.Context(), r, e); again != nil && len(events) == 0 &&
				!errors.Is(again, trustkeep.ErrExists) && !errors.Is(again, trustkeep.ErrNotFound) {
				t.Errorf("once more: %v", again)
			}
		}
		return state, events, err
	}
	before := dump(t, original)
	for _, v := range verbs {
		t.Run(v.name, func(t *testing.T) {
			after, events, err := run(t, v, &faulty{}, t.Context())
			must(t, err)
			if after == before || len(events) == 0 {
				t.Fatal("nothing changed, or nothing was told")
			}
			told := fmt.Sprint(events)
			step := testtool.Cases(4, 1)
			for i, kind := range []string{"fails", "fails when done", "is cancelled", "conflicts"} {
				for n := 1 + i%step; ; n += step {
					ctx, cancel := context.WithCancel(t.Context())
					f := &faulty{left: n, fault: func() error { return errFault }}
					switch kind {
					case "fails when done":
						f.after = true
					case "is cancelled":
						f.fault = func() error { cancel(); return nil }
					case "conflicts":
						f.fault = func() error { return &environment.ConflictError{Key: "x"} }
					}
					state, events, err := run(t, v, f, ctx)
					cancel()
					if !f.happened() {
						if err != nil {
							t.Errorf("without a fault: %v", err)
						}
						n = 0
					}
					where := fmt.Sprintf("call %d %s", n, kind)
					partly := v.name == "delete environment" // as its documentation says
					switch {
					case err == nil && (state != after || fmt.Sprint(events) != told):
						t.Errorf("%s: no error, events %v, and\n%s", where, events, state)
					case err != nil && state != before && state != after && !partly:
						t.Errorf("%s: %v, events %v, and\n%s", where, err, events, difference(before, state))
					case err != nil && len(events) > 0 && !partly:
						t.Errorf("%s: %v, and events %v", where, err, events)
					case err != nil && kind == "fails" && !errors.Is(err, errFault),
						err != nil && kind == "is cancelled" && !errors.Is(err, context.Canceled):
						t.Errorf("%s: another error: %v", where, err)
					}
					if n == 0 {
						break
					}
				}
			}
		})
	}
}

func difference(a, b string) string {
	var out []string
	old, now := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, line := range now {
		if !contains(old, line) {
			out = append(out, "+ "+line)
		}
	}
	for _, line := range old {
		if !contains(now, line) {
			out = append(out, "- "+line)
		}
	}
	return strings.Join(out, "\n")
}
