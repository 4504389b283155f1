package environment_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// asked is a storage that keeps what was asked of Watch.
type asked struct {
	environment.Storage
	paths []string
}

func (a *asked) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	a.paths = paths
	return a.Storage.Watch(ctx, paths...)
}

// TestAtomAsksForWhatConcernsIt: what happens in other environments, and to other atoms,
// is not even sent.
func TestAtomAsksForWhatConcernsIt(t *testing.T) {
	s := &asked{Storage: storagetest.NewMemory(nil)}
	r := check(environment.Open(t.Context(), s, environment.Options{}))(t)
	atom := check(check(r.CreateEnvironment(t.Context(), "test"))(t).Attach(t.Context(), "one", environment.AtomOptions{}))(t)
	must(t, atom.Close())
	// A storage of their own, since the values are those of nobody.
	keys := storagetest.NewMemory(nil)
	var want []string
	for key, concerns := range map[string]bool{
		"components/a": true, "connections/a": true, "processes/a": true, "partners/a": true,
		"environments/test": true, "environments/test/processes/a": true, "environments/test2": false,
		"environments/other": false, "environments/other/processes/a": false,
		"environments/test/atoms/one": false, "environments/test/atoms/two": false, "secrets": false, "else/where": false,
	} {
		check(keys.Put(t.Context(), key, nil, 0))(t)
		if concerns {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	var got []string
	for _, r := range (<-check(keys.Watch(t.Context(), s.paths...))(t)).Records {
		got = append(got, r.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent: %q, want %q", got, want)
	}
}

// TestAtomTellsThatItHasStopped and why, and that it goes on.
func TestAtomTellsThatItHasStopped(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	log := new(lines)
	atom := w.attach("one", environment.AtomOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err := atom.Problem(); err != nil {
		t.Errorf("at first: %v", err)
	}
	stopped := atom.Stopped()
	storage := w.storage.(*storagetest.Memory)
	refused := errors.New("the login was refused")
	storage.Interrupt(refused)
	<-stopped
	if err := atom.Problem(); !errors.Is(err, refused) {
		t.Errorf("Problem: %v", err)
	}
	must(t, w.test.Deploy(t.Context(), "a"))
	storage.Interrupt(nil)
	settled(t, atom, trusts(1))
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	stopped = atom.Stopped()
	select {
	case <-stopped:
		t.Error("the atom goes on, and says that it has stopped")
	default:
	}
	must(t, storage.Close())
	<-stopped
	if err := atom.Problem(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Problem: %v", err)
	}
	if n := len(check(atom.Certificates())(t)); n != 1 {
		t.Errorf("%d certificates", n)
	}
	for _, want := range []string{"no longer follows changes", "the login was refused", "follows changes again", "file already closed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}

func TestAtomTellsThatItsEnvironmentIsGone(t *testing.T) {
	w := newWorld(t, environment.Options{})
	atom := w.attach("one", environment.AtomOptions{})
	r := check(w.storage.Get(t.Context(), "environments/test"))(t)
	must(t, w.storage.Delete(t.Context(), "environments/test", r.Revision))
	settled(t, atom, func(a *environment.Atom) bool { return errors.Is(a.Problem(), trustkeep.ErrNotFound) })
	check(w.storage.Put(t.Context(), "environments/test", r.Value, 0))(t)
	settled(t, atom, func(a *environment.Atom) bool { return a.Problem() == nil })
}

func TestClosedAtomHasStopped(t *testing.T) {
	w := newWorld(t, environment.Options{})
	log := new(lines)
	atom := w.attach("one", environment.AtomOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
	must(t, atom.Close())
	<-atom.Stopped()
	if err := atom.Problem(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Problem: %v", err)
	}
	if strings.Contains(log.String(), "no longer") {
		t.Errorf("closing is logged as a fault:\n%s", log)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
