package environment_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/tlsctx"
)

var errDown = errors.New("the storage is down")

// outage is a storage that is down until it is brought up.
type outage struct {
	up    atomic.Pointer[environment.Storage]
	asked atomic.Int64
}

func (o *outage) open(context.Context) (environment.Storage, error) {
	o.asked.Add(1)
	if s := o.up.Load(); s != nil {
		return *s, nil
	}
	return nil, errDown
}

// end brings it up; nobody closes it.
func (o *outage) end(s environment.Storage) {
	s = struct{ environment.Storage }{s}
	o.up.Store(&s)
}

// starting is what programs are started with.
type starting struct {
	environment.Options
	atom environment.AtomOptions
}

func (s starting) start(t *testing.T, o *outage) *environment.Atom {
	t.Helper()
	a := check(environment.Start(t.Context(), o.open, s.Options, "test", "one", s.atom))(t)
	t.Cleanup(func() { a.Close() })
	return a
}

// TestStartWithoutStorage: a machine that boots while the storage is down has its trust and its
// identities, knows how old they are, and takes the storage when it is there.
func TestStartWithoutStorage(t *testing.T) {
	for _, c := range []struct {
		name   string
		opener func(t *testing.T) (*world, environment.Options)
	}{
		{"a Sealer", func(t *testing.T) (*world, environment.Options) {
			key := t.TempDir() + "/key"
			must(t, environment.NewKeyFile(key))
			o := environment.Options{Sealer: environment.FileSealer(key)}
			return newWorld(t, o), o
		}},
		{"an Authority", func(t *testing.T) (*world, environment.Options) {
			w := newSignedWorld(t)
			return w.world, environment.Options{Authority: w.authority, Sealer: environment.FileSealer(w.key)}
		}},
		{"an OpeningKey", func(t *testing.T) (*world, environment.Options) {
			w := newSealedWorld(t)
			return w.world, environment.Options{OpeningKey: w.atoms["test"]}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, o := c.opener(t)
			o.Clock, o.Rand = w.clock.Now, quickkdf.Rand()
			ctx := t.Context()
			w.public(w.identity("server-a"), "a")
			b := w.identity("server-b")
			w.public(b, "b")
			must(t, w.test.Deploy(ctx, "a"))
			must(t, w.SetConnection(ctx, environment.Connection{ID: "c", ServerName: "localhost", Identity: "server-b", Environments: []string{"test"}}))
			must(t, w.SetConnection(ctx, environment.Connection{ID: "d", ServerName: "localhost", Identity: "server-a"}))
			path := filepath.Join(t.TempDir(), "copy")
			s := starting{o, environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: path}, MaxAge: 48 * time.Hour}}

			// The first time there has to be a storage.
			down := new(outage)
			if _, err := environment.Start(ctx, down.open, s.Options, "test", "one", s.atom); !errors.Is(err, errDown) {
				t.Fatalf("without a copy: %v", err)
			}
			up := new(outage)
			up.end(w.storage)
			must(t, s.start(t, up).Close())
			if info := check(os.Stat(path))(t); info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			w.clock.Advance(25 * time.Hour) // no date counts any more

			atom := s.start(t, down)
			if atom.Age() != 25*time.Hour {
				t.Errorf("age %v", atom.Age())
			}
			<-atom.Stopped()
			if err := atom.Problem(); !errors.Is(err, errDown) {
				t.Errorf("Problem: %v", err)
			}
			must(t, dial(t, serve(t, atom, "server-a"), check(atom.Connection("c"))(t)))
			address := serve(t, atom, "server-b")
			if err := dial(t, address, atom.Implicit()); err == nil {
				t.Error("b is trusted")
			}
			must(t, w.test.Deploy(ctx, "b")) // meanwhile, elsewhere
			w.clock.Advance(24 * time.Hour)
			if err := dial(t, address, atom.Implicit()); !errors.Is(err, trustkeep.ErrExpired) {
				t.Errorf("two days later: %v", err)
			}
			if got := check(w.test.Atoms(ctx))(t); !slices.Equal(got, []string{"one"}) {
				t.Errorf("atoms %q", got)
			}
			must(t, w.test.Detach(ctx, "one")) // it is to be put on the list again
			if c.name == "an Authority" {
				check(w.Complete(ctx))(t) // and dated anew
			}
			down.end(w.storage)
			settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil && trusts(2)(a) })
			must(t, dial(t, address, atom.Implicit()))
			settled(t, atom, func(a *environment.Atom) bool { return a.Age() == 0 })
			must(t, atom.Wait(ctx, func(a *environment.Atom) bool { return a.Report(ctx) == nil || len(check(w.test.Atoms(ctx))(t)) == 1 }))
			must(t, atom.Close())

			// And what came then is in the copy.
			atom = s.start(t, new(outage))
			must(t, dial(t, serve(t, atom, "server-b"), atom.Implicit()))
			must(t, atom.Close())
			data := check(os.ReadFile(path))(t)
			for _, secret := range []string{"secret-server-a", "server-a", "localhost", "PRIVATE", "components/"} {
				if bytes.Contains(data, []byte(secret)) {
					t.Errorf("the copy shows %q", secret)
				}
			}
		})
	}
}

