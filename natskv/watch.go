package natskv

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep/environment"
)

// Watch implements environment.Storage. It fails if the server cannot be reached within
// Options.Timeout. After that a lost connection is waited for, for ever, and what is
// behind it shows as a full Update.
func (s *Storage) Watch(ctx context.Context, prefix string) (<-chan environment.Update, error) {
	var first *replay
	err := s.tryFor(ctx, func(ctx context.Context) (err error) {
		first, err = s.replay(ctx, s.filter(prefix), jetstream.DeliverLastPerSubjectPolicy)
		return err
	})
	if err != nil {
		return nil, fail("watch", prefix, err)
	}
	s.starting.Lock()
	defer s.starting.Unlock()
	if err := s.alive(ctx); err != nil {
		first.close()
		return nil, fail("watch", prefix, err)
	}
	updates := make(chan environment.Update)
	w := &watcher{s: s, prefix: prefix, states: make(chan environment.Update)}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closed, cancel)
	s.watchers.Go(func() {
		defer close(w.states)
		w.collect(ctx, first)
	})
	s.watchers.Go(func() {
		defer stop()
		defer cancel()
		defer close(updates)
		deliver(ctx, w.states, updates)
	})
	return updates, nil
}

// watcher turns messages into states that the storage was in.
type watcher struct {
	s      *Storage
	prefix string
	states chan environment.Update
}

// deliver hands updates on. While the reader is busy it merges them, and never keeps the
// other end waiting.
func deliver(ctx context.Context, states <-chan environment.Update, updates chan<- environment.Update) {
	var next environment.Update
	var out chan<- environment.Update
	for {
		select {
		case u, ok := <-states:
			if !ok {
				return
			}
			if out == nil {
				next, out = u, updates
			} else {
				next = merge(next, u)
			}
		case out <- next:
			next, out = environment.Update{}, nil
		case <-ctx.Done():
			return
		}
	}
}

// merge applies an update on top of another that nobody has seen.
func merge(u, later environment.Update) environment.Update {
	if later.Full {
		return later
	}
	for _, r := range later.Records {
		i, found := slices.BinarySearchFunc(u.Records, r.Key, func(r environment.Record, key string) int { return strings.Compare(r.Key, key) })
		switch {
		case u.Full && r.Deleted && found:
			u.Records = slices.Delete(u.Records, i, i+1)
		case u.Full && r.Deleted:
		case found:
			u.Records[i] = r
		default:
			u.Records = slices.Insert(u.Records, i, r)
		}
	}
	return u
}

// collect reads until the context ends, through all connections.
func (w *watcher) collect(ctx context.Context, r *replay) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := w.session(ctx, r)
		r = nil
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errLost) {
			wait = 10 * time.Millisecond
		}
		w.s.o.Logger.Info("a watcher begins anew", "prefix", w.prefix, "reason", err)
		if !pause(ctx, wait) {
			return
		}
		if _, err := w.s.link.connection(ctx); err != nil {
			return
		}
	}
}

// session reads until the connection is lost or the server does not go on. It begins with
// a full update.
func (w *watcher) session(ctx context.Context, r *replay) error {
	if r == nil {
		var err error
		if r, err = w.s.replay(ctx, w.s.filter(w.prefix), jetstream.DeliverLastPerSubjectPolicy); err != nil {
			return err
		}
	}
	defer r.close()
	ctx, cancel := during(r.up, ctx)
	defer cancel()
	changed := make(map[string]entry)
	take := func(e entry) {
		if strings.HasPrefix(e.key, w.prefix) {
			changed[e.key] = e
		}
	}
	for full := true; ; full = false {
		if !full {
			if err := r.next(ctx, take); err != nil {
				return reason(ctx, err)
			}
		}
		if err := r.settle(ctx, take); err != nil {
			return reason(ctx, err)
		}
		if err := w.report(ctx, changed, full); err != nil {
			return reason(ctx, err)
		}
		clear(changed)
	}
}

// reason is the cause of the context's end rather than what it led to.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// report fetches the values and hands over the update.
func (w *watcher) report(ctx context.Context, changed map[string]entry, full bool) error {
	u := environment.Update{Full: full}
	for _, e := range changed {
		if full && e.deleted {
			continue
		}
		r, err := w.s.load(ctx, e)
		if err != nil {
			return err // superseded ones too: what superseded them is the state
		}
		u.Records = append(u.Records, r)
	}
	if !full && len(u.Records) == 0 {
		return nil
	}
	sortRecords(u.Records)
	select {
	case w.states <- u:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
