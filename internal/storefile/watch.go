package storefile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Watching configures a Watcher.
type Watching[T any] struct {
	// WatchOptions are those of the caller: whom to tell, and how often to look.
	trustkeep.WatchOptions
	// Paths of files, or of directories whose files Keep accepts. A nil Keep accepts all.
	Paths []string
	Keep  func(name string) bool
	// Read returns the content, all of it. If nil, the files are joined by line
	// endings. MaxSize bounds each; if zero, trustkeep's default limit.
	Read    func() ([]byte, error)
	MaxSize int64
	// Parse makes a value from the content, which it may keep.
	Parse func(content []byte) (T, error)
	// Take puts a value in force, including the first one, and returns the differences.
	Take func(T) trustkeep.Change
	// Ticks replaces Interval and the events, for tests. Each tick causes one look.
	Ticks <-chan struct{}

	after func(time.Duration) <-chan time.Time // nil is time.After
}

const (
	// patience is how long Parse may take before that is a failure: a password source
	// may ask a vault that does not answer, and cannot be interrupted.
	patience = 30 * time.Second
	// closing is how long Close and Reload wait for a callback.
	closing = 10 * time.Second
	// again is how soon a file that is being written is looked at again.
	again = 20 * time.Millisecond
	// unhurried is how many looks by the clock may trust an unchanged stamp: some file
	// systems keep times too coarse to tell, so now and then the content is read.
	unhurried = 30
)

// Watcher follows files. It is safe for concurrent use.
//
// One goroutine looks, puts in force and calls the callbacks; nobody else touches its
// state, so nobody waits for a lock.
type Watcher[T any] struct {
	o        Watching[T]
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	done     chan struct{}
	requests chan request
	err      atomic.Pointer[failure]
	calls    atomic.Uint64 // of callbacks; odd during one

	// Of the goroutine.
	stamp   string   // at the last look that read
	place   string   // of what was last taken
	taken   [32]byte // SHA-256 of what was last taken
	waiting [32]byte // of what was found once, in a file written in place
	settled bool     // nothing is awaited
	looks   int
	told    string // the failure that was reported
}

type failure struct{ error }

// request asks the goroutine for a look.
type request struct {
	byTick bool // nothing announced a change
	now    bool // what is found is not looked at twice
	done   chan<- error
}

// NewWatcher loads the files, which must succeed, and follows them until Close. One goroutine
// calls the callbacks, one at a time.
func NewWatcher[T any](o Watching[T]) (*Watcher[T], error) {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.after == nil {
		o.after = time.After
	}
	if o.Read == nil {
		o.Read = o.readAll
	}
	w := &Watcher[T]{o: o, done: make(chan struct{}), requests: make(chan request)}
	// Stamped first: what changes in between is seen as a change.
	w.stamp, w.place = stampOf(o.Paths, o.Keep)
	content, err := o.Read()
	if err != nil {
		return nil, err
	}
	w.taken, w.settled = sha256.Sum256(content), true
	value, err := o.Parse(content)
	if err != nil {
		return nil, err
	}
	o.Take(value)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w, nil
}

func (o Watching[T]) readAll() ([]byte, error) {
	all := make([][]byte, len(o.Paths))
	for i, path := range o.Paths {
		var err error
		if all[i], err = ReadRegular(path, o.MaxSize); err != nil {
			return nil, err
		}
	}
	return bytes.Join(all, []byte("\n")), nil
}

// Close stops watching. It waits for the goroutine, so that no callback runs afterwards, but
// not for a password source. If a callback takes more than 10 seconds or calls Close itself,
// the error wraps context.DeadlineExceeded, and the goroutine ends after the callback.
func (w *Watcher[T]) Close() error {
	w.cancel()
	select {
	case <-w.done:
		return nil
	default:
	}
	select {
	case <-w.done:
		return nil
	case <-w.o.after(closing):
		return w.late("a callback", closing, "OnChange and OnError must return, and must not call Close")
	}
}

func (w *Watcher[T]) late(what string, bound time.Duration, hint string) error {
	return &trustkeep.Error{Op: "watch", Path: w.o.Paths[0],
		Err: fmt.Errorf("%s has not returned for %v: %w", what, bound, context.DeadlineExceeded), Hint: hint}
}

// Err returns the failure of the last look, nil if the value is that of the current files. It
// never waits.
func (w *Watcher[T]) Err() error {
	if f := w.err.Load(); f != nil {
		return f.error
	}
	return nil
}

// Reload loads the files now, without waiting for a second look. If that fails, it returns the
// reason and the last good value stays. It returns the error of ctx when that ends, also while
// another look or a callback runs, and fs.ErrClosed after Close.
func (w *Watcher[T]) Reload(ctx context.Context) error {
	return w.ask(ctx, request{now: true})
}

