package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Options configures a Storage. The zero value is complete.
type Options struct {
	// Schema that the tables are in, which environment.CheckKey takes; "trustkeep" if
	// empty. Each has a registry of its own.
	Schema string
	// Heartbeat is how often a watcher that hears nothing asks the server whether it
	// missed anything, and how long the server may take to answer: a dead connection is
	// noticed after two of them. Zero is 10 seconds; at least 100 milliseconds.
	Heartbeat time.Duration
}

const (
	defaultSchema    = "trustkeep"
	defaultHeartbeat = 10 * time.Second
	minHeartbeat     = 100 * time.Millisecond
	// defaultStandstill is how long a writer may say nothing while others wait for it.
	defaultStandstill = time.Minute
	// keptVersions of a record, the current one included.
	keptVersions = 64
)

// Storage is an environment.Storage in a schema of a PostgreSQL database. It is safe for
// concurrent use, in any number of programs.
type Storage struct {
	pool *pgxpool.Pool
	o    Options
	sql  statements

	closed context.Context
	close  context.CancelFunc
	hub    *hub // watchers

	standstill time.Duration // defaultStandstill, but in tests
}

var _ environment.Storage = (*Storage)(nil)

// Open uses a schema of the database that a pool is connected to, and makes it, with its
// tables, if it is not there. The pool stays the caller's, who closes it after the Storage.
// The watchers of a Storage share one connection besides, which the pool makes. A pool that is
// closed before closes the Storage.
//
// The error wraps trustkeep.ErrInvalid without a pool and for a schema's name that cannot be,
// trustkeep.ErrUnsupported for tables of a later version; others are those of the server.
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Storage, error) {
	if pool == nil {
		return nil, failure("open", fmt.Errorf("no pool: %w", trustkeep.ErrInvalid))
	}
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if err := environment.CheckKey(o.Schema); err != nil || len(o.Schema) > maxSchema {
		return nil, failure("open", fmt.Errorf("schema %q: %w", trustkeep.Printable(o.Schema), trustkeep.ErrInvalid))
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.Heartbeat < minHeartbeat {
		return nil, failure("open", fmt.Errorf("a heartbeat of %v, %v at least: %w", o.Heartbeat, minHeartbeat, trustkeep.ErrInvalid))
	}
	s := &Storage{pool: pool, o: o, sql: statementsOf(o.Schema), standstill: defaultStandstill}
	if err := s.create(ctx); err != nil {
		return nil, failure("open", err)
	}
	s.closed, s.close = context.WithCancel(context.Background())
	s.hub = &hub{s: s, watchers: make(map[*watcher]bool)}
	return s, nil
}

// Close ends all watchers and returns when their connection is closed. Calls after it fail
// with fs.ErrClosed. The error is always nil.
func (s *Storage) Close() error {
	s.close()
	s.hub.close()
	return nil
}

// Get implements environment.Storage.
func (s *Storage) Get(ctx context.Context, key string) (environment.Record, error) {
	if err := s.usable(ctx, key); err != nil {
		return environment.Record{}, failure("get", err)
	}
	rows, err := s.records(ctx, s.sql.get, key)
	if err != nil {
		return environment.Record{}, failure("get", err)
	}
	if len(rows) == 0 || rows[0].Deleted {
		return environment.Record{}, failure("get", missing(key))
	}
	if err := rows[0].Err; err != nil {
		return environment.Record{}, failure("get", fmt.Errorf("record %s: %w", key, err))
	}
	return rows[0], nil
}

// List implements environment.Storage.
func (s *Storage) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	if err := s.usable(ctx, ""); err != nil {
		return nil, failure("list", err)
	}
	out, err := s.records(ctx, s.sql.list, prefix)
	return out, failure("list", err)
}

// Versions implements environment.Storage.
func (s *Storage) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := s.usable(ctx, key); err != nil {
		return nil, failure("versions", err)
	}
	out, err := s.records(ctx, s.sql.versions, key, keptVersions)
	if err == nil && len(out) == 0 {
		err = missing(key)
	}
	return out, failure("versions", err)
}

// Put implements environment.Storage.
func (s *Storage) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := cmp.Or(environment.CheckValue(value), environment.CheckCapitalKey(key)); err != nil {
		return 0, err
	}
	revision, err := s.write(ctx, key, value, false, expected)
	return revision, failure("put", err)
}

// Delete implements environment.Storage.
func (s *Storage) Delete(ctx context.Context, key string, expected uint64) error {
	_, err := s.write(ctx, key, nil, true, expected)
	return failure("delete", err)
}

// write adds a version, in a transaction of its own.
func (s *Storage) write(ctx context.Context, key string, value []byte, deleted bool, expected uint64) (uint64, error) {
	if err := s.usable(ctx, key); err != nil {
		return 0, err
	}
	var tx pgx.Tx
	var added version
	err := s.again(ctx, func() (err error) {
		if tx, err = s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}); err != nil {
			return err
		}
		if added, err = s.add(ctx, tx, key, value, deleted, expected); err != nil {
			_ = tx.Rollback(ctx) // which closes the connection if it fails
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		if err := s.outcome(ctx, added, err); err != nil {
			return 0, err
		}
	}
	return added.revision, nil
}