// newStart is a world with a copy of the atom "one" at a path.
func newStart(t *testing.T) (*world, starting, string) {
	t.Helper()
	key, path := t.TempDir()+"/key", filepath.Join(t.TempDir(), "copy")
	must(t, environment.NewKeyFile(key))
	o := environment.Options{Sealer: environment.FileSealer(key)}
	w := newWorld(t, o)
	o.Clock, o.Rand = w.clock.Now, quickkdf.Rand()
	w.public(w.identity("server-a"), "a")
	must(t, w.test.Deploy(t.Context(), "a"))
	s := starting{o, environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: path}}}
	up := new(outage)
	up.end(w.storage)
	must(t, s.start(t, up).Close())
	return w, s, path
}

// TestHostileCopies: nothing is trusted of a copy that is damaged or of somebody else.
func TestHostileCopies(t *testing.T) {
	w, s, path := newStart(t)
	ctx := t.Context()
	good := check(os.ReadFile(path))(t)
	head, sealed, _ := bytes.Cut(good, []byte("\n"))
	replaced := func(old, new string) []byte {
		out := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(out, good) {
			t.Fatalf("%s has no %s", head, old)
		}
		return out
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty": {nil, trustkeep.ErrCorrupt}, "half": {good[:len(good)/2], trustkeep.ErrCorrupt}, "a header alone": {append(bytes.Clone(head), '\n'), trustkeep.ErrCorrupt},
		"no JSON": {append([]byte("{]\n"), sealed...), trustkeep.ErrCorrupt}, "a bit": {flipped, trustkeep.ErrCorrupt}, "more": {append(bytes.Clone(good), 0), trustkeep.ErrCorrupt},
		"another kind":  {replaced(`"kind":"trustkeep-local-copy"`, `"kind":"x"`), trustkeep.ErrCorrupt},
		"a later one":   {replaced(`"format":1`, `"format":2`), trustkeep.ErrUnsupported},
		"another atom":  {replaced(`"atom":"one"`, `"atom":"two"`), trustkeep.ErrInvalid},
		"another env":   {replaced(`"environment":"test"`, `"environment":"prod"`), trustkeep.ErrInvalid},
		"another house": {replaced(`"registry":""`, `"registry":"x"`), trustkeep.ErrInvalid},
		"another key":   {replaced(`"wrapped":"`, `"wrapped":"AAAA`), trustkeep.ErrIncorrectPassword},
		"another ID":    {replaced(`"sealer":"file:`, `"sealer":"file:0`), trustkeep.ErrIncorrectPassword},
		"a long line":   {bytes.Repeat([]byte{'{'}, 1<<17), trustkeep.ErrCorrupt},
	} {
		must(t, os.WriteFile(path, c.data, 0o600))
		_, err := environment.Start(ctx, new(outage).open, s.Options, "test", "one", s.atom)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := check(environment.Open(ctx, w.storage, s.Options))(t).Environment(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.test.Attach(ctx, "one", s.atom); !errors.Is(err, c.want) {
			t.Errorf("%s, with a storage: %v", name, err)
		}
	}
	// One of another atom in the place of ours, under our name.
	must(t, os.WriteFile(path, good, 0o600))
	if _, err := environment.Start(ctx, new(outage).open, s.Options, "test", "two", s.atom); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("another atom's: %v", err)
	}
	must(t, os.WriteFile(path, replaced(`"atom":"one"`, `"atom":"two"`), 0o600))
	if _, err := environment.Start(ctx, new(outage).open, s.Options, "test", "two", s.atom); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("another atom's under our name: %v", err)
	}
	// And wrong calls.
	for name, o := range map[string]environment.AtomOptions{
		"a memory too": {LocalCopy: s.atom.LocalCopy, Memory: path + "2"},
	} {
		if _, err := environment.Start(ctx, new(outage).open, s.Options, "test", "one", o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := environment.Start(ctx, new(outage).open, environment.Options{}, "test", "one", s.atom); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nothing to open it with: %v", err)
	}
	if _, err := environment.Start(ctx, nil, s.Options, "test", "one", s.atom); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nothing to open the storage with: %v", err)
	}
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	if _, err := environment.Start(ctx, new(outage).open, s.Options, "test", "one", s.atom); err == nil {
		t.Error("a folder is taken")
	}
}

