package environment_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestConnectionOfAnEnvironmentThatIsGone: without its override, the connection would
// trust the base of the atom.
func TestConnectionOfAnEnvironmentThatIsGone(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out"}))
	only := []string{"b"}
	must(t, w.test.Override(ctx, "out", environment.Override{Trusted: &only}))
	a := check(keystore.CertificateOf(check(w.Component(ctx, "a"))(t)))(t)
	atom := w.attach("one", environment.AtomOptions{Base: truststore.New(a)})
	address := serve(t, atom, "server-a")
	if err := dial(t, address, check(atom.Connection("out"))(t)); err == nil {
		t.Fatal("the override does not count")
	}
	must(t, w.test.Detach(ctx, "one"))
	must(t, w.DeleteEnvironment(ctx, "test"))
	settled(t, atom, func(a *environment.Atom) bool {
		_, err := a.Connection("out")
		return errors.Is(err, trustkeep.ErrNotFound)
	})
}

// TestTrustIsNeverWiderThanMeant goes through what may happen to the trust that a
// connection has of its own, while a server that is trusted by deployment is dialled.
func TestTrustIsNeverWiderThanMeant(t *testing.T) {
	type breakage func(t *testing.T, w *world)
	rewrite := func(key string, change func(map[string]any)) breakage {
		return func(t *testing.T, w *world) {
			r := check(w.storage.Get(t.Context(), key))(t)
			var d map[string]any
			must(t, json.Unmarshal(r.Value, &d))
			change(d)
			check(w.storage.Put(t.Context(), key, check(json.Marshal(d))(t), r.Revision))(t)
		}
	}
	remove := func(key string) breakage {
		return func(t *testing.T, w *world) {
			must(t, w.storage.Delete(t.Context(), key, check(w.storage.Get(t.Context(), key))(t).Revision))
		}
	}
	another := func(key, by string) breakage { // under the ID of the first
		return func(t *testing.T, w *world) {
			id := key[strings.LastIndexByte(key, '/')+1:]
			text := strings.ReplaceAll(string(check(w.storage.Get(t.Context(), "components/"+by))(t).Value), `"ID":"`+by+`"`, `"ID":"`+id+`"`)
			check(w.storage.Put(t.Context(), key, []byte(text), check(w.storage.Get(t.Context(), key))(t).Revision))(t)
		}
	}
	for name, broken := range map[string]breakage{
		"its component is gone":                 remove("components/b"),
		"its component is another":              another("components/b", "a"),
		"its component has become private":      another("components/b", "other"),
		"its component has become an OpenPGP":   another("components/b", "p"),
		"the connection names nothing any more": rewrite("connections/out", func(d map[string]any) { d["connection"] = map[string]any{} }),
		"the connection is another's":           rewrite("connections/out", func(d map[string]any) { d["connection"] = map[string]any{"id": "open"} }),
		"the connection is of a later format":   rewrite("connections/out", func(d map[string]any) { d["format"] = 9; d["connection"] = map[string]any{"id": "out"} }),
		"the process is gone":                   remove("environments/test/processes/orders"),
		"the process has lost its copies":       rewrite("environments/test/processes/orders", func(d map[string]any) { delete(d, "frozen") }),
		"the process has copies of nothing":     rewrite("environments/test/processes/orders", func(d map[string]any) { d["frozen"] = map[string]any{"b": nil} }),
		"the environment is gone":               remove("environments/test"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, environment.Options{})
			ctx := t.Context()
			w.public(w.identity("server-a"), "a")
			w.public(w.identity("server-b"), "b")
			w.identity("other")
			w.pgpKey("p")
			must(t, w.SetConnection(ctx, environment.Connection{ID: "open"}))
			must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"b"}}))
			must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"out"}}))
			must(t, w.test.Deploy(ctx, "a"))
			must(t, w.test.DeployProcess(ctx, "orders"))
			atom := w.attach("one", environment.AtomOptions{})
			address := serve(t, atom, "server-a")
			kept := map[string]tlsctx.Builder{
				"connection": check(atom.Connection("out"))(t),
				"process":    check(check(atom.Process("orders"))(t).Connection("out"))(t),
			}
			for of, b := range kept {
				if err := dial(t, address, b); err == nil {
					t.Fatalf("%s: B trusts A", of)
				}
			}
			seen := atom.Changed()
			broken(t, w)
			<-seen
			late := w.tryAttach("two")
			for of, b := range kept {
				if name == "its component is another" && of == "connection" {
					continue // it is what the storage says, whoever wrote it
				}
				if err := dial(t, address, b); err == nil {
					t.Errorf("%s: A is trusted", of)
				}
			}
			for who, a := range map[string]*environment.Atom{"the atom": atom, "a new atom": late} {
				if a == nil {
					continue // could not be attached
				}
				if b, err := a.Connection("out"); err == nil && name != "its component is another" && dial(t, address, b) == nil {
					t.Errorf("%s, asked again: A is trusted", who)
				}
				if p, err := a.Process("orders"); err == nil {
					if b, err := p.Connection("out"); err == nil && dial(t, address, b) == nil {
						t.Errorf("%s, process asked again: A is trusted", who)
					}
				}
			}
		})
	}
}

