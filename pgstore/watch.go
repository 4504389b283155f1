package pgstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/puddle/v2"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

const (
	// Waits between attempts to connect again; each is twice as long as the one before.
	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second
	// rowTime is how long the server may take for the next row of an answer.
	rowTime = 30 * time.Second
	// Anybody who can connect may notify. After vainReads for nothing, vainWait passes before
	// the next.
	vainReads = 8
	vainWait  = 50 * time.Millisecond
)

// Watch implements environment.Storage. The watchers of a Storage share one connection, which
// the pool's configuration and hooks make and which does not count as one of the pool.
func (s *Storage) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, failure("watch", err)
	}
	if err := s.usable(ctx, ""); err != nil {
		return nil, failure("watch", err)
	}
	w := &watcher{paths: asked, box: watching.NewBox(), fresh: true, first: make(chan error, 1)}
	if err := s.hub.join(w); err != nil {
		return nil, failure("watch", err)
	}
	select {
	case err = <-w.first:
	case <-ctx.Done():
		err = failure("watch", ctx.Err())
	}
	if err != nil {
		s.hub.leave(w)
		return nil, err
	}
	context.AfterFunc(ctx, func() { s.hub.leave(w) })
	return w.box.Updates(), nil
}

// watcher is one reader.
type watcher struct {
	paths watching.Paths
	fresh bool       // everything has to be read for it
	first chan error // takes whether it was, the first time

	mu    sync.Mutex // of what follows
	begun bool       // the first reading is done
	ended bool
	box   watching.Box
}

// put hands an update over. An error before the first reading is that of Watch.
func (w *watcher) put(u environment.Update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if w.begun || u.Full {
		w.box.Put(u)
	}
	if !w.begun && (u.Full || u.Err != nil) {
		w.begun, w.ended = u.Full, !u.Full
		w.first <- u.Err
	}
}

func (w *watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ended = true
	if !w.begun {
		w.first <- err
		return
	}
	w.box.Close(err)
}

// hub reads for all watchers of a Storage, on one connection, while there are any.
type hub struct {
	s *Storage

	mu       sync.Mutex
	watchers map[*watcher]bool
	running  sync.WaitGroup
	runs     bool
	closed   bool
	rouse    context.CancelFunc // ends what the hub waits for
	drop     context.CancelFunc // ends the session
}

// join adds a watcher, whose first reading follows.
func (h *hub) join(w *watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	h.watchers[w] = true
	if !h.runs {
		h.runs = true
		h.running.Go(h.run)
	}
	h.wake()
	return nil
}

// leave removes a watcher and closes its channel.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	delete(h.watchers, w)
	if len(h.watchers) == 0 && h.drop != nil {
		h.drop()
	}
	h.mu.Unlock()
	w.end(nil)
}

// close ends all watchers, and returns when the connection is closed.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.running.Wait()
}

func (h *hub) wake() {
	if h.rouse != nil {
		h.rouse()
	}
}

// waiting returns a context that ends when a watcher joins, the last one leaves, or the Storage is
// closed, or after a time. It has ended if there is something to do.
func (h *hub) waiting(session context.Context, atMost time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(session, atMost)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rouse = cancel
	idle := len(h.watchers) == 0
	for w := range h.watchers {
		idle = idle || w.fresh
	}
	if idle {
		cancel()
	}
	return ctx, cancel
}

func (h *hub) all() []*watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.watchers))
}

func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

// ends says whether the hub ends, since there are no watchers. The next one starts it again.
func (h *hub) ends() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = len(h.watchers) > 0
	return !h.runs
}

// run reads until there are no watchers or the Storage is closed.
func (h *hub) run() {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		worked, err := h.session()
		if errors.Is(err, puddle.ErrClosedPool) {
			h.s.close()
		}
		if h.s.closed.Err() != nil {
			h.mu.Lock()
			h.closed = true
			h.mu.Unlock()
			for _, w := range h.all() {
				h.remove(w)
				w.end(failure("watch", fs.ErrClosed))
			}
			return
		}
		if worked {
			wait = firstWait
		}
		if h.ends() {
			return
		}
		if err == nil {
			continue
		}
		for _, w := range h.all() {
			w.put(environment.Update{Err: failure("watch", err)})
			w.fresh = true
			if !w.begun { // its Watch has failed
				h.remove(w)
			}
		}
		h.pause(wait)
	}
}

// pause waits until there is reason to connect again.
func (h *hub) pause(wait time.Duration) {
	ctx, cancel := context.WithTimeout(h.s.closed, wait)
	defer cancel()
	h.mu.Lock()
	h.rouse = cancel
	for w := range h.watchers {
		if !w.begun {
			cancel()
		}
	}
	h.mu.Unlock()
	<-ctx.Done()
}

