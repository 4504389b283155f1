package dirstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

// Watch implements environment.Storage. A damaged record is reported with Err set. Each look
// that succeeds is told; one that fails, such as one at a directory that was replaced, is
// an Update with its error, and the next tick looks again.
func (d *Directory) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, fail("watch", "", err)
	}
	if err := d.alive(ctx); err != nil {
		return nil, fail("watch", asked.String(), err)
	}
	// Close does not wait for a lock that a look waits for.
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.closed, cancel)
	done := func() { stop(); cancel() }
	w := &watcher{d: d, paths: asked, box: watching.NewBox(), known: make(map[string]seen)}
	changed := d.changes()
	first, err := w.look(ctx)
	if err != nil {
		done()
		return nil, fail("watch", asked.String(), err)
	}
	first.Full = true
	w.box.Put(first)
	d.mu.Lock()
	if d.closed.Err() != nil {
		d.mu.Unlock()
		done()
		return nil, fail("watch", asked.String(), fs.ErrClosed)
	}
	d.watchers.Add(1)
	d.mu.Unlock()
	go func() {
		defer d.watchers.Done()
		defer done()
		w.run(ctx, changed)
	}()
	return w.box.Updates(), nil
}

// changes returns what is closed with the next write through this Directory.
func (d *Directory) changes() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// watcher knows what its reader has been told.
type watcher struct {
	d     *Directory
	paths watching.Paths
	box   watching.Box
	known map[string]seen
	count uint64 // of writes, at the last look
	calm  bool   // nothing was being written then
}

type seen struct {
	info     fs.FileInfo
	revision uint64
	time     time.Time // tells apart versions that were put back by hand
	deleted  bool
	err      string
}

func (w *watcher) run(ctx context.Context, changed <-chan struct{}) {
	ticks := w.d.o.Ticks
	if ticks == nil {
		ticker := time.NewTicker(w.d.o.Poll)
		defer ticker.Stop()
		ticks = ticker.C
	}
	failed := ""
	for {
		select {
		case <-changed:
		case <-ticks:
		case <-ctx.Done():
			var why error
			if w.d.closed.Err() != nil {
				why = fail("watch", w.paths.String(), fs.ErrClosed)
			}
			w.box.Close(why)
			return
		}
		changed = w.d.changes()
		// What cannot be read now is read at the next tick; the reader has the
		// last good state until then.
		u, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			failed = ""
			w.box.Put(u)
		case err.Error() != failed:
			failed = err.Error()
			w.box.Put(environment.Update{Err: fail("watch", w.paths.String(), err)})
		}
	}
}

// attempts is how often a look is repeated because of writers that came in between,
// before it keeps them away.
const attempts = 3

// look finds what has changed since the last look: the difference to a state that was.
func (w *watcher) look(ctx context.Context) (environment.Update, error) {
	if err := w.d.lock.inPlace(); err != nil {
		return environment.Update{}, err
	}
	count, last, err := w.d.lock.count()
	if err != nil || w.calm && count == w.count {
		return environment.Update{}, err
	}
	for range attempts {
		u, known, err := w.compare(ctx, last)
		if err != nil {
			return u, err
		}
		after, lastAfter, err := w.d.lock.count()
		if err != nil {
			return u, err
		}
		if after == count && count%2 == 0 {
			w.known, w.count, w.calm = known, count, true
			return u, nil
		}
		count, last = after, lastAfter
	}
	// Somebody writes all the time, or died writing.
	if !w.d.readOnly {
		unlock, err := w.d.lock.exclusive(ctx)
		if err != nil {
			return environment.Update{}, err
		}
		defer unlock()
		if count, last, err = w.d.lock.held(); err != nil {
			return environment.Update{}, err
		}
	}
	u, known, err := w.compare(ctx, last)
	if err != nil {
		return u, err
	}
	w.known, w.count, w.calm = known, count, count%2 == 0
	return u, nil
}

// walk visits the records that the watcher asks for.
func (w *watcher) walk(ctx context.Context, f func(key string, info fs.FileInfo) error) error {
	for _, path := range w.paths {
		if path == "" || strings.HasSuffix(path, "/") {
			if err := w.d.walk(ctx, path, f); err != nil {
				return err
			}
			continue
		}
		info, err := os.Lstat(filepath.Join(w.d.folder(path), recordName))
		if err == nil {
			err = f(path, info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// recent is how long before the last write a file may have been written for its time and
// size to say nothing: file systems count time in steps, and use the number of a file
// that was removed again.
const recent = 2 * time.Second

// compare reads the records whose files are others than known, and returns what is then
// known.
func (w *watcher) compare(ctx context.Context, lastWrite time.Time) (environment.Update, map[string]seen, error) {
	var u environment.Update
	now := make(map[string]seen, len(w.known))
	err := w.walk(ctx, func(key string, info fs.FileInfo) error {
		old, ok := w.known[key]
		if ok && os.SameFile(info, old.info) && info.Size() == old.info.Size() && info.ModTime().Equal(old.info.ModTime()) &&
			info.ModTime().Before(lastWrite.Add(-recent)) {
			now[key] = old
			return nil
		}
		s, err := w.d.read(key)
		is := seen{info: info, revision: s.Revision, time: s.Time, deleted: s.Deleted}
		if err != nil {
			is.err = err.Error()
			s = stored{Record: environment.Record{Key: key, Revision: old.revision, Err: err}}
			is.revision, is.time = old.revision, old.time
		}
		now[key] = is
		if is.revision == old.revision && is.time.Equal(old.time) && is.err == old.err || !ok && is.deleted {
			return nil
		}
		u.Records = append(u.Records, s.Record)
		return nil
	})
	if err != nil {
		return environment.Update{}, nil, err
	}
	for key, old := range w.known {
		// Folders that were removed by hand.
		if _, ok := now[key]; !ok && !old.deleted {
			u.Records = append(u.Records, environment.Record{Key: key, Revision: old.revision, Deleted: true})
		}
	}
	sortRecords(u.Records)
	return u, now, nil
}