// tryAttach attaches an atom; nil if that is not possible.
func (w *world) tryAttach(id string) *environment.Atom {
	a, err := w.test.Attach(w.t.Context(), id, environment.AtomOptions{})
	if err != nil {
		return nil
	}
	w.t.Cleanup(func() { a.Close() })
	return a
}

// TestDeployedListThatSomebodyElseWrote: a private component in it is not trusted.
func TestDeployedListThatSomebodyElseWrote(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("server")
	r := check(w.storage.Get(ctx, "environments/test"))(t)
	text := strings.Replace(string(r.Value), "{", `{"deployed":{"server":{}},"substitutions":[{"component":"p","replacement":"q"},{"component":"q","replacement":"p"}],`, 1)
	check(w.storage.Put(ctx, r.Key, []byte(text), r.Revision))(t)
	w.pgpKey("p")
	w.pgpKey("q")
	atom := w.attach("one", environment.AtomOptions{})
	if n := len(check(w.test.Deployments(ctx))(t)); n != 1 {
		t.Fatalf("%d deployments", n)
	}
	if all := check(atom.Certificates())(t); len(all) != 0 {
		t.Errorf("trusted: %v", all)
	}
	if err := dial(t, serve(t, atom, "server"), atom.Implicit()); err == nil {
		t.Error("trusted")
	}
	// One step, not a circle.
	if key := check(atom.PGP(ctx, "p"))(t); key.Fingerprint() != check(w.Component(ctx, "q"))(t).Fingerprint() {
		t.Error("another key")
	}
}

func TestProcessHasItsOwnComponentsAlone(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("mine")
	w.identity("foreign")
	w.pgpKey("p")
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"mine"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	atom := w.attach("one", environment.AtomOptions{})
	process := check(atom.Process("orders"))(t)
	check(process.Identity("mine"))(t)
	if _, err := process.Identity("foreign"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := process.PGP(ctx, "p"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.test.Deploy(ctx, "p"))
	settled(t, atom, func(*environment.Atom) bool { _, err := process.PGP(ctx, "p"); return err == nil })
}

func TestWaitEndsWithTheAtom(t *testing.T) {
	w := newWorld(t, environment.Options{})
	atom := w.attach("one", environment.AtomOptions{})
	ended := make(chan error)
	go func() { ended <- atom.Wait(t.Context(), func(*environment.Atom) bool { return false }) }()
	must(t, atom.Close())
	if err := <-ended; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("%v", err)
	}
	must(t, atom.Close())
}

// TestProcessIsFrozenAtOneMoment: an old certificate is not paired with the name that goes
// with the new one, whenever they are changed.
func TestProcessIsFrozenAtOneMoment(t *testing.T) {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w := newWorld(t, o)
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}, ServerName: "one"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"out"}}))
	for n, happened := 1, true; happened; n++ {
		m := w.copyOf()
		plain := check(environment.Open(ctx, m, o))(t)
		f := &faulty{Storage: m, last: make(chan struct{})}
		slow := check(environment.Open(ctx, f, o))(t)
		env := check(slow.Environment(ctx, "test"))(t)
		f.fault = func() error {
			check(plain.Rename(ctx, "a", "renamed"))(t) // a new version
			must(t, setConnection(ctx, plain, environment.Connection{ID: "out", Trusted: []string{"a"}, ServerName: "two"}))
			return nil
		}
		f.arm(n)
		must(t, env.DeployProcess(ctx, "orders"))
		happened = f.happened()
		var d struct {
			Connections []environment.Connection
			Frozen      map[string]struct{ X509 struct{ Name string } }
		}
		must(t, json.Unmarshal(check(m.Get(ctx, "environments/test/processes/orders"))(t).Value, &d))
		if name := d.Frozen["a"].X509.Name; (name == "renamed") != (d.Connections[0].ServerName == "two") {
			t.Errorf("changed at call %d: component %q with name %q", n, name, d.Connections[0].ServerName)
		}
	}
}