// TestCopyOfAnotherAuthority is refused, as is one of before signing was switched on.
func TestCopyOfAnotherAuthority(t *testing.T) {
	_, s, _ := newStart(t)
	s.Authority = testAuthority(t)
	if _, err := environment.Start(t.Context(), new(outage).open, s.Options, "test", "one", s.atom); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// TestStorageOlderThanTheCopy: it is refused where there is an Authority, and told otherwise.
func TestStorageOlderThanTheCopy(t *testing.T) {
	t.Run("an Authority", func(t *testing.T) {
		a := besieged(t)
		ctx := t.Context()
		old := storagetest.NewMemory(a.clock.Now)
		for _, r := range check(a.m.List(ctx, ""))(t) {
			check(old.Put(ctx, r.Key, r.Value, 0))(t)
		}
		must(t, a.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
			c.Trusted = []string{"a"}
			return nil
		}))
		o := environment.Options{Authority: a.authority, Sealer: environment.FileSealer(a.key), Clock: a.clock.Now, Rand: quickkdf.Rand()}
		s := starting{o, environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: t.TempDir() + "/copy"}}}
		up := new(outage)
		up.end(a.m)
		must(t, s.start(t, up).Close())
		down := new(outage)
		atom := s.start(t, down)
		down.end(old)
		settled(t, atom, func(atom *environment.Atom) bool {
			return slices.Contains(codes(atom.Problem()), authority.CodeRolledBack)
		})
		if got := trustOf(t, atom); got != "mine" {
			t.Errorf("connection c trusts %q", got)
		}
		must(t, atom.Close())
		// With a storage from the beginning too, and by Attach.
		e := check(check(environment.Open(ctx, old, o))(t).Environment(ctx, "test"))(t)
		if _, err := e.Attach(ctx, "one", s.atom); !slices.Contains(codes(err), authority.CodeRolledBack) {
			t.Errorf("Attach: %v", err)
		}
		up.end(old)
		atom = s.start(t, up)
		if got := trustOf(t, atom); got != "mine" || !slices.Contains(codes(atom.Problem()), authority.CodeRolledBack) {
			t.Errorf("connection c trusts %q, problem %v", got, atom.Problem())
		}
	})
	t.Run("none", func(t *testing.T) {
		w, s, _ := newStart(t)
		ctx := t.Context()
		log := new(lines)
		s.Logger = slog.New(slog.NewTextHandler(log, nil))
		down := new(outage)
		atom := s.start(t, down)
		old := storagetest.NewMemory(w.clock.Now) // with revisions that begin anew
		for _, r := range check(w.storage.List(ctx, ""))(t) {
			if r.Key != "components/a" {
				check(old.Put(ctx, r.Key, r.Value, 0))(t)
			}
		}
		down.end(old)
		settled(t, atom, trusts(0))
		if !strings.Contains(log.String(), "older versions") {
			t.Error(log)
		}
	})
}

