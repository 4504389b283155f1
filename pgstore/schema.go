package pgstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
	create, state, get, list, versions, newSince     string // reading
	guard, current, alike, next                      string // a write, first what it needs to know
	replace, insert, forget, notify, listen, outcome string
}

func statementsOf(schema string) statements {
	name := pgx.Identifier{schema}.Sanitize()
	// What is larger than anything that was put is not fetched.
	fields := fmt.Sprintf(`revision, key, time, deleted, CASE WHEN pg_catalog.octet_length(value) <= %d THEN value END AS value,
	CASE WHEN pg_catalog.octet_length(digest) = %d THEN digest END AS digest`, environment.MaxValue, sha256.Size)
	sound := fmt.Sprintf(`revision > 0 AND pg_catalog.octet_length(key) <= %d`, environment.MaxKey)
	in := func(query string) string {
		return strings.NewReplacer("{schema}", name, "{channel}", "trustkeep:"+schema, "{fields}", fields, "{sound}", sound, "{current}", "current AND "+sound).Replace(query)
	}
	return statements{
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
		state:    in(`SELECT max(layout) FROM {schema}.state`),
		get:      in(`SELECT {fields} FROM {schema}.versions AS v WHERE {current} AND key = $1`),
		list:     in(`SELECT {fields} FROM {schema}.versions AS v WHERE {current} AND NOT deleted AND pg_catalog.starts_with(key, $1) ORDER BY key`),
		versions: in(`SELECT * FROM (SELECT {fields} FROM {schema}.versions AS v WHERE {sound} AND key = $1 ORDER BY v.revision DESC LIMIT $2) AS kept ORDER BY revision`),
		newSince: in(`SELECT {fields}, last FROM (SELECT pg_catalog.max(last) AS last FROM {schema}.state) AS s LEFT JOIN {schema}.versions AS v ON {current} AND revision > $1
AND (key = ANY ($2::text[]) OR EXISTS (SELECT FROM pg_catalog.unnest($3::text[]) AS folder WHERE pg_catalog.starts_with(key, folder))) ORDER BY key`),
		// Whoever stands still while the others wait is cut off, and a commit is one on the disk.
		guard:   `SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true), pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'local' ELSE pg_catalog.current_setting('synchronous_commit') END, true)`,
		current: in(`SELECT revision, deleted FROM {schema}.versions WHERE {current} AND key = $1`),
		alike:   in(`SELECT key FROM {schema}.versions WHERE {current} AND NOT deleted AND pg_catalog.lower(key) = $1 AND key <> $2 LIMIT 1`),
		next: in(`UPDATE {schema}.state SET last = GREATEST(last, 0, (SELECT pg_catalog.max(revision) FROM {schema}.versions)) + 1
RETURNING last, pg_catalog.txid_current()`),
		replace: in(`UPDATE {schema}.versions SET current = false WHERE current AND key = $1`),
		insert:  in(`INSERT INTO {schema}.versions (revision, key, current, time, deleted, value, digest) VALUES ($1, $2, true, pg_catalog.clock_timestamp(), $3, $4, $5)`),
		forget: in(`DELETE FROM {schema}.versions WHERE key = $1 AND revision <=
	(SELECT revision FROM {schema}.versions WHERE key = $1 ORDER BY revision DESC OFFSET $2 LIMIT 1)`),
		outcome: in(`SELECT coalesce(pg_catalog.txid_status($1), ''), EXISTS (SELECT FROM {schema}.versions WHERE revision = $2 AND key = $3 AND digest = $4)`),
		notify:  in(`NOTIFY "{channel}"`),
		listen:  in(`LISTEN "{channel}"`),
	}
}

// create makes the tables, or finds them.
func (s *Storage) create(ctx context.Context) error {
	version, err := s.layout(ctx, s.pool)
	if err == nil || !errors.Is(err, trustkeep.ErrNotFound) {
		return errors.Join(err, known(version))
	}
	// One that others have made meanwhile is seen in this mode alone.
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
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
	var found *int
	if err := q.QueryRow(ctx, s.sql.state).Scan(&found); err != nil {
		return 0, err
	}
	if found == nil {
		return 0, errStateless
	}
	return *found, nil
}

// errStateless: the row that counts revisions is gone.
var errStateless = fmt.Errorf("the table state has no row: %w", trustkeep.ErrCorrupt)

// records runs a query for records. One that was damaged has Err set.
func (s *Storage) records(ctx context.Context, query string, args ...any) ([]environment.Record, error) {
	var out []environment.Record
	err := s.again(ctx, func() error {
		rows, err := s.pool.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		out = nil
		for rows.Next() {
			r, ok, err := scan(rows)
			if err != nil {
				return err
			}
			if ok {
				out = append(out, r)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// scan reads a row of fields, and what follows them. It is not ok for one that is no record: one
// with a key that cannot be. One that was changed has Err set.
func scan(row pgx.Rows, more ...any) (r environment.Record, ok bool, err error) {
	var revision *int64
	var key *string
	var deleted *bool
	var at pgtype.Timestamptz
	var kept []byte
	if err := row.Scan(append([]any{&revision, &key, &at, &deleted, &r.Value, &kept}, more...)...); err != nil {
		return r, false, err
	}
	if revision == nil || key == nil || deleted == nil || environment.CheckCapitalKey(*key) != nil {
		return r, false, nil
	}
	r.Revision, r.Key, r.Deleted = uint64(*revision), *key, *deleted
	inTime := at.Valid && at.InfinityModifier == pgtype.Finite && at.Time.Year() > 0 && at.Time.Year() < 9999
	if inTime {
		r.Time = at.Time.UTC()
	}
	if r.Deleted {
		r.Value = nil
	} else if r.Value == nil {
		r.Value = []byte{}
	}
	switch want := digest(r.Key, r.Value, r.Deleted); {
	case string(kept) != string(want):
		r.Value, r.Err = nil, fmt.Errorf("the digest is another: %w", trustkeep.ErrCorrupt)
	case !inTime:
		r.Value, r.Err = nil, fmt.Errorf("the time cannot be: %w", trustkeep.ErrCorrupt)
	}
	return r, true, nil
}

// digest tells whether a row was changed by accident, as by a restored table.
func digest(key string, value []byte, deleted bool) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s:%t:", len(key), key, deleted)
	h.Write(value)
	return h.Sum(nil)
}
