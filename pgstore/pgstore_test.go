package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

const testBeat = 300 * time.Millisecond

// pool connects as a user.
func (s *server) pool(t testing.TB, user string) *pgxpool.Pool {
	p, err := pgxpool.New(t.Context(), fmt.Sprintf("host=%s user=%s dbname=postgres", s.folder, user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// open opens a schema, a new one if the name is empty.
func (s *server) open(t testing.TB, schema string) *Storage {
	if schema == "" {
		schema = fmt.Sprintf("s%d", s.schemas.Add(1))
	}
	opened, err := Open(t.Context(), s.pool(t, "me"), Options{Schema: schema, Heartbeat: testBeat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

func (s *server) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s user=me dbname=postgres", s.folder))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// TestInteropPostgres runs everything against one server.
func TestInteropPostgres(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "postgres", "initdb", "pg_ctl")
	testtool.Exchange{Peer: "postgres", Mode: "storage", What: "records with LISTEN and NOTIFY, commits in another order, cut connections, rights, damaged rows"}.Log(t)
	s := start(t)
	t.Run("conformance", func(t *testing.T) { conformance(t, s) })
	for name, test := range map[string]func(*testing.T, *server){
		"many open one new schema": many, "a damaged row": damaged, "a restored database": restored,
		"rights": rights, "what cannot be opened": wrong, "later tables": later, "an atom follows": atom,
		"versions are forgotten": forgotten,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
	for name, test := range attacks {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func conformance(t *testing.T, s *server) {
	storagetest.Suite{
		New: func(t *testing.T) environment.Storage { return s.open(t, "") },
		Again: func(t *testing.T, of environment.Storage) environment.Storage {
			return s.open(t, of.(*Storage).o.Schema)
		},
		Disturb: func(t *testing.T, of environment.Storage) {
			s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
			// The pool may have more dead connections than it tries.
			for of.(*Storage).pool.Ping(t.Context()) != nil && t.Context().Err() == nil {
			}
		},
		Hold: func(t *testing.T, of environment.Storage, key, value string) (func(), func(context.Context)) {
			storage := of.(*Storage)
			tx, err := storage.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := storage.add(t.Context(), tx, key, []byte(value), false, 0); err != nil {
				t.Fatal(err)
			}
			release := func() {
				if err := tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return release, func(ctx context.Context) {
				for waiting := 0; waiting == 0 && ctx.Err() == nil; {
					row := storage.pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
					if err := row.Scan(&waiting); err != nil && ctx.Err() == nil {
						t.Fatal(err)
					}
				}
			}
		},
	}.Run(t)
}

// many programs start at once on an empty database.
func many(t *testing.T, s *server) {
	errs := make(chan error)
	for range 12 {
		p := s.pool(t, "me")
		go func() {
			opened, err := Open(t.Context(), p, Options{Schema: "many"})
			if err == nil {
				opened.Close()
			}
			errs <- err
		}()
	}
	for range 12 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func put(t testing.TB, s environment.Storage, key, value string, expected uint64) uint64 {
	t.Helper()
	revision, err := s.Put(t.Context(), key, []byte(value), expected)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// until reads updates until one satisfies.
func until(t testing.TB, updates <-chan environment.Update, satisfied func(environment.Update) bool) environment.Update {
	t.Helper()
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				t.Fatal("the watch ended")
			}
			if satisfied(u) {
				return u
			}
		case <-timeout.C:
			t.Fatal("no such update")
		}
	}
}

// damaged: a row that was changed is an error of that record, wherever it is read.
func damaged(t *testing.T, s *server) {
	storage := s.open(t, "damaged")
	put(t, storage, "a", "1", 0)
	put(t, storage, "b", "1", 0)
	for _, change := range []string{"value = 'x'", "value = NULL", "key = 'c'", "deleted = true", "digest = ''"} {
		s.exec(t, `DELETE FROM damaged.versions; UPDATE damaged.state SET last = 0`)
		put(t, storage, "a", "1", 0)
		put(t, storage, "b", "1", 0)
		s.exec(t, `UPDATE damaged.versions SET `+change+` WHERE key = 'a'`)
		updates, err := storage.Watch(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		key := "a"
		if strings.HasPrefix(change, "key") {
			key = "c"
		}
		if change != "deleted = true" {
			u := <-updates
			if len(u.Records) != 2 || !errors.Is(u.Records[0].Err, trustkeep.ErrCorrupt) && !errors.Is(u.Records[1].Err, trustkeep.ErrCorrupt) {
				t.Errorf("%s: the watcher sees %+v", change, u)
			}
			if _, err := storage.Get(t.Context(), key); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s: Get: %v", change, err)
			}
		}
		if all, err := storage.Versions(t.Context(), key); err != nil || len(all) != 1 || !errors.Is(all[0].Err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: Versions: %+v, %v", change, all, err)
		}
		if r, err := storage.Get(t.Context(), "b"); err != nil || string(r.Value) != "1" {
			t.Errorf("%s: the other record: %+v, %v", change, r, err)
		}
	}
}

// restored: a database that is put back to what it was is read anew.
func restored(t *testing.T, s *server) {
	storage := s.open(t, "restored")
	revision := put(t, storage, "a", "1", 0)
	s.exec(t, `CREATE TABLE restored.saved AS SELECT * FROM restored.versions`)
	put(t, storage, "a", "2", revision)
	put(t, storage, "b", "1", 0)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full && len(u.Records) == 2 })
	s.exec(t, `DELETE FROM restored.versions; INSERT INTO restored.versions SELECT * FROM restored.saved; UPDATE restored.state SET last = 1`)
	u := until(t, updates, func(u environment.Update) bool { return u.Full })
	if len(u.Records) != 1 || string(u.Records[0].Value) != "1" {
		t.Errorf("the watcher is told of %+v", u.Records)
	}
}

// rights: a reader who may not write, and one who may not read.
func rights(t *testing.T, s *server) {
	storage := s.open(t, "rights")
	put(t, storage, "a", "1", 0)
	s.exec(t, `CREATE USER reader; GRANT USAGE ON SCHEMA rights TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA rights TO reader; CREATE USER stranger;
CREATE USER writer; GRANT USAGE ON SCHEMA rights TO writer; GRANT SELECT, UPDATE ON rights.state TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON rights.versions TO writer`)
	reader, err := Open(t.Context(), s.pool(t, "reader"), Options{Schema: "rights", Heartbeat: testBeat})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	updates, err := reader.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full && len(u.Records) == 1 })
	_, err = reader.Put(t.Context(), "b", nil, 0)
	var refused *trustkeep.Error
	if !errors.As(err, &refused) || refused.Hint == "" {
		t.Errorf("Put by a reader: %v", err)
	}
	writer, err := Open(t.Context(), s.pool(t, "writer"), Options{Schema: "rights", Heartbeat: testBeat})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	revision := put(t, writer, "b", "1", 0)
	until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 && u.Records[0].Key == "b" })
	if err := writer.Delete(t.Context(), "b", revision); err != nil {
		t.Error(err)
	}
	// A right that is taken away, and given back, while somebody watches.
	s.exec(t, `REVOKE SELECT ON ALL TABLES IN SCHEMA rights FROM reader`)
	until(t, updates, func(u environment.Update) bool { return u.Err != nil })
	put(t, storage, "c", "1", 0)
	s.exec(t, `GRANT SELECT ON ALL TABLES IN SCHEMA rights TO reader`)
	until(t, updates, func(u environment.Update) bool { return u.Err == nil && u.Full && len(u.Records) == 2 })
	if _, err := Open(t.Context(), s.pool(t, "stranger"), Options{Schema: "rights"}); !errors.As(err, &refused) || refused.Hint == "" {
		t.Errorf("Open by a stranger: %v", err)
	}
}

func wrong(t *testing.T, s *server) {
	if _, err := Open(t.Context(), nil, Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("without a pool: %v", err)
	}
	p := s.pool(t, "me")
	for _, o := range []Options{{Schema: `x"; DROP SCHEMA public; --`}, {Schema: "A"}, {Schema: strings.Repeat("s", 51)}, {Heartbeat: -1}} {
		if _, err := Open(t.Context(), p, o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	storage := s.open(t, "")
	storage.Close()
	if _, err := storage.Put(t.Context(), "a", nil, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Put of a closed storage: %v", err)
	}
}

func later(t *testing.T, s *server) {
	s.open(t, "later").Close()
	s.exec(t, `UPDATE later.state SET layout = 2`)
	if _, err := Open(t.Context(), s.pool(t, "me"), Options{Schema: "later"}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("Open: %v", err)
	}
}

// atom: a registry and a running program on two handles.
func atom(t *testing.T, s *server) {
	ctx := t.Context()
	first := s.open(t, "")
	r, err := environment.Open(ctx, first, environment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.CreateEnvironment(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	other, err := environment.Open(ctx, s.open(t, first.o.Schema), environment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	there, err := other.Environment(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	a, err := there.Attach(ctx, "a", environment.AtomOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := r.SetConnection(ctx, environment.Connection{ID: "bank", ServerName: "bank.example"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(ctx, func(a *environment.Atom) bool {
		b, err := a.Connection("bank")
		return err == nil && b.ServerName == "bank.example"
	}); err != nil {
		t.Error(err)
	}
	if err := e.Undeploy(ctx, "none"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
}

// forgotten: a record keeps its last versions and no more.
func forgotten(t *testing.T, s *server) {
	storage := s.open(t, "")
	revision := uint64(0)
	for i := range keptVersions + 5 {
		revision = put(t, storage, "k", fmt.Sprint(i), revision)
	}
	all, err := storage.Versions(t.Context(), "k")
	if err != nil || len(all) != keptVersions || string(all[0].Value) != "5" || all[len(all)-1].Revision != revision {
		t.Errorf("%d versions, %v", len(all), err)
	}
}
