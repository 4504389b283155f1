package natskv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Options configures a Storage. The zero value is fine.
type Options struct {
	// Bucket is the name of the key-value bucket: letters, digits, "-" and "_". The
	// parts of large values are in a second one, with "-chunks" behind its name. Empty
	// is "trustkeep".
	Bucket string
	// Replicas of the buckets on the servers of a cluster, at most 5. If zero, 1, the
	// only value for a single server. Used when the buckets are created.
	Replicas int
	// History is how many versions of a record are kept, from environment.MinVersions
	// to 64, the most that a NATS key-value bucket takes. Zero is 64. It counts when the
	// buckets are created.
	History int
	// Memory keeps the buckets in the memory of the servers, instead of in files. It
	// counts when the buckets are created.
	Memory bool
	// Heartbeat is how often a server that has nothing to send says so to each watcher,
	// which passes it on as an empty Update. A link is taken for dead, and made anew, after
	// two and a half. If zero, 10 seconds; at least 100 milliseconds.
	Heartbeat time.Duration
	// Timeout is how long a call tries to reach the servers, within its context, before
	// it fails. Zero is 15 seconds.
	Timeout time.Duration
	// KeepUploads is how long the parts of a large value are kept without a record that
	// needs them, such as those of an upload that has not finished. If zero, an hour.
	// Use the same value in all programs, longer than any upload takes.
	KeepUploads time.Duration
	// Logger is told of lost connections of watchers, and of parts that could not be
	// removed. If nil, nothing is logged.
	Logger *slog.Logger

	check time.Duration // checkEvery, but in tests
}

// maxReplicas is the most that NATS keeps of a stream.
const maxReplicas = 5

// minHeartbeat is what servers take.
const minHeartbeat = 100 * time.Millisecond

// silence is how long nothing is heard before a link counts as dead.
func (o Options) silence() time.Duration { return o.Heartbeat * 5 / 2 }