// again does what has no effect if it fails, and does it again where a connection of the pool proves
// to be dead: after a restart of the server all of them are.
func (s *Storage) again(ctx context.Context, do func() error) error {
	for left := s.pool.Config().MaxConns; ; left-- {
		err := do()
		var dial *pgconn.ConnectError
		var refused *pgconn.PgError
		var silent net.Error
		switch {
		case err == nil || left <= 0 || ctx.Err() != nil || errors.As(err, &dial) || errors.Is(err, puddle.ErrClosedPool):
			return err
		case errors.As(err, &refused) && refused.SeverityUnlocalized == "FATAL" && refused.Code != standstillTimeout:
		case refused == nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &silent) && !silent.Timeout()):
		default:
			return err
		}
	}
}

// version is one that was added.
type version struct {
	revision    uint64
	transaction int64
	key         string
	digest      []byte
}

// add adds a version in a transaction.
func (s *Storage) add(ctx context.Context, tx pgx.Tx, key string, value []byte, deleted bool, expected uint64) (v version, err error) {
	var actual uint64
	var there bool
	var other string
	var first pgx.Batch
	first.Queue(s.sql.guard, strconv.FormatInt(s.standstill.Milliseconds(), 10))
	// The row is locked until the commit: whoever is next reads what this one leaves.
	first.Queue(s.sql.next).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&v.revision, &v.transaction)
		if errors.Is(err, pgx.ErrNoRows) {
			err = errStateless
		}
		return err
	})
	first.Queue(s.sql.current, key).QueryRow(func(row pgx.Row) error {
		var gone bool
		err := row.Scan(&actual, &gone)
		there = err == nil && !gone
		return ignoreNone(err)
	})
	first.Queue(s.sql.alike, strings.ToLower(key), key).QueryRow(func(row pgx.Row) error { return ignoreNone(row.Scan(&other)) })
	if err := tx.SendBatch(ctx, &first).Close(); err != nil {
		return v, err
	}
	if !there {
		actual = 0
	}
	switch {
	case deleted && !there:
		return v, missing(key)
	case actual != expected:
		return v, &environment.ConflictError{Key: key, Expected: expected, Actual: actual}
	case expected == 0 && other != "":
		return v, fmt.Errorf("record %q: %w", trustkeep.Printable(other), trustkeep.ErrExists)
	}
	v.key, v.digest = key, digest(key, value, deleted)
	var batch pgx.Batch
	batch.Queue(s.sql.replace, key)
	batch.Queue(s.sql.insert, int64(v.revision), key, deleted, value, v.digest)
	batch.Queue(s.sql.forget, key, keptVersions)
	batch.Queue(s.sql.notify)
	return v, tx.SendBatch(ctx, &batch).Close()
}

func ignoreNone(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// outcome finds out what became of a version whose commit has failed with an error, which is returned
// unless it is there. While the server still works on it, reading would not tell.
func (s *Storage) outcome(ctx context.Context, v version, failed error) error {
	var refused *pgconn.PgError
	if errors.Is(failed, pgx.ErrTxCommitRollback) || errors.As(failed, &refused) && refused.SeverityUnlocalized == "ERROR" {
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, max(2*s.o.Heartbeat, 5*time.Second))
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	for {
		var status string
		var there bool
		err := s.pool.QueryRow(ctx, s.sql.outcome, v.transaction, int64(v.revision), v.key, v.digest).Scan(&status, &there)
		switch {
		case err != nil: // the server may be about to come back
		case status == "committed" && there:
			return nil
		case status != "in progress":
			return failed
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return failed
		}
	}
}

// usable tells whether a call can begin. An empty key is not looked at.
func (s *Storage) usable(ctx context.Context, key string) error {
	if s.closed.Err() != nil {
		return fs.ErrClosed
	}
	if key != "" {
		if err := environment.CheckCapitalKey(key); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func missing(key string) error {
	return fmt.Errorf("record %q: %w", trustkeep.Printable(key), trustkeep.ErrNotFound)
}

// SQLSTATE codes of PostgreSQL, appendix A of its manual.
const (
	diskFull          = "53100"
	noRight           = "42501"
	readOnly          = "25006"
	standstillTimeout = "25P03"
)

func codeOf(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// failure names the operation, and what the server's code means, where users can do
// something about it.
func failure(op string, err error) error {
	var conflict *environment.ConflictError
	if err == nil || errors.As(err, &conflict) {
		return err
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		err = fmt.Errorf("%w: %w", fs.ErrClosed, err)
	}
	code := codeOf(err)
	if code == "" {
		return fmt.Errorf("pgstore: %s: %w", op, err)
	}
	e := &trustkeep.Error{Op: "pgstore: " + op, Err: err}
	switch code {
	case diskFull:
		e.Err, e.Hint = fmt.Errorf("%w: %w", trustkeep.ErrLimit, err), "the disk of the database is full"
	case noRight:
		e.Hint = "the user of the database lacks a right; README.md lists what is needed"
	case readOnly:
		e.Hint = "this server is a standby, or read-only: connect to the primary, with target_session_attrs=read-write"
	case standstillTimeout:
		e.Hint = "the connection was too slow, and other writers waited"
	}
	return e
}