// session reads on one connection until an error, and says whether it came to report anything.
func (h *hub) session() (worked bool, err error) {
	ctx, cancel := context.WithCancel(h.s.closed)
	defer cancel()
	h.mu.Lock()
	h.drop = cancel
	h.mu.Unlock()
	defer func() {
		if ctx.Err() != nil { // nobody watches, or nobody did for a moment
			err = nil
		}
	}()
	if len(h.all()) == 0 {
		return false, nil
	}
	conn, err := h.connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		// The server may be gone, and nothing waits for its farewell.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	r := reader{session: ctx, sql: h.s.sql.newSince, conn: conn}
	vain := 0
	for patience := rowTime; ; {
		all := h.all()
		if len(all) == 0 {
			return worked, nil
		}
		before := r.last
		if err := r.read(all, patience); err != nil {
			return worked, err
		}
		worked = true
		if vain++; r.last != before {
			vain = 0
		}
		if vain > vainReads {
			ctx, cancel := h.waiting(ctx, vainWait)
			<-ctx.Done()
			cancel()
		}
		idle, err := h.listen(ctx, conn)
		if err != nil {
			return worked, err
		}
		if patience = rowTime; idle {
			patience, vain = h.s.o.Heartbeat, 0
		}
	}
}

// connect takes a connection that the pool has made, out of it.
func (h *hub) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, max(h.s.o.Heartbeat, 5*time.Second))
	defer cancel()
	taken, err := h.s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := taken.Hijack()
	// A standby takes no LISTEN: then the heartbeat finds what is new.
	if _, err := conn.Exec(ctx, h.s.sql.listen); err != nil && codeOf(err) != readOnly {
		conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// listen waits for notifications, and takes all that have come. It is idle if none came in time.
func (h *hub) listen(session context.Context, conn *pgx.Conn) (idle bool, err error) {
	ctx, cancel := h.waiting(session, h.s.o.Heartbeat)
	defer cancel()
	_, err = conn.WaitForNotification(ctx)
	if conn.IsClosed() || err != nil && ctx.Err() == nil {
		return false, errors.Join(err, session.Err())
	}
	idle = err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded)
	cancel()
	for err == nil {
		_, err = conn.WaitForNotification(ctx) // what has come, since the context has ended
	}
	return idle, nil
}

// reader reads the tables for all watchers.
type reader struct {
	session context.Context
	sql     string
	conn    *pgx.Conn
	last    int64 // the revision up to which everything was read
}

// read hands over everything to those who have not got it, and what is new to the others. The server
// may take that long to begin an answer.
func (r *reader) read(all []*watcher, patience time.Duration) error {
	var fresh, others []*watcher
	for _, w := range all {
		if w.fresh {
			fresh = append(fresh, w)
		} else {
			others = append(others, w)
		}
	}
	if len(others) > 0 {
		last, records, err := r.query(r.last, others, patience)
		if err != nil {
			return err
		}
		if last < r.last {
			// The database was put back to what it once was.
			fresh = all
		} else {
			r.last = last
			deliver(others, records, false)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	last, records, err := r.query(0, fresh, rowTime)
	if err != nil {
		return err
	}
	deliver(fresh, records, true)
	if len(fresh) == len(all) {
		r.last = last // the others have not got what came between
	}
	return nil
}

// query asks for what was written after a revision and which some watcher asks for, at one moment.
func (r *reader) query(after int64, watchers []*watcher, patience time.Duration) (int64, []environment.Record, error) {
	ctx, cancel := context.WithCancelCause(r.session)
	defer cancel(nil)
	timer := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer timer.Stop()
	keys, folders := []string{}, []string{}
	var paths []string
	for _, w := range watchers {
		paths = append(paths, w.paths...)
	}
	union, err := watching.ParsePaths(paths)
	if err != nil {
		return 0, nil, err
	}
	for _, p := range union {
		if p == "" || strings.HasSuffix(p, "/") {
			folders = append(folders, p)
		} else {
			keys = append(keys, p)
		}
	}
	rows, err := r.conn.Query(ctx, r.sql, after, keys, folders)
	if err != nil {
		return 0, nil, silence(ctx, err)
	}
	defer rows.Close()
	var last *int64
	var out []environment.Record
	for rows.Next() {
		timer.Reset(rowTime)
		record, ok, err := scan(rows, &last)
		if err != nil {
			return 0, nil, err
		}
		if ok {
			out = append(out, record)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, nil, silence(ctx, err)
	}
	if last == nil {
		return 0, nil, errStateless
	}
	return *last, out, nil
}

// errSilent: the server says nothing.
var errSilent = errors.New("no answer of the server in time")

func silence(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errors.Join(errSilent, err)
	}
	return err
}

// deliver gives each watcher what it asks for.
func deliver(watchers []*watcher, records []environment.Record, full bool) {
	for i, w := range watchers {
		u := environment.Update{Full: full}
		for _, r := range records {
			if !w.paths.Match(r.Key) || full && r.Deleted {
				continue
			}
			if i > 0 {
				r.Value = bytes.Clone(r.Value) // nobody shares it
			}
			u.Records = append(u.Records, r)
		}
		w.fresh = false
		w.put(u)
	}
}