func (o Options) withDefaults() (Options, error) {
	if o.Bucket == "" {
		o.Bucket = "trustkeep"
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.History == 0 {
		o.History = jetstream.KeyValueMaxHistory
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 10 * time.Second
	}
	if o.check == 0 {
		o.check = checkEvery
	}
	if o.KeepUploads <= 0 {
		o.KeepUploads = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !validBucket(o.Bucket) {
		return o, fmt.Errorf("bucket name %q: %w", trustkeep.Printable(o.Bucket), trustkeep.ErrInvalid)
	}
	if o.Heartbeat < minHeartbeat {
		return o, fmt.Errorf("a heartbeat every %v, %v at least: %w", o.Heartbeat, minHeartbeat, trustkeep.ErrInvalid)
	}
	if o.Replicas < 1 || o.Replicas > maxReplicas {
		return o, fmt.Errorf("%d replicas, from 1 to %d are possible: %w", o.Replicas, maxReplicas, trustkeep.ErrInvalid)
	}
	if o.History < environment.MinVersions || o.History > jetstream.KeyValueMaxHistory {
		return o, fmt.Errorf("history of %d versions, from %d to %d are possible: %w", o.History, environment.MinVersions, jetstream.KeyValueMaxHistory, trustkeep.ErrInvalid)
	}
	return o, nil
}

// Storage keeps records in a bucket of NATS JetStream. Make one with Connect or Open. It
// is safe for concurrent use.
type Storage struct {
	o       Options
	conn    func() *nats.Conn // a closure: printed, a connection shows its URLs and passwords
	ownConn bool
	js      jetstream.JetStream
	records jetstream.Stream
	chunks  jetstream.Stream
	copies  atomic.Int64 // of the records

	link     *link
	closed   context.Context
	close    context.CancelFunc
	starting sync.Mutex // of watchers, which Close waits for
	watchers sync.WaitGroup
	live     versions

	mu    sync.Mutex
	flaw  error                 // of the buckets
	known *jetstream.StreamInfo // of the records, when it was last looked at
}

var _ environment.Storage = (*Storage)(nil)

// Open opens the storage in the buckets that the options name, and creates them where
// they do not exist. Close leaves the connection open.
//
// The connection must try to reconnect for ever, whatever the server says
// (nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort()), since nothing else ends a Watch;
// otherwise the error wraps trustkeep.ErrInvalid, as it does without a
// connection and for options out of range. It wraps trustkeep.ErrUnsupported for buckets that
// exist and are not fit to keep records. If the connection is closed, the storage is.
func Open(ctx context.Context, conn *nats.Conn, o Options) (*Storage, error) {
	if conn == nil {
		return nil, &trustkeep.Error{Op: "natskv: open", Path: o.Bucket, Err: fmt.Errorf("no connection: %w", trustkeep.ErrInvalid)}
	}
	s, err := open(ctx, conn, conn.LastError, o)
	if err != nil {
		return nil, &trustkeep.Error{Op: "natskv: open", Path: o.Bucket, Err: err}
	}
	return s, nil
}

func open(ctx context.Context, conn *nats.Conn, why func() error, o Options) (*Storage, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if !conn.Opts.AllowReconnect || conn.Opts.MaxReconnect >= 0 {
		return nil, fmt.Errorf("the connection would stop reconnecting; it needs nats.MaxReconnects(-1): %w", trustkeep.ErrInvalid)
	}
	if !conn.Opts.IgnoreAuthErrorAbort {
		return nil, fmt.Errorf("the connection would end after two refused logins; it needs nats.IgnoreAuthErrorAbort(): %w", trustkeep.ErrInvalid)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	s := &Storage{o: o, conn: func() *nats.Conn { return conn }, js: js}
	s.closed, s.close = context.WithCancel(context.Background())
	s.link = newLink(conn, why, s.close)
	err = s.try(ctx, func(ctx context.Context) error {
		if s.records, err = s.bucket(ctx, recordBucket); err != nil {
			return err
		}
		s.chunks, err = s.bucket(ctx, chunkBucket)
		return err
	})
	if err != nil {
		s.close()
		s.link.stop()
		return nil, err
	}
	s.known = s.records.CachedInfo()
	s.copies.Store(int64(s.known.Config.Replicas))
	s.watchers.Go(s.inspect)
	return s, nil
}

// replicas is how many servers keep the records.
func (s *Storage) replicas() int { return int(s.copies.Load()) }

// Close ends all watchers and returns when they have ended; then it closes the
// connection, if Connect has made it. Calls after it fail with fs.ErrClosed.
func (s *Storage) Close() error {
	s.starting.Lock()
	s.close()
	s.starting.Unlock()
	s.watchers.Wait()
	s.link.stop()
	if s.ownConn {
		s.conn().Close()
	}
	return nil
}

func (s *Storage) alive(ctx context.Context) error {
	if s.closed.Err() != nil {
		return fs.ErrClosed
	}
	return ctx.Err()
}

func fail(op, key string, err error) error {
	var conflict *environment.ConflictError
	if errors.As(err, &conflict) {
		return err
	}
	return &trustkeep.Error{Op: "natskv: " + op, Alias: key, Err: err}
}

// Get implements environment.Storage.
func (s *Storage) Get(ctx context.Context, key string) (environment.Record, error) {
	r, err := s.get(ctx, key)
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return environment.Record{}, fail("get", key, err)
	}
	return r, nil
}

func (s *Storage) get(ctx context.Context, key string) (environment.Record, error) {
	if err := environment.CheckCapitalKey(key); err != nil {
		return environment.Record{}, err
	}
	for {
		e, err := s.last(ctx, key)
		if err != nil {
			return environment.Record{}, err
		}
		if e.deleted || e.revision == 0 {
			return environment.Record{}, trustkeep.ErrNotFound
		}
		r, err := s.load(ctx, e)
		if !errors.Is(err, errSuperseded) {
			s.live.note(key, e.revision)
			return r, err
		}
	}
}

// last returns the current version of a record, which may be a deletion; its revision is
// zero if there never was one.
func (s *Storage) last(ctx context.Context, key string) (entry, error) {
	var e entry
	err := s.try(ctx, func(ctx context.Context) error {
		m, err := s.records.GetLastMsgForSubject(ctx, s.subject(recordBucket, key))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			e = entry{key: key}
			return nil
		}
		if err != nil {
			return err
		}
		e = entryOf(key, m.Sequence, m.Time, m.Header, m.Data)
		return nil
	})
	return e, err
}

// Put implements environment.Storage. Values that do not fit into a message are uploaded
// in parts first. Of two programs that create records at once whose keys differ in case alone, one or
// both are refused.
func (s *Storage) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	revision, err := s.put(ctx, key, value, expected)
	if err != nil {
		return 0, fail("put", key, err)
	}
	return revision, nil
}