// TestCopyOlderThanTheStorage: a copy that was put back is what counts until the storage is
// reached, and its age tells.
func TestCopyOlderThanTheStorage(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	path := t.TempDir() + "/copy"
	o := environment.Options{Authority: a.authority, Sealer: environment.FileSealer(a.key), Clock: a.clock.Now, Rand: quickkdf.Rand()}
	s := starting{o, environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: path}}}
	up := new(outage)
	up.end(a.m)
	must(t, s.start(t, up).Close())
	before := check(os.ReadFile(path))(t)
	a.clock.Advance(time.Hour)
	must(t, a.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
		c.Trusted = []string{"a"}
		return nil
	}))
	must(t, s.start(t, up).Close())
	must(t, os.WriteFile(path, before, 0o600))
	down := new(outage)
	atom := s.start(t, down)
	if got := trustOf(t, atom); got != "theirs" || atom.Age() != time.Hour {
		t.Errorf("connection c trusts %q, age %v", got, atom.Age())
	}
	down.end(a.m)
	settled(t, atom, func(*environment.Atom) bool { return trustOf(t, atom) == "mine" })
}

// TestCopyIsWrittenWhenNeeded: for what has changed, and for heartbeats once an hour.
func TestCopyIsWrittenWhenNeeded(t *testing.T) {
	w, s, _ := newStart(t)
	ctx := t.Context()
	atom := w.attach("one", s.atom)
	writes := make(chan struct{}, 64)
	atom.WriteCopiesBy(func(path string, data []byte, before func(string, []byte) error) error {
		err := before(path, data)
		writes <- struct{}{}
		return err
	})
	beat := func() {
		again := deaf(w, atom)
		changed := atom.Changed()
		again()
		<-changed
		settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil && a.Age() == 0 })
	}
	for range 3 {
		w.clock.Advance(10 * time.Minute)
		beat()
	}
	if n := len(writes); n != 0 {
		t.Errorf("%d writes for heartbeats", n)
	}
	w.clock.Advance(31 * time.Minute)
	beat()
	<-writes
	w.public(w.identity("server-b"), "b")
	must(t, w.test.Deploy(ctx, "b"))
	settled(t, atom, trusts(2))
	<-writes
	must(t, atom.Close())
	if n := len(writes); n > 3 {
		t.Errorf("%d writes more", n)
	}
}

// TestCopyThatCannotBeWritten keeps nothing from counting; the atom says so, and tries again.
func TestCopyThatCannotBeWritten(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	path, log := t.TempDir()+"/copy", new(lines)
	o := environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: path}, Logger: slog.New(slog.NewTextHandler(log, nil))}
	atom := a.attach("one", o)
	var full atomic.Bool
	full.Store(true)
	atom.WriteCopiesBy(func(path string, data []byte, before func(string, []byte) error) error {
		if full.Load() {
			return syscall.ENOSPC
		}
		return before(path, data)
	})
	was := check(os.ReadFile(path))(t)
	must(t, a.UpdateConnection(ctx, "c", func(c *environment.Connection) error {
		c.Trusted = []string{"a"}
		return nil
	}))
	settled(t, atom, func(*environment.Atom) bool { return trustOf(t, atom) == "mine" })
	if err := atom.Problem(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Problem: %v", err)
	}
	if !bytes.Equal(check(os.ReadFile(path))(t), was) {
		t.Error("the file has changed")
	}
	full.Store(false)
	changed := atom.Changed()
	a.set("components/rubbish", []byte("rubbish")) // any news will do
	<-changed
	must(t, atom.Close())
	if err := atom.Problem(); errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Problem: %v", err)
	}
	if !strings.Contains(log.String(), "cannot be written") || !strings.Contains(log.String(), "is written again") {
		t.Error(log)
	}
}

