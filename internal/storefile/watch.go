package storefile

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// WatchOptions configures a Watcher.
type WatchOptions[T any] struct {
	// Stamp sums up what stat says of the files, and which files they are; it
	// must differ where Read might. Place is the part of it that tells a
	// replaced file from one written in place.
	Stamp func() (stamp, place string)
	// Read returns the content, all of it.
	Read func() ([]byte, error)
	// Parse makes the value of a content; it may keep it. It is called on the
	// watcher's goroutine, and by NewWatcher and Reload.
	Parse func(content []byte) (T, error)
	// Folders are where changes announce themselves.
	Folders func() []string

	// Changed is told of each new value, Failed of each failure once, and with
	// nil when it has passed. Both may be nil, and are called in turn.
	Changed func(T)
	Failed  func(error)
	// Logger gets the same; nil gets nothing.
	Logger *slog.Logger
	// Interval between looks; zero is a second.
	Interval time.Duration
	// Ticks replaces the clock of Interval and the events, for tests. Each tick
	// is one look.
	Ticks <-chan struct{}
}

// Watcher holds the last good value. It is safe for concurrent use.
type Watcher[T any] struct {
	o      WatchOptions[T]
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // held while looking
	stamp   string     // at the last look that read
	place   string     // of what was last taken
	taken   [32]byte   // SHA-256 of what was last taken
	waiting [32]byte   // of what was found once, in a file written in place
	settled bool       // nothing is awaited
	looks   int
	failure string // the one that was reported
	err     error
}

// NewWatcher takes the files as they are, which must succeed, and follows them until
// Close.
func NewWatcher[T any](o WatchOptions[T]) (*Watcher[T], T, error) {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	w := &Watcher[T]{o: o, done: make(chan struct{})}
	// Stamped first: what changes in between is seen as a change.
	w.stamp, w.place = o.Stamp()
	var none T
	content, err := o.Read()
	if err != nil {
		return nil, none, err
	}
	w.taken, w.settled = sha256.Sum256(content), true
	value, err := o.Parse(content)
	if err != nil {
		return nil, none, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go w.run(ctx)
	return w, value, nil
}

// Close ends the watching and returns when the goroutine has ended.
func (w *Watcher[T]) Close() error {
	w.cancel()
	<-w.done
	return nil
}

// Err is the failure of the last look, nil if the value is that of the files.
func (w *Watcher[T]) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// again is how soon a file that is being written is looked at again.
const again = 20 * time.Millisecond

func (w *Watcher[T]) run(ctx context.Context) {
	defer close(w.done)
	if w.o.Ticks != nil {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.o.Ticks:
				w.look(false)
			}
		}
	}
	folders := w.o.Folders()
	events, stop := follow(folders)
	defer func() { stop() }()
	w.look(true) // what happened before anything was followed
	ticker := time.NewTicker(w.o.Interval)
	defer ticker.Stop()
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()
	for {
		byTick := false
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil // looking goes on by the clock
				continue
			}
		case <-soon.C:
		case <-ticker.C:
			byTick = true
		}
		if w.look(byTick) {
			// Links may lead elsewhere now, and folders may be new.
			if now := w.o.Folders(); !slices.Equal(now, folders) {
				stop()
				folders = now
				events, stop = follow(folders)
				w.look(true)
			}
		}
		if w.awaits() {
			soon.Reset(again)
		}
	}
}

func (w *Watcher[T]) awaits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.settled
}

// unhurried is how many looks by the clock may trust an unchanged stamp: some file
// systems keep times too coarse to tell, so now and then the content is read.
const unhurried = 30

// look reads the files if they may have changed. byTick says that nothing announced a
// change. It reports whether the files are others than before.
func (w *Watcher[T]) look(byTick bool) (moved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stamp, place := w.o.Stamp()
	w.looks++
	if byTick && stamp == w.stamp && w.settled && w.looks%unhurried != 0 {
		return false
	}
	moved = stamp != w.stamp
	w.stamp = stamp
	w.examine(stamp, place, false)
	return moved
}

// Reload takes the files as they are now, without waiting for a second look. The
// error is that of taking them; the last good value then stays.
func (w *Watcher[T]) Reload(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	stamp, place := w.o.Stamp()
	w.stamp = stamp
	w.examine(stamp, place, true)
	return w.err
}

// examine reads the files and takes what is new and whole.
func (w *Watcher[T]) examine(stamp, place string, now bool) {
	content, err := w.o.Read()
	if err != nil {
		w.settled = true
		w.fail(err)
		return
	}
	if after, _ := w.o.Stamp(); after != stamp && !now {
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
	value, err := w.o.Parse(content)
	if err != nil {
		w.waiting = sum // another look finds the same
		w.fail(err)
		return
	}
	w.taken, w.place, w.waiting = sum, place, [32]byte{}
	w.fail(nil)
	if w.o.Logger != nil {
		w.o.Logger.Info("reloaded", "what", w.o.Folders())
	}
	if w.o.Changed != nil {
		w.o.Changed(value)
	}
}

// fail reports a failure once, and that it has passed.
func (w *Watcher[T]) fail(err error) {
	w.err = err
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == w.failure {
		return
	}
	w.failure = text
	if w.o.Logger != nil {
		if err != nil {
			w.o.Logger.Warn("keeping the last good state", "error", text)
		} else {
			w.o.Logger.Info("good again")
		}
	}
	if w.o.Failed != nil {
		w.o.Failed(err)
	}
}
