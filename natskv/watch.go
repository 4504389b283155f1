package natskv

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

// Watch implements environment.Storage. It fails if the server cannot be reached within
// Options.Timeout. After that a lost connection is waited for, for ever, and what is
// behind it shows as a full Update.
func (s *Storage) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, fail("watch", "", err)
	}
	w := &watcher{s: s, paths: asked, box: watching.NewBox()}
	var first *replay
	err = s.tryFor(ctx, func(ctx context.Context) (err error) {
		first, err = w.replay(ctx)
		return err
	})
	if err != nil {
		return nil, fail("watch", asked.String(), err)
	}
	s.starting.Lock()
	defer s.starting.Unlock()
	if err := s.alive(ctx); err != nil {
		first.close()
		return nil, fail("watch", asked.String(), err)
	}
	s.watchers.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.closed, cancel)()
		w.collect(ctx, first)
		if s.closed.Err() != nil {
			w.box.Close(fail("watch", asked.String(), fs.ErrClosed))
		} else {
			w.box.Close(nil)
		}
	})
	return w.box.Updates(), nil
}

// watcher turns messages into states that the storage was in.
type watcher struct {
	s     *Storage
	paths watching.Paths
	box   watching.Box
}

func (w *watcher) replay(ctx context.Context) (*replay, error) {
	return w.s.replay(ctx, w.s.filters(w.paths), jetstream.DeliverLastPerSubjectPolicy)
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
		w.s.o.Logger.Info("a watcher begins anew", "paths", w.paths.String(), "reason", err)
		w.box.Put(environment.Update{Err: fail("watch", w.paths.String(), err)})
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
		if r, err = w.replay(ctx); err != nil {
			return err
		}
	}
	defer r.close()
	ctx, cancel := during(r.up, ctx)
	defer cancel()
	changed := make(map[string]entry)
	take := func(e entry) { changed[e.key] = e }
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
	sortRecords(u.Records)
	w.box.Put(u)
	return nil
}
