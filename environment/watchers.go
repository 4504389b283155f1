package environment

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// watchers are told of each change of what the atom has. They close connections that would no longer
// be accepted, which can take as long as a revocation check: in goroutines of their own, they keep
// neither the atom nor each other from anything.
type watchers struct {
	all   map[*watcher]struct{} // under Atom.mu
	ended chan struct{}         // closed with the goroutines
}

type watcher struct {
	changed func(context.Context)

	mu   sync.Mutex
	busy bool // changed is running
	more bool // and has to run once more
}

// mostTelling is how many watchers are busy at once.
const mostTelling = 256

// watch has changed called after each change until stop is called, not twice at once.
func (a *Atom) watch(changed func(context.Context)) (stop func()) {
	w := &watcher{changed: changed}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watchers.all == nil {
		a.watchers.all = make(map[*watcher]struct{})
	}
	a.watchers.all[w] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watchers.all, w)
	}
}

// tellWatchers ends with the context.
func (a *Atom) tellWatchers(ctx context.Context) {
	defer close(a.watchers.ended)
	var telling sync.WaitGroup
	defer telling.Wait()
	slots := make(chan struct{}, mostTelling)
	for {
		changed := a.Changed()
		a.mu.Lock()
		all := slices.Collect(maps.Keys(a.watchers.all))
		a.mu.Unlock()
		for _, w := range all {
			if !w.begin() {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			telling.Go(func() {
				defer func() { <-slots }()
				w.tell(ctx)
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// begin reports whether the watcher has to be told. One that is busy tells itself once more.
func (w *watcher) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.more = w.busy
	begins := !w.busy
	w.busy = true
	return begins
}

func (w *watcher) tell(ctx context.Context) {
	for ctx.Err() == nil {
		w.changed(ctx)
		w.mu.Lock()
		again := w.more
		w.more, w.busy = false, again
		w.mu.Unlock()
		if !again {
			return
		}
	}
}
