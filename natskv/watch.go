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
// Options.Timeout. After that it waits for ever for whatever it lacks: a connection, a login
// that is accepted, the bucket, the right to read it; Update.Err says which. It goes on after
// the last message that it has read. If that one is gone, such as after a purge, and if the
// bucket is another one, a full Update follows.
func (s *Storage) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, fail("watch", "", err)
	}
	w := &watcher{s: s, paths: asked, box: watching.NewBox()}
	var first *replay
	err = s.try(ctx, s.note)
	if err == nil {
		err = s.tryFor(ctx, func(ctx context.Context) (err error) {
			first, err = w.replay(ctx)
			return err
		})
	}
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
	last  message // up to which everything was reported; none if its revision is zero
	told  string  // the error that the reader knows of
}

// message tells the messages of all streams apart.
type message struct {
	revision uint64
	time     time.Time
}

func (w *watcher) replay(ctx context.Context) (*replay, error) {
	return w.s.replay(ctx, w.s.filters(w.paths), jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
}

// maxResumed is how many messages are read after the last one before reading the last
// version of each record is cheaper.
const maxResumed = 1000

// resume begins after the last message, or anew where that is not possible.
func (w *watcher) resume(ctx context.Context) (r *replay, full bool, err error) {
	if w.last.revision > 0 {
		r, err := w.s.replay(ctx, w.s.filters(w.paths), jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: w.last.revision,
		})
		if err != nil {
			return nil, false, err
		}
		found, err := r.finds(ctx, w.last)
		if found {
			return r, false, nil
		}
		r.close()
		if err != nil {
			return nil, false, err
		}
	}
	r, err = w.replay(ctx)
	return r, true, err
}

// collect reads until the context ends, through all connections.
func (w *watcher) collect(ctx context.Context, r *replay) {
	const soon = 10 * time.Millisecond
	for wait := soon; ; wait = min(2*wait, 5*time.Second) {
		worked, err := w.session(ctx, r)
		r = nil
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errPurged) {
			w.last = message{}
		} else {
			w.tell(err)
		}
		if worked {
			wait = soon
		}
		w.s.regain(err)
		if !pause(ctx, wait) || !w.connected(ctx) {
			return
		}
	}
}

// connected waits for a connection, and tells the reader why there is none.
func (w *watcher) connected(ctx context.Context) bool {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		_, err := w.s.link.connection(wait)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			w.tell(err)
		}
	}
	return false
}

// tell says why changes do not arrive, once for each reason.
func (w *watcher) tell(err error) {
	err = fail("watch", w.paths.String(), w.s.explain(err))
	if err.Error() == w.told {
		return
	}
	w.told = err.Error()
	w.s.o.Logger.Warn("changes do not arrive", "error", err)
	w.box.Put(environment.Update{Err: err})
}

// session reads until the connection is lost or the server does not go on, and says whether
// it came to report anything.
func (w *watcher) session(ctx context.Context, r *replay) (worked bool, err error) {
	full := true
	if r == nil {
		if r, full, err = w.resume(ctx); err != nil {
			return false, err
		}
	}
	defer r.close()
	ctx, cancel := during(r.up, ctx)
	defer cancel()
	changed := make(map[string]entry)
	take := func(e entry) { changed[e.key] = e }
	for ; ; full = false {
		read := r.settle
		if worked {
			read = r.follow
		}
		if err := read(ctx, take); err != nil {
			return worked, reason(ctx, err)
		}
		if err := w.report(ctx, changed, full); err != nil {
			return worked, reason(ctx, err)
		}
		if r.seen.revision > 0 {
			w.last = r.seen
		}
		worked = true
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
	if u.Err = w.s.bucketFlaw(); u.Err != nil {
		u.Err = fail("watch", w.paths.String(), u.Err)
	}
	if w.told != "" {
		w.told = ""
		w.s.o.Logger.Info("changes arrive again", "paths", w.paths.String())
	}
	w.box.Put(u)
	return nil
}
