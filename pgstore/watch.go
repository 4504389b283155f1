package pgstore

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

// Waits between attempts to connect again; each is twice as long as the one before.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second
)

// Watch implements environment.Storage.
func (s *Storage) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, err
	}
	if err := s.usable(ctx, ""); err != nil {
		return nil, failure("watch", err)
	}
	w := &watcher{s: s, box: watching.NewBox(), keys: []string{}, folders: []string{}}
	for _, p := range asked {
		if p == "" || strings.HasSuffix(p, "/") {
			w.folders = append(w.folders, p)
		} else {
			w.keys = append(w.keys, p)
		}
	}
	if err := w.connect(ctx); err != nil {
		return nil, failure("watch", err)
	}
	s.follow.Go(func() { w.run(ctx) })
	return w.box.Updates(), nil
}

// watcher reads what is new whenever it is woken, on a connection of its own.
type watcher struct {
	s             *Storage
	box           watching.Box
	keys, folders []string

	conn *pgx.Conn // nil after an error
	last uint64    // the revision up to which everything was read
}

// run follows until the context ends or the storage is closed.
func (w *watcher) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.s.closed, cancel)()
	wait := firstWait
	for ctx.Err() == nil {
		err := error(nil)
		if w.conn == nil {
			err = w.connect(ctx)
		}
		if err == nil {
			wait = firstWait
			err = w.listen(ctx)
		}
		w.disconnect()
		if ctx.Err() != nil {
			break
		}
		w.box.Put(environment.Update{Err: failure("watch", err)})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxWait)
	}
	if w.s.closed.Err() != nil {
		w.box.Close(fs.ErrClosed)
	} else {
		w.box.Close(nil)
	}
}

// connect connects, listens and reads everything: first listens, so that nothing is missed.
func (w *watcher) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(w.s.o.Heartbeat, 5*time.Second))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, w.s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	w.conn, w.last = conn, 0
	if _, err := conn.Exec(ctx, w.s.sql.listen); err != nil {
		w.disconnect()
		return err
	}
	if err := w.read(ctx, true); err != nil {
		w.disconnect()
		return err
	}
	return nil
}

func (w *watcher) disconnect() {
	if w.conn == nil {
		return
	}
	// The server may be gone, and nothing waits for its farewell.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	w.conn.Close(ctx)
	w.conn = nil
}

// listen reads what is new as often as it is woken, or the heartbeat says so, until an error.
func (w *watcher) listen(ctx context.Context) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, w.s.o.Heartbeat)
		_, err := w.conn.WaitForNotification(waiting)
		idle := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !idle || w.conn.IsClosed() {
			return errors.Join(err, ctx.Err())
		}
		answer, cancel := context.WithTimeout(ctx, w.s.o.Heartbeat)
		err = w.read(answer, false)
		cancel()
		if err != nil {
			return err
		}
	}
}

// read puts what was written after the last revision that is known, at one moment.
func (w *watcher) read(ctx context.Context, full bool) error {
	return pgx.BeginTxFunc(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var last uint64
		if err := tx.QueryRow(ctx, w.s.sql.last).Scan(&last); err != nil {
			return err
		}
		if last < w.last {
			// The database was put back to what it once was.
			full, w.last = true, 0
		}
		u := environment.Update{Full: full}
		if full || last > w.last {
			records, err := w.s.records(ctx, tx, w.s.sql.newSince, int64(w.last), w.keys, w.folders)
			if err != nil {
				return err
			}
			for _, r := range records {
				if !full || !r.Deleted {
					u.Records = append(u.Records, r)
				}
			}
		}
		w.last = last
		w.box.Put(u)
		return nil
	})
}
