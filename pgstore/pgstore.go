package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

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
	// noticed after two of them. Zero is 10 seconds.
	Heartbeat time.Duration
}

const (
	defaultSchema    = "trustkeep"
	defaultHeartbeat = 10 * time.Second
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
	follow sync.WaitGroup // watchers
}

var _ environment.Storage = (*Storage)(nil)

// Open uses a schema of the database that a pool is connected to, and makes it, with its
// tables, if it is not there. The pool stays the caller's, who closes it after the Storage.
// Each watcher has a connection of its own besides, made by the pool's configuration.
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
	if o.Heartbeat < 0 {
		return nil, failure("open", fmt.Errorf("a heartbeat of %v: %w", o.Heartbeat, trustkeep.ErrInvalid))
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	s := &Storage{pool: pool, o: o, sql: statementsOf(o.Schema)}
	if err := s.create(ctx); err != nil {
		return nil, failure("open", err)
	}
	s.closed, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Close ends all watchers and returns when their connections are closed. Calls after it fail
// with fs.ErrClosed. The error is always nil.
func (s *Storage) Close() error {
	s.close()
	s.follow.Wait()
	return nil
}

// Get implements environment.Storage.
func (s *Storage) Get(ctx context.Context, key string) (environment.Record, error) {
	if err := s.usable(ctx, key); err != nil {
		return environment.Record{}, failure("get", err)
	}
	rows, err := s.records(ctx, s.pool, s.sql.get, key)
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
	out, err := s.records(ctx, s.pool, s.sql.list, prefix)
	return out, failure("list", err)
}

// Versions implements environment.Storage.
func (s *Storage) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := s.usable(ctx, key); err != nil {
		return nil, failure("versions", err)
	}
	out, err := s.records(ctx, s.pool, s.sql.versions, key)
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
	var revision uint64
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
		revision, err = s.add(ctx, tx, key, value, deleted, expected)
		return err
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// add adds a version in a transaction.
func (s *Storage) add(ctx context.Context, tx pgx.Tx, key string, value []byte, deleted bool, expected uint64) (revision uint64, err error) {
	// The row is locked until the commit: whoever is next reads what this one leaves.
	if err := tx.QueryRow(ctx, s.sql.next).Scan(&revision); err != nil {
		return 0, err
	}
	var actual uint64
	var gone bool
	err = tx.QueryRow(ctx, s.sql.current, key).Scan(&actual, &gone)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	there := err == nil && !gone
	if !there {
		actual = 0
	}
	switch {
	case deleted && !there:
		return 0, missing(key)
	case actual != expected:
		return 0, &environment.ConflictError{Key: key, Expected: expected, Actual: actual}
	}
	if expected == 0 {
		var other string
		switch err := tx.QueryRow(ctx, s.sql.alike, key).Scan(&other); {
		case err == nil:
			return 0, fmt.Errorf("record %q: %w", other, trustkeep.ErrExists)
		case !errors.Is(err, pgx.ErrNoRows):
			return 0, err
		}
	}
	var batch pgx.Batch
	batch.Queue(s.sql.replace, key)
	batch.Queue(s.sql.insert, int64(revision), key, deleted, value, digest(key, value, deleted))
	batch.Queue(s.sql.forget, key, keptVersions)
	batch.Queue(s.sql.notify)
	return revision, tx.SendBatch(ctx, &batch).Close()
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

// failure names the operation, and what the server's code means, where users can do
// something about it.
func failure(op string, err error) error {
	var conflict *environment.ConflictError
	if err == nil || errors.As(err, &conflict) {
		return err
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return fmt.Errorf("pgstore: %s: %w", op, err)
	}
	e := &trustkeep.Error{Op: "pgstore: " + op, Err: err}
	switch {
	case refused.Code == "53100": // disk_full
		e.Err, e.Hint = fmt.Errorf("%w: %w", trustkeep.ErrLimit, err), "the disk of the database is full"
	case refused.Code == "42501": // insufficient_privilege
		e.Hint = "the user of the database lacks a right; README.md lists what is needed"
	case refused.Code == "25006": // read_only_sql_transaction
		e.Hint = "this server is a standby: connect to the primary, with target_session_attrs=read-write"
	}
	return e
}