func (w *Watcher[T]) ask(ctx context.Context, r request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	r.done = done
	var late <-chan time.Time
	call := w.calls.Load()
	if call%2 == 1 {
		late = w.o.after(closing) // it may be the callback that asks
	}
	select {
	case w.requests <- r:
	case <-w.ctx.Done():
		return fs.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		if w.calls.Load() == call {
			return w.late("a callback", closing, "OnChange and OnError must return, and must not call Reload")
		}
		return w.ask(ctx, r)
	}
	select {
	case err := <-done:
		return err
	case <-w.done:
		return fs.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Watcher[T]) run() {
	defer close(w.done)
	var events <-chan struct{}
	var folders []string
	var clock <-chan time.Time
	stop := func() {}
	defer func() { stop() }()
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()
	if w.o.Ticks == nil {
		folders = foldersOf(w.o.Paths)
		events, stop = follow(folders)
		ticker := time.NewTicker(w.o.Interval)
		defer ticker.Stop()
		clock = ticker.C
		w.look(true) // what happened before anything was followed
	}
	for w.ctx.Err() == nil {
		moved := false
		select {
		case <-w.ctx.Done():
			return
		case r := <-w.requests:
			if r.now {
				r.done <- w.reload()
			} else {
				moved = w.look(r.byTick)
				r.done <- w.Err()
			}
		case <-w.o.Ticks:
			w.look(false)
		case _, ok := <-events:
			if !ok {
				events = nil // looking goes on by the clock
				continue
			}
			moved = w.look(false)
		case <-soon.C:
			moved = w.look(false)
		case <-clock:
			moved = w.look(true)
		}
		if w.o.Ticks != nil {
			continue
		}
		if moved {
			// Links may lead elsewhere now, and folders may be new.
			if now := foldersOf(w.o.Paths); !slices.Equal(now, folders) {
				stop()
				folders = now
				events, stop = follow(folders)
				w.look(true)
			}
		}
		if !w.settled {
			soon.Reset(again)
		}
	}
}

// look reads the files if they may have changed. byTick says that nothing announced a
// change. It reports whether the files are others than before.
func (w *Watcher[T]) look(byTick bool) (moved bool) {
	stamp, place := stampOf(w.o.Paths, w.o.Keep)
	w.looks++
	if byTick && stamp == w.stamp && w.settled && w.looks%unhurried != 0 {
		return false
	}
	moved = stamp != w.stamp
	w.stamp = stamp
	w.examine(stamp, place, false)
	return moved
}

func (w *Watcher[T]) reload() error {
	stamp, place := stampOf(w.o.Paths, w.o.Keep)
	w.stamp = stamp
	w.examine(stamp, place, true)
	return w.Err()
}

// examine reads the files and takes what is new and whole.
func (w *Watcher[T]) examine(stamp, place string, now bool) {
	content, err := w.o.Read()
	if err != nil {
		w.settled = true
		w.fail(err)
		return
	}
	if after, _ := stampOf(w.o.Paths, w.o.Keep); after != stamp && !now {
		w.settled, w.stamp = false, after // changed while it was read
		return
	}
	sum := sha256.Sum256(content)
	switch {
	case sum == w.taken:
		w.settled, w.place = true, place
		w.fail(nil)
		return
	case place == w.place && sum != w.waiting && !now:
		// Written in place, perhaps not to its end.
		w.waiting, w.settled = sum, false
		return
	}
	w.settled = true
	value, err := w.parse(content)
	if w.ctx.Err() != nil {
		return
	}
	if err != nil {
		w.waiting = sum // another look finds the same
		w.fail(err)
		return
	}
	w.taken, w.place, w.waiting = sum, place, [32]byte{}
	w.fail(nil)
	change := w.o.Take(value)
	if change.Empty() || w.ctx.Err() != nil {
		return
	}
	if w.o.Logger != nil {
		w.o.Logger.Info("reloaded", "path", w.o.Paths[0], "change", change)
	}
	if w.o.OnChange != nil {
		w.callback(func() { w.o.OnChange(change) })
	}
}

// parse asks for passwords, and so may wait for somebody who does not answer. That is
// reported, and does not keep Close from ending the watching.
func (w *Watcher[T]) parse(content []byte) (T, error) {
	type result struct {
		value T
		err   error
	}
	parsed := make(chan result, 1)
	go func() {
		value, err := w.o.Parse(content)
		parsed <- result{value, err}
	}()
	late := w.o.after(patience)
	for {
		select {
		case r := <-parsed:
			return r.value, r.err
		case <-late:
			late = nil
			w.fail(w.late("the password source", patience, "the files are not followed until it answers; give it a bound of its own"))
		case <-w.ctx.Done():
			var none T
			return none, fs.ErrClosed
		}
	}
}

func (w *Watcher[T]) callback(f func()) {
	w.calls.Add(1)
	defer w.calls.Add(1)
	f()
}

// fail reports a failure once, and that it has passed.
func (w *Watcher[T]) fail(err error) {
	text := ""
	w.err.Store(nil)
	if err != nil {
		text = err.Error()
		w.err.Store(&failure{err})
	}
	if text == w.told || w.ctx.Err() != nil {
		return
	}
	w.told = text
	if w.o.Logger != nil {
		if err != nil {
			w.o.Logger.Warn("keeping the last good state", "path", w.o.Paths[0], "error", text)
		} else {
			w.o.Logger.Info("good again", "path", w.o.Paths[0])
		}
	}
	if w.o.OnError != nil {
		w.callback(func() { w.o.OnError(err) })
	}
}
