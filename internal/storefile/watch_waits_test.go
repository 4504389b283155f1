package storefile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// changed is any change.
var changed = trustkeep.Change{Added: []trustkeep.Changed{{Alias: "a"}}}

// waiting is a watcher whose callbacks and parsing a test replaces before a look, and
// whose bounds are reached when it says so.
type waiting struct {
	w        *Watcher[string]
	path     string
	ticks    chan struct{}
	parse    func([]byte) (string, error)
	onChange func(trustkeep.Change)
	onError  func(error)
	bounds   chan time.Time
	change   trustkeep.Change
}

func newWaiting(t *testing.T) *waiting {
	t.Helper()
	s := &waiting{
		path: filepath.Join(t.TempDir(), "f"), ticks: make(chan struct{}), bounds: make(chan time.Time),
		parse:    func(b []byte) (string, error) { return string(b), nil },
		onChange: func(trustkeep.Change) {}, onError: func(error) {}, change: changed,
	}
	s.put(t, "1")
	w, err := NewWatcher(Watching[string]{
		Paths: []string{s.path},
		Parse: func(b []byte) (string, error) {
			return s.parse(b)
		},
		Take: func(string) trustkeep.Change { return s.change },
		WatchOptions: trustkeep.WatchOptions{
			OnChange: func(c trustkeep.Change) { s.onChange(c) }, OnError: func(err error) { s.onError(err) },
		},
		Ticks: s.ticks,
		after: func(time.Duration) <-chan time.Time { return s.bounds },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	return s
}

func (s *waiting) put(t *testing.T, content string) {
	t.Helper()
	if err := Write(s.path, []byte(content), Options{}); err != nil {
		t.Fatal(err)
	}
}

// within fails a test that waits for good.
func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what + ": waits for good")
	}
	return v
}

func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

func TestErrInCallbacks(t *testing.T) {
	s := newWaiting(t)
	said := make(chan error, 2)
	s.onError = func(error) { said <- s.w.Err() }
	s.onChange = func(trustkeep.Change) { said <- s.w.Err() }
	s.put(t, "2")
	s.ticks <- struct{}{}
	if err := within(t, "Err in OnChange", said); err != nil {
		t.Error(err)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	s.ticks <- struct{}{}
	if err := within(t, "Err in OnError", said); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := within(t, "Close", async(s.w.Close)); err != nil {
		t.Error(err)
	}
}

// TestReloadInCallback: a callback that waits for itself gets an error.
func TestReloadInCallback(t *testing.T) {
	s := newWaiting(t)
	begun, said := make(chan struct{}), make(chan error, 1)
	s.onChange = func(trustkeep.Change) {
		close(begun)
		said <- s.w.Reload(context.Background())
	}
	s.put(t, "2")
	s.ticks <- struct{}{}
	within(t, "OnChange", begun)
	bounded := async(func() error { s.bounds <- time.Time{}; return nil })
	within(t, "Reload in OnChange", bounded)
	err := within(t, "Reload in OnChange", said)
	var e *trustkeep.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Hint == "" {
		t.Error(err)
	}
	s.onChange = func(trustkeep.Change) {}
	s.put(t, "3")
	if err := within(t, "Reload", async(func() error { return s.w.Reload(t.Context()) })); err != nil {
		t.Error(err)
	}
	if err := within(t, "Close", async(s.w.Close)); err != nil {
		t.Error(err)
	}
}

func TestCallbackThatHangs(t *testing.T) {
	s := newWaiting(t)
	hangs, goOn := make(chan struct{}), make(chan struct{})
	s.onChange = func(trustkeep.Change) { close(hangs); <-goOn }
	s.put(t, "2")
	s.ticks <- struct{}{}
	within(t, "OnChange", hangs)
	if err := within(t, "Err", async(s.w.Err)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reloaded := async(func() error { return s.w.Reload(ctx) })
	cancel()
	if err := within(t, "Reload", reloaded); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	closed := async(s.w.Close)
	s.bounds <- time.Time{}
	err := within(t, "Close", closed)
	var e *trustkeep.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Hint == "" {
		t.Error(err)
	}
	close(goOn)
	if err := within(t, "Close", async(s.w.Close)); err != nil {
		t.Error(err)
	}
	if err := s.w.Reload(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Reload after Close: %v", err)
	}
}

func TestPasswordSourceThatHangs(t *testing.T) {
	s := newWaiting(t)
	reports := make(chan error, 3)
	s.onError = func(err error) { reports <- err }
	hangs, goOn := make(chan struct{}, 1), make(chan struct{})
	s.parse = func(b []byte) (string, error) { hangs <- struct{}{}; <-goOn; return string(b), nil }
	s.put(t, "2")
	s.ticks <- struct{}{}
	within(t, "Parse", hangs)
	if err := within(t, "Err", async(s.w.Err)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reloaded := async(func() error { return s.w.Reload(ctx) })
	cancel()
	if err := within(t, "Reload", reloaded); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.bounds <- time.Time{}
	err := within(t, "OnError", reports)
	var e *trustkeep.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Hint == "" || s.w.Err() != err {
		t.Error(err)
	}
	goOn <- struct{}{}
	if err := within(t, "OnError", reports); err != nil { // it answered
		t.Error(err)
	}
	// Close does not wait for it.
	s.put(t, "3")
	s.ticks <- struct{}{}
	within(t, "Parse", hangs)
	if err := within(t, "Close", async(s.w.Close)); err != nil {
		t.Error(err)
	}
	close(goOn)
}

func TestEmptyChangeIsNotTold(t *testing.T) {
	s := newWaiting(t)
	calls := 0
	s.onChange = func(trustkeep.Change) { calls++ }
	s.change = trustkeep.Change{Generation: 2}
	s.put(t, "2")
	if err := s.w.Reload(t.Context()); err != nil || calls != 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
	s.change = changed
	s.put(t, "3")
	if err := s.w.Reload(t.Context()); err != nil || calls != 1 {
		t.Errorf("%v, %d calls", err, calls)
	}
	if err := s.w.Close(); err != nil {
		t.Error(err)
	}
}
