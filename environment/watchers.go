package environment

import (
	"context"
	"maps"
	"slices"
)

// watchers are told of each change of what the atom has. They close connections that would no longer
// be accepted, which can take as long as a revocation check: in a goroutine of their own, they keep
// the atom from nothing.
type watchers struct {
	all   map[*watcher]struct{} // under Atom.mu
	ended chan struct{}         // closed with the goroutine
}

type watcher struct{ changed func(context.Context) }

// watch has changed called after each change until stop is called.
func (a *Atom) watch(changed func(context.Context)) (stop func()) {
	w := &watcher{changed}
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
	for {
		changed := a.Changed()
		a.mu.Lock()
		all := slices.Collect(maps.Keys(a.watchers.all))
		a.mu.Unlock()
		for _, w := range all {
			if ctx.Err() != nil {
				return
			}
			w.changed(ctx)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
