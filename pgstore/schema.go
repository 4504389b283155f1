package pgstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

const (
	// maxSchema is that of identifiers of PostgreSQL, less what channels add.
	maxSchema = 50
	// layout is the version of the tables.
	layout = 1
	// creating is the advisory lock of those who make the tables.
	creating = 0x7275737450474b70
)

// statements are those of one schema.
type statements struct {
	channel                                   string
	create, state                             string
	get, list, versions, current, alike, last string
	next, replace, insert, forget, notify     string
	newSince                                  string
	listen                                    string
}

func statementsOf(schema string) statements {
	name := pgx.Identifier{schema}.Sanitize()
	in := func(query string) string {
		return strings.NewReplacer("{schema}", name, "{channel}", "trustkeep:"+schema).Replace(query)
	}
	return statements{
		channel: "trustkeep:" + schema,
		// Keys are compared by their bytes. The current version of a key is the one of
		// its highest revision, its deletion included.
		create: in(`
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.state (
	one     boolean PRIMARY KEY DEFAULT true CHECK (one),
	layout  integer NOT NULL,
	last    bigint  NOT NULL
);
CREATE TABLE {schema}.versions (
	revision bigint      PRIMARY KEY,
	key      text        COLLATE "C" NOT NULL,
	current  boolean     NOT NULL,
	time     timestamptz NOT NULL,
	deleted  boolean     NOT NULL,
	value    bytea,
	digest   bytea       NOT NULL
);
CREATE INDEX versions_by_key ON {schema}.versions (key, revision);
CREATE INDEX versions_by_letters ON {schema}.versions (lower(key)) WHERE current;
CREATE UNIQUE INDEX versions_current ON {schema}.versions (key) WHERE current;
INSERT INTO {schema}.state (layout, last) VALUES (1, 0);`),
		state:    in(`SELECT layout FROM {schema}.state`),
		last:     in(`SELECT last FROM {schema}.state`),
		get:      in(`SELECT revision, key, time, deleted, value, digest FROM {schema}.versions WHERE current AND key = $1`),
		list:     in(`SELECT revision, key, time, deleted, value, digest FROM {schema}.versions WHERE current AND NOT deleted AND starts_with(key, $1) ORDER BY key`),
		versions: in(`SELECT revision, key, time, deleted, value, digest FROM {schema}.versions WHERE key = $1 ORDER BY revision`),
		newSince: in(`SELECT revision, key, time, deleted, value, digest FROM {schema}.versions
WHERE current AND revision > $1 AND (key = ANY ($2) OR EXISTS (SELECT FROM unnest($3::text[]) AS folder WHERE starts_with(key, folder))) ORDER BY key`),
		current: in(`SELECT revision, deleted FROM {schema}.versions WHERE current AND key = $1`),
		alike:   in(`SELECT key FROM {schema}.versions WHERE current AND NOT deleted AND lower(key) = lower($1) AND key <> $1 LIMIT 1`),
		next:    in(`UPDATE {schema}.state SET last = last + 1 RETURNING last`),
		replace: in(`UPDATE {schema}.versions SET current = false WHERE current AND key = $1`),
		insert:  in(`INSERT INTO {schema}.versions (revision, key, current, time, deleted, value, digest) VALUES ($1, $2, true, clock_timestamp(), $3, $4, $5)`),
		forget: in(`DELETE FROM {schema}.versions WHERE key = $1 AND revision <=
	(SELECT revision FROM {schema}.versions WHERE key = $1 ORDER BY revision DESC OFFSET $2 LIMIT 1)`),
		notify: in(`NOTIFY "{channel}"`),
		listen: in(`LISTEN "{channel}"`),
	}
}

// create makes the tables, or finds them.
func (s *Storage) create(ctx context.Context) error {
	version, err := s.layout(ctx, s.pool)
	if err == nil || !errors.Is(err, trustkeep.ErrNotFound) {
		return errors.Join(err, known(version))
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// CREATE ... IF NOT EXISTS of two at once would fail for one of them.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(creating)); err != nil {
			return err
		}
		switch version, err := s.layout(ctx, tx); {
		case err == nil:
			return known(version) // somebody else was faster
		case !errors.Is(err, trustkeep.ErrNotFound):
			return err
		}
		_, err := tx.Exec(ctx, s.sql.create)
		return err
	})
}

func known(version int) error {
	if version > layout {
		return fmt.Errorf("tables of layout %d, this program knows %d: %w", version, layout, trustkeep.ErrUnsupported)
	}
	return nil
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// layout is the version of the tables; trustkeep.ErrNotFound where there are none.
func (s *Storage) layout(ctx context.Context, q querier) (version int, err error) {
	var there bool
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'state')`, s.o.Schema).Scan(&there)
	if err != nil {
		return 0, err
	}
	if !there {
		return 0, fmt.Errorf("schema %s: %w", s.o.Schema, trustkeep.ErrNotFound)
	}
	err = q.QueryRow(ctx, s.sql.state).Scan(&version)
	return version, err
}

// records runs a query for records. One that was damaged has Err set.
func (s *Storage) records(ctx context.Context, q querier, query string, args ...any) ([]environment.Record, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r environment.Record, err error) {
		var kept []byte
		var at *time.Time // infinity is no time
		if err := row.Scan(&r.Revision, &r.Key, &at, &r.Deleted, &r.Value, &kept); err != nil {
			return r, err
		}
		if at != nil {
			r.Time = at.UTC()
		}
		if r.Deleted {
			r.Value = nil
		} else if r.Value == nil {
			r.Value = []byte{}
		}
		if want := digest(r.Key, r.Value, r.Deleted); string(kept) != string(want) {
			r.Value, r.Err = nil, fmt.Errorf("the digest is another: %w", trustkeep.ErrCorrupt)
		}
		return r, nil
	})
}

// digest tells whether a row was changed by accident, as by a restored table.
func digest(key string, value []byte, deleted bool) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s:%t:", len(key), key, deleted)
	h.Write(value)
	return h.Sum(nil)
}