func (s *Storage) put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := cmp.Or(environment.CheckValue(value), environment.CheckCapitalKey(key)); err != nil {
		return 0, err
	}
	current := entry{key: key, revision: expected}
	if s.tooLarge(value) || expected > 0 && !s.live.has(key, expected) {
		var err error
		if current, err = s.expect(ctx, key, expected); err != nil {
			return 0, err
		}
	}
	if expected == 0 {
		if err := s.alone(ctx, key); err != nil {
			return 0, err
		}
	}
	m := describe(value)
	body := value
	if s.tooLarge(value) {
		// Whoever removes parts without a record waits twice as long.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.o.KeepUploads/2)
		defer cancel()
		if err := s.upload(ctx, key, value, &m); err != nil {
			return 0, err
		}
		body = nil
	}
	revision, err := s.write(ctx, key, m.encode(body), expected, current)
	var conflict *environment.ConflictError
	if errors.As(err, &conflict) {
		s.discard(ctx, key, m.Upload)
	}
	if err != nil {
		return 0, err
	}
	s.live.note(key, revision)
	if m.Upload != "" {
		s.tidy(ctx, key)
	}
	if expected == 0 {
		if err := s.alone(ctx, key); errors.Is(err, trustkeep.ErrExists) {
			return 0, errors.Join(err, s.delete(ctx, key, revision))
		}
	}
	return revision, nil
}

// expect returns the current version of a record, if it is the expected one.
func (s *Storage) expect(ctx context.Context, key string, expected uint64) (entry, error) {
	e, err := s.last(ctx, key)
	if err != nil {
		return e, err
	}
	if actual := e.current(); actual != expected {
		return e, &environment.ConflictError{Key: key, Expected: expected, Actual: actual}
	}
	return e, nil
}

// write puts a version, or a deletion if data is nil, after the current one. If the
// record has changed meanwhile and is as expected all the same, deleted again for
// instance, it tries again.
func (s *Storage) write(ctx context.Context, key string, data []byte, expected uint64, current entry) (uint64, error) {
	for {
		revision, err := s.publish(ctx, key, data, current.revision)
		if !errors.Is(err, errOvertaken) {
			return revision, err
		}
		if current, err = s.expect(ctx, key, expected); err != nil {
			return 0, err
		}
	}
}

// Delete implements environment.Storage.
func (s *Storage) Delete(ctx context.Context, key string, expected uint64) error {
	if err := s.delete(ctx, key, expected); err != nil {
		return fail("delete", key, err)
	}
	return nil
}

func (s *Storage) delete(ctx context.Context, key string, expected uint64) error {
	if err := environment.CheckCapitalKey(key); err != nil {
		return err
	}
	current, err := s.last(ctx, key)
	if err != nil {
		return err
	}
	switch actual := current.current(); actual {
	case 0:
		return trustkeep.ErrNotFound
	case expected:
		_, err = s.write(ctx, key, nil, expected, current)
		return err
	default:
		return &environment.ConflictError{Key: key, Expected: expected, Actual: actual}
	}
}

// List implements environment.Storage. The records are those of one moment.
func (s *Storage) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	var out []environment.Record
	err := s.read(ctx, s.filter(prefix), jetstream.DeliverLastPerSubjectPolicy, func(ctx context.Context, all []entry) error {
		latest := make(map[string]entry)
		for _, e := range all {
			latest[e.key] = e
		}
		out = nil
		for key, e := range latest {
			if e.deleted || !strings.HasPrefix(key, prefix) {
				continue
			}
			r, err := s.load(ctx, e)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, fail("list", prefix, err)
	}
	sortRecords(out)
	return out, nil
}

// Versions implements environment.Storage. Versions that are damaged have Err set.
func (s *Storage) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := environment.CheckCapitalKey(key); err != nil {
		return nil, fail("versions", key, err)
	}
	var out []environment.Record
	err := s.read(ctx, s.subject(recordBucket, key), jetstream.DeliverAllPolicy, func(ctx context.Context, all []entry) error {
		out = nil
		for _, e := range all {
			r, err := s.load(ctx, e)
			if errors.Is(err, errSuperseded) {
				continue // by so many others that it is no longer kept
			}
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return nil, fail("versions", key, err)
	}
	return out, nil
}

func sortRecords(records []environment.Record) {
	slices.SortFunc(records, func(a, b environment.Record) int { return strings.Compare(a.Key, b.Key) })
}