func TestDryRunOfProcessesAndConnections(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	a := w.identity("server-a")
	w.public(a, "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"out"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	atom := w.attach("one", environment.AtomOptions{})
	address := serve(t, atom, "server-a")
	must(t, dial(t, address, check(check(atom.Process("orders"))(t).Connection("out"))(t)))
	must(t, dial(t, address, check(atom.Connection("out"))(t)))
	must(t, atom.Report(ctx))
	other := check(keystore.CertificateOf(check(w.Component(ctx, "b"))(t)))(t)
	replaced := check(check(w.Component(ctx, "a"))(t).Reimport(ctx, inPEM(other), component.Options{}))(t)
	for _, c := range []struct {
		name string
		p    environment.Proposal
		want []string // processes of the peers that fail
	}{
		{"nothing", environment.Proposal{}, nil},
		{"replaced", environment.Proposal{Replace: []*component.Component{replaced}}, []string{""}},
		{"replaced and deployed again", environment.Proposal{Replace: []*component.Component{replaced}, Processes: []string{"orders"}}, []string{"", "orders"}},
		{"deployed again", environment.Proposal{Processes: []string{"orders"}}, nil},
		{"another connection", environment.Proposal{Connections: []environment.Connection{{ID: "out", Trusted: []string{"b"}}}}, []string{""}},
		{"another connection, deployed", environment.Proposal{Connections: []environment.Connection{{ID: "out", Trusted: []string{"b"}}}, Processes: []string{"orders"}}, []string{"", "orders"}},
	} {
		f := check(w.test.DryRun(ctx, c.p))(t)
		var got []string
		for _, x := range f.Failing {
			got = append(got, x.Process)
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q fail, not %q", c.name, got, c.want)
		}
	}
	for name, p := range map[string]environment.Proposal{
		"process":    {Processes: []string{"no"}},
		"connection": {Connections: []environment.Connection{{ID: "out", Trusted: []string{"no"}}}},
	} {
		if _, err := w.test.DryRun(ctx, p); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One of two trusted components cannot be had: nobody is trusted.
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a", "b"}}))
	r := check(w.storage.Get(ctx, "components/b"))(t)
	must(t, w.storage.Delete(ctx, r.Key, r.Revision))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Component("b"); return err != nil })
	if err := dial(t, address, check(atom.Connection("out"))(t)); err == nil {
		t.Error("part of the trust is enough")
	}
}

// TestAtomsAreClosedWhileEverythingChanges, and asked at the same time.
func TestAtomsAreClosedWhileEverythingChanges(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}, Identity: "server"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"out"}}))
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for _, err := range []error{w.test.Deploy(ctx, "a"), w.test.DeployProcess(ctx, "orders"), w.test.Undeploy(ctx, "a"), w.test.UndeployProcess(ctx, "orders")} {
				if err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range 10 {
		changes := 0
		atom := check(w.test.Attach(ctx, fmt.Sprint("atom", i), environment.AtomOptions{OnChange: func() { changes++ }}))(t)
		var askers sync.WaitGroup
		for range 3 {
			askers.Go(func() {
				for range 5 {
					b, err := atom.Connection("out")
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := b.Client(); err != nil {
						t.Error(err)
					}
					if p, err := atom.Process("orders"); err == nil {
						p.Connection("out") // or not, if it was taken back
					}
					if _, err := atom.Certificates(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		askers.Go(func() { must(t, atom.Close()) })
		must(t, atom.Close())
		changes++ // nobody else does any more
		askers.Wait()
	}
	close(stop)
	all.Wait()
}