// TestStateIsRememberedBeforeItCounts, so that whoever has seen it never sees an older one.
func TestStateIsRememberedBeforeItCounts(t *testing.T) {
	a := besieged(t)
	atom := a.attach("one", environment.AtomOptions{LocalCopy: environment.LocalCopy{Path: t.TempDir() + "/copy"}})
	during := make(chan string, 8)
	atom.WriteCopiesBy(func(path string, data []byte, before func(string, []byte) error) error {
		c, err := atom.Component("b")
		if err != nil {
			during <- err.Error()
		} else {
			during <- c.Name()
		}
		return before(path, data)
	})
	now := check(a.Rename(t.Context(), "b", "another name"))(t)
	if got := <-during; got == now.Name() {
		t.Errorf("b is called %q before that is remembered", got)
	}
	settled(t, atom, func(atom *environment.Atom) bool { return check(atom.Component("b"))(t).Name() == now.Name() })
}

// TestCopyIsOneOfTheStatesThatCounted, whenever the program is killed: the file is what some
// write left.
func TestCopyIsOneOfTheStatesThatCounted(t *testing.T) {
	w, s, path := newStart(t)
	ctx := t.Context()
	atom := w.attach("one", s.atom)
	var mu sync.Mutex
	var files [][]byte
	atom.WriteCopiesBy(func(path string, data []byte, before func(string, []byte) error) error {
		mu.Lock()
		defer mu.Unlock()
		files = append(files, bytes.Clone(data))
		return before(path, data)
	})
	for _, id := range []string{"b", "c", "d"} {
		w.public(w.identity("server-"+id), id)
		must(t, w.test.Deploy(ctx, id))
	}
	settled(t, atom, trusts(4))
	must(t, atom.Close())
	known := 0
	for _, data := range files {
		must(t, os.WriteFile(path, data, 0o600))
		later := s.start(t, new(outage))
		n := len(check(later.Certificates())(t))
		if n < known || n > 4 {
			t.Errorf("%d certificates after %d", n, known)
		}
		known = n
		must(t, later.Close())
	}
	if known != 4 {
		t.Errorf("the last one has %d", known)
	}
}

// TestStartWhileEverythingMoves is for the race detector.
func TestStartWhileEverythingMoves(t *testing.T) {
	w, s, _ := newStart(t)
	ctx := t.Context()
	s.atom.MaxAge = time.Hour
	for range 5 {
		down := new(outage)
		atom := s.start(t, down)
		address := serve(t, atom, "server-a")
		b := atom.Implicit()
		var all sync.WaitGroup
		all.Go(func() { down.end(w.storage) })
		for range 3 {
			all.Go(func() {
				for range 5 {
					_ = dial(t, address, tlsctx.Builder{Global: b.Global, MayBeEmpty: true, Clock: w.clock.Now})
					_, _, _ = atom.Problem(), atom.Age(), atom.Report(ctx)
				}
			})
		}
		all.Go(func() { w.clock.Advance(time.Minute) })
		all.Wait()
		must(t, atom.Close())
	}
}

// TestStartEnds at any time.
func TestStartEnds(t *testing.T) {
	_, s, path := newStart(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := environment.Start(ended, new(outage).open, s.Options, "test", "one", s.atom); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// While the storage is being opened.
	opening := make(chan struct{}, 8)
	slow := func(ctx context.Context) (environment.Storage, error) {
		opening <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.atom.LocalCopy.Wait = time.Nanosecond
	atom := check(environment.Start(t.Context(), slow, s.Options, "test", "one", s.atom))(t)
	<-opening
	if n := len(check(atom.Certificates())(t)); n != 1 {
		t.Errorf("%d certificates", n)
	}
	if err := atom.Problem(); err == nil || !strings.Contains(err.Error(), "not reached yet") {
		t.Errorf("Problem: %v", err)
	}
	must(t, atom.Close())
	must(t, os.Remove(path))
	soon, cancel := context.WithCancel(t.Context())
	go func() { <-opening; cancel() }()
	if _, err := environment.Start(soon, slow, s.Options, "test", "one", s.atom); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
