package environment_test

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// deaf cuts an atom off from its storage, and waits until it knows.
func deaf(w *world, a *environment.Atom) (again func()) {
	stopped := a.Stopped()
	w.storage.(*storagetest.Memory).Interrupt(errors.New("the storage is down"))
	<-stopped
	return func() { w.storage.(*storagetest.Memory).Interrupt(nil) }
}

// TestTooOldStateIsRefused, by whatever the atom has handed out, until it hears again.
func TestTooOldStateIsRefused(t *testing.T) {
	log, crossed := new(lines), make(chan error, 8)
	f := newFollowing(t, environment.AtomOptions{
		MaxAge: time.Hour, OnAge: func(err error) { crossed <- err }, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	f.pgpKey("p")
	must(t, f.test.Deploy(t.Context(), "p"))
	settled(t, f.atom, func(a *environment.Atom) bool { _, err := a.PGP(t.Context(), "p"); return err == nil })
	b := check(f.atom.Connection("c"))(t)
	identity := check(f.atom.Identity("server-a"))(t)
	open := check(check(b.Dialer())(t).DialContext(t.Context(), "tcp", f.a))(t)
	defer open.Close()
	// Of a world of its own, so that it goes on.
	address := echo(t, tlsctx.Builder{Identity: check(newWorldWithServer(t).Identity("server"))(t)})

	again := deaf(f.world, f.atom)
	f.clock.Advance(59 * time.Minute)
	if f.atom.Age() != 59*time.Minute || !f.atom.Heard().Equal(f.clock.Now().Add(-59*time.Minute)) {
		t.Errorf("age %v, heard %v", f.atom.Age(), f.atom.Heard())
	}
	must(t, dial(t, f.a, b))
	f.clock.Advance(2 * time.Minute)
	dialled := dial(t, address, b)
	for what, err := range map[string]error{
		"connection": dialled, "implicit": dial(t, address, f.atom.Implicit()),
		"trust":    last(f.atom.Trust().Snapshot()),
		"identity": last(identity.TLSCertificate()), "new identity": last(f.atom.Identity("server-a")),
		"new connection": last(f.atom.Connection("c")), "PGP": last(f.atom.PGP(t.Context(), "p")), "Problem": f.atom.Problem(),
	} {
		if !errors.Is(err, trustkeep.ErrExpired) || !strings.Contains(err.Error(), "1h1m0s ago") || !strings.Contains(err.Error(), "MaxAge is 1h0m0s") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := <-crossed; !errors.Is(err, trustkeep.ErrExpired) {
		t.Errorf("OnAge: %v", err)
	}
	if _, err := io.ReadFull(open, make([]byte, 1)); err == nil {
		t.Error("the open connection goes on")
	}
	again()
	if err := <-crossed; err != nil {
		t.Errorf("OnAge: %v", err)
	}
	must(t, dial(t, f.a, b))
	settled(t, f.atom, func(a *environment.Atom) bool { return a.Problem() == nil })
	if n := strings.Count(log.String(), "too old"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
	if !strings.Contains(log.String(), "recent again") {
		t.Error(log)
	}
}

func newWorldWithServer(t *testing.T) *environment.Atom {
	t.Helper()
	w := newWorld(t, environment.Options{})
	w.identity("server")
	return w.attach("server", environment.AtomOptions{})
}

// last is the error of a call.
func last[T any](_ T, err error) error { return err }

// TestTooOldStateIsWarnedOf where that is asked for, and goes on.
func TestTooOldStateIsWarnedOf(t *testing.T) {
	log, crossed := new(lines), make(chan error, 8)
	f := newFollowing(t, environment.AtomOptions{
		MaxAge: time.Hour, MaxAgeWarns: true, OnAge: func(err error) { crossed <- err }, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	b := check(f.atom.Connection("c"))(t)
	again := deaf(f.world, f.atom)
	f.clock.Advance(2 * time.Hour)
	must(t, dial(t, f.a, b))
	if err := f.atom.Problem(); !errors.Is(err, trustkeep.ErrExpired) {
		t.Errorf("Problem: %v", err)
	}
	if err := <-crossed; !errors.Is(err, trustkeep.ErrExpired) {
		t.Errorf("OnAge: %v", err)
	}
	again()
	if err := <-crossed; err != nil {
		t.Errorf("OnAge: %v", err)
	}
	if n := strings.Count(log.String(), "level=WARN msg=\"the state of the atom is too old"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
}

// TestAgeIsThatOfTheDate where there is an Authority: a storage that answers, and holds
// back what is new, does not make what the atom has current.
func TestAgeIsThatOfTheDate(t *testing.T) {
	a := besieged(t)
	ctx := t.Context()
	atom := a.attach("node", environment.AtomOptions{MaxAge: 2 * time.Hour})
	before := atom.Heard()
	a.clock.Advance(3 * time.Hour)
	changed := atom.Changed()
	a.set("components/rubbish", []byte("rubbish")) // which tells that the storage was reached
	<-changed
	if got := atom.Heard(); !got.Equal(before) {
		t.Errorf("heard %v, and then %v", before, got)
	}
	if err := last(atom.Trust().Snapshot()); !errors.Is(err, trustkeep.ErrExpired) || !strings.Contains(err.Error(), "last dated") {
		t.Errorf("%v", err)
	}
	dating := check(a.as(t, dater, a.m).Environment(ctx, "test"))(t)
	must(t, dating.Date(ctx, environment.DateOptions{}))
	settled(t, atom, func(atom *environment.Atom) bool { return atom.Heard().Equal(a.clock.Now()) })
	check(atom.Trust().Snapshot())(t)
}

func TestLagging(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	list := func(longer time.Duration) (out []string) {
		for _, s := range check(w.test.Lagging(ctx, longer))(t) {
			out = append(out, s.ID+" "+w.clock.Now().Sub(s.Heard).String()+" "+w.clock.Now().Sub(s.Reported).String())
		}
		return out
	}
	one, two := w.attach("one", environment.AtomOptions{}), w.attach("two", environment.AtomOptions{})
	again := deaf(w, one)
	<-two.Stopped()
	w.clock.Advance(time.Hour)
	must(t, one.Report(ctx)) // which can be written, and nothing arrives
	if got := strings.Join(list(time.Minute), ", "); got != "one 1h0m0s 0s, two 1h0m0s 1h0m0s" {
		t.Errorf("%s", got)
	}
	again()
	settled(t, two, func(a *environment.Atom) bool { return a.Age() == 0 })
	must(t, two.Report(ctx))
	if got := strings.Join(list(time.Minute), ", "); got != "one 1h0m0s 0s" {
		t.Errorf("%s", got)
	}
	if got := list(0); len(got) != 2 {
		t.Errorf("all: %q", got)
	}
	if _, err := w.test.Lagging(ctx, -1); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := w.test.Attach(ctx, "wrong", environment.AtomOptions{MaxAge: -1}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
