package pgstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/testnet"
)

// attacks are what a server, its settings and others who write to the database do.
var attacks = map[string]func(*testing.T, *server){
	"hostile rows": hostileRows, "no state": noState, "a state that is behind": stateBehind,
	"settings of the server": settings, "a language with other letters": turkish, "a writer who stands still": standing,
	"many notifications": flood, "closed while a watch begins": closing, "a closed pool": closedPool, "a pool of one": poolOfOne,
	"hooks of the pool": hooks, "modes of queries": modes, "an answer that is lost": lostAnswer, "nothing is left": leaks,
	"a dead connection":                        dead,
	"a pool of dead connections":               deadPool,
	"a context that ends while a watch begins": endedWhileBeginning,
}

// configured opens a schema by a pool of its own.
func (s *server) configured(t testing.TB, schema, settings string, edit func(*pgxpool.Config)) *Storage {
	t.Helper()
	config, err := pgxpool.ParseConfig(fmt.Sprintf("host=%s user=me dbname=postgres %s", s.folder, settings))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(config)
	}
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if schema == "" {
		schema = fmt.Sprintf("s%d", s.schemas.Add(1))
	}
	opened, err := Open(t.Context(), p, Options{Schema: schema, Heartbeat: testBeat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

func hostileRows(t *testing.T, s *server) {
	storage := s.open(t, "hostile")
	good := put(t, storage, "good", "1", 0)
	insert := func(revision int, key, time, value string) {
		s.exec(t, fmt.Sprintf(`INSERT INTO hostile.versions (revision, key, current, time, deleted, value, digest) VALUES (%d, %s, true, %s, false, %s, '')`, revision, key, time, value))
	}
	insert(-5, "'negative'", "now()", "'x'")
	insert(0, "'zero'", "now()", "'x'")
	insert(1001, "'../up'", "now()", "'x'")
	insert(1002, "'a//b'", "now()", "'x'")
	insert(1003, "''", "now()", "'x'")
	insert(1004, "'long' || repeat('k', 500)", "now()", "'x'")
	insert(1005, "'large'", "now()", "convert_to(repeat('x', 16777217), 'UTF8')")
	insert(1006, "'later'", "'infinity'", "'x'")
	insert(1007, "'former'", "'-infinity'", "'x'")
	insert(1008, "'far'", "'290000-01-01'", "'x'")
	insert(1009, "'christ'", "'4000-01-01 BC'", "'x'")
	s.exec(t, `UPDATE hostile.versions SET digest = convert_to(repeat('d', 20000000), 'UTF8') WHERE key = 'far'`)
	check := func(what string, all []environment.Record) {
		t.Helper()
		var keys []string
		for _, r := range all {
			keys = append(keys, r.Key)
			if r.Key == "good" {
				if r.Err != nil || string(r.Value) != "1" || r.Revision != good {
					t.Errorf("%s: %+v", what, r)
				}
			} else if !errors.Is(r.Err, trustkeep.ErrCorrupt) || r.Value != nil || r.Time.Year() < 0 || r.Time.Year() > 9999 {
				t.Errorf("%s: %s has time %v, error %v and %d bytes", what, r.Key, r.Time, r.Err, len(r.Value))
			}
		}
		if got := strings.Join(keys, " "); got != "christ far former good large later" {
			t.Errorf("%s has %s", what, got)
		}
	}
	all, err := storage.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	check("List", all)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	check("Watch", (<-updates).Records)
	for _, key := range []string{"later", "large", "far"} {
		if _, err := storage.Get(t.Context(), key); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("Get(%s): %v", key, err)
		}
	}
	if _, err := storage.Get(t.Context(), "negative"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("Get(negative): %v", err)
	}
	for _, key := range []string{"negative", "zero"} { // it can be used
		put(t, storage, key, "2", 0)
		if r, err := storage.Get(t.Context(), key); err != nil || string(r.Value) != "2" {
			t.Errorf("Get(%s): %+v, %v", key, r, err)
		}
	}
	for i := range 300 {
		s.exec(t, `INSERT INTO hostile.versions SELECT $1 + n, 'good', false, now(), false, 'x', '' FROM generate_series(1, 10) AS n`, 10_000+10*i)
		if i == 9 {
			break
		}
	}
	if old, err := storage.Versions(t.Context(), "good"); err != nil || len(old) > keptVersions {
		t.Errorf("%d versions, %v", len(old), err)
	}
}

func noState(t *testing.T, s *server) {
	storage := s.open(t, "stateless")
	put(t, storage, "a", "1", 0)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, `DELETE FROM stateless.state`)
	if _, err := storage.Put(t.Context(), "b", nil, 0); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("Put: %v", err)
	}
	until(t, updates, func(u environment.Update) bool { return errors.Is(u.Err, trustkeep.ErrCorrupt) })
	if _, err := storage.Watch(t.Context(), ""); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("Watch: %v", err)
	}
	if _, err := Open(t.Context(), s.pool(t, "me"), Options{Schema: "stateless"}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("Open: %v", err)
	}
	s.exec(t, `INSERT INTO stateless.state (layout, last) VALUES (1, 0)`)
	put(t, storage, "b", "1", 0)
	until(t, updates, func(u environment.Update) bool { return u.Full && len(u.Records) == 2 })
}

func stateBehind(t *testing.T, s *server) {
	storage := s.open(t, "behind")
	a := put(t, storage, "a", "1", 0)
	b := put(t, storage, "b", "1", 0)
	s.exec(t, `UPDATE behind.state SET last = 0`)
	if next := put(t, storage, "a", "2", a); next <= b {
		t.Errorf("revision %d after %d", next, b)
	}
	s.exec(t, `UPDATE behind.state SET last = -9223372036854775808`)
	put(t, storage, "c", "1", 0)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full && len(u.Records) == 3 })
}

// settings: what a server or a connection string sets for every transaction.
func settings(t *testing.T, s *server) {
	const own = `options='-c default_transaction_isolation=serializable -c default_transaction_deferrable=on -c search_path=evil,pg_catalog -c synchronous_commit=off -c bytea_output=escape -c datestyle=SQL -c timezone=Asia/Tokyo'`
	s.exec(t, `CREATE SCHEMA evil;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$SELECT 'evil'::text$$;
CREATE FUNCTION evil.starts_with(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT true$$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'infinity'::timestamptz$$`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.configured(t, "set", own, nil) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	storage, other := s.configured(t, "set", own, nil), s.configured(t, "set", own, nil)
	put(t, storage, "a/b", "1", 0)
	updates, err := storage.Watch(t.Context(), "a/")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full })
	for i := range 10 {
		wg.Go(func() { put(t, storage, fmt.Sprintf("b/%d", i), "1", 0) })
		wg.Go(func() { put(t, other, fmt.Sprintf("c/%d", i), "1", 0) })
	}
	wg.Wait()
	put(t, other, "a/c", "1", 0)
	u := until(t, updates, func(u environment.Update) bool { return len(u.Records) > 0 })
	if len(u.Records) != 1 || u.Records[0].Key != "a/c" || u.Records[0].Err != nil || time.Since(u.Records[0].Time) > time.Hour {
		t.Errorf("a watcher of a/ is told of %+v", u.Records)
	}
	if all, err := storage.List(t.Context(), "c/"); err != nil || len(all) != 10 {
		t.Errorf("List has %d records, %v", len(all), err)
	}
	// What was reported as written is on the disk, whatever the server's default.
	tx, err := storage.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := storage.add(t.Context(), tx, "d", nil, false, 0); err != nil {
		t.Fatal(err)
	}
	var commit string
	if err := tx.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&commit); err != nil || commit == "off" {
		t.Errorf("commits that wait for nothing: %s, %v", commit, err)
	}
}

// turkish: a database in whose language the small letter of I has no dot.
func turkish(t *testing.T, s *server) {
	s.exec(t, `CREATE DATABASE turkish TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr'`)
	storage := s.configured(t, "", "", func(c *pgxpool.Config) { c.ConnConfig.Database = "turkish" })
	for _, twins := range [][2]string{{"a/KIT", "a/kit"}, {"b/kit", "b/KIT"}} {
		put(t, storage, twins[0], "1", 0)
		if _, err := storage.Put(t.Context(), twins[1], nil, 0); !errors.Is(err, trustkeep.ErrExists) {
			t.Errorf("Put(%s) beside %s: %v", twins[1], twins[0], err)
		}
	}
}

// standing: a program that stands still in the middle of a write holds others up for a while
// and not for ever.
func standing(t *testing.T, s *server) {
	storage := s.open(t, "")
	storage.standstill = 500 * time.Millisecond
	tx, err := storage.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := storage.add(t.Context(), tx, "a", nil, false, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.open(t, storage.o.Schema).Put(ctx, "b", nil, 0); err != nil {
		t.Errorf("Put beside a transaction that stands still: %v", err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("what stood still was committed")
	}
	if all, err := storage.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].Key != "b" {
		t.Errorf("List = %+v, %v", all, err)
	}
}

// counting counts queries.
type counting struct{ queries atomic.Int64 }

func (c *counting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries.Add(1)
	return ctx
}
func (c *counting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// flood: anybody who can connect may notify.
func flood(t *testing.T, s *server) {
	var count counting
	storage := s.configured(t, "", "", func(c *pgxpool.Config) { c.ConnConfig.Tracer = &count })
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full })
	before := count.queries.Load()
	const notifications = 4000
	s.exec(t, `SELECT pg_notify($1, repeat('x', 1000) || n) FROM generate_series(1, 4000) AS n`, "trustkeep:"+storage.o.Schema)
	put(t, s.open(t, storage.o.Schema), "a", "1", 0)
	until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 })
	for end := time.After(3 * testBeat); end != nil; {
		select {
		case <-updates:
		case <-end:
			end = nil
		}
	}
	if n := count.queries.Load() - before; n > notifications/4 {
		t.Errorf("%d queries for %d notifications and one record", n, notifications)
	}
}

// closing: a Storage that is closed while a watch begins.
func closing(t *testing.T, s *server) {
	var storage *Storage
	var wg sync.WaitGroup
	storage = s.configured(t, "", "", func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if storage != nil {
				wg.Go(func() { storage.Close() })
				<-storage.closed.Done()
			}
			return dial(context.WithoutCancel(ctx), network, address)
		}
	})
	storage.pool.Reset()
	_, err := storage.Watch(t.Context(), "")
	wg.Wait()
	if !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Watch of a storage that was closed meanwhile: %v", err)
	}
}

// endedWhileBeginning: the caller's context ends while the server is not heard of.
func endedWhileBeginning(t *testing.T, s *server) {
	var hang atomic.Bool
	began := make(chan bool, 10)
	storage := s.configured(t, "", "", func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if hang.Load() {
				began <- true
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return dial(ctx, network, address)
		}
	})
	storage.pool.Reset()
	hang.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if _, err := storage.Watch(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v", err)
	}
	hang.Store(false)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full })
}

// closedPool: the pool's owner closes it before the Storage, which is then closed too.
func closedPool(t *testing.T, s *server) {
	storage := s.open(t, "")
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	storage.pool.Close()
	if _, err := storage.Get(t.Context(), "a"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, err := storage.Put(t.Context(), "a", nil, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Put: %v", err)
	}
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	var last environment.Update
	timeout := time.After(20 * time.Second)
	for open := true; open; {
		var u environment.Update
		select {
		case u, open = <-updates:
			if open {
				last = u
			}
		case <-timeout:
			t.Fatal("the watch goes on without a pool")
		}
	}
	if !errors.Is(last.Err, fs.ErrClosed) {
		t.Errorf("the last update has error %v", last.Err)
	}
}

func poolOfOne(t *testing.T, s *server) {
	storage := s.configured(t, "", "pool_max_conns=1", nil)
	var all []<-chan environment.Update
	for range 20 {
		updates, err := storage.Watch(t.Context(), "a/")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, updates)
	}
	put(t, storage, "a/b", "1", 0)
	for _, updates := range all {
		until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 })
	}
	var connections int
	row := storage.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%"' || $1 || '".%'`, storage.o.Schema)
	if err := row.Scan(&connections); err != nil || connections > 3 {
		t.Errorf("%d connections for 20 watchers of one program, %v", connections, err)
	}
}

// hooks: a password that changes is set by a hook of the pool, and so is a role.
func hooks(t *testing.T, s *server) {
	var after atomic.Int32
	storage := s.configured(t, "", "", func(c *pgxpool.Config) {
		c.ConnConfig.User = "nobody"
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			c.User = "me"
			return nil
		}
		c.AfterConnect = func(context.Context, *pgx.Conn) error { after.Add(1); return nil }
	})
	before := after.Load()
	storage.pool.Reset()
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full })
	if after.Load() == before {
		t.Error("the watcher's connection was made without the pool's hooks")
	}
}

// modes: without prepared statements, as old poolers want it.
func modes(t *testing.T, s *server) {
	for _, mode := range []string{"exec", "simple_protocol", "describe_exec", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			storage := s.configured(t, "", "default_query_exec_mode="+mode, nil)
			revision := put(t, storage, "a/b", "1\x00\xff", 0)
			updates, err := storage.Watch(t.Context(), "a/", "none")
			if err != nil {
				t.Fatal(err)
			}
			u := until(t, updates, func(u environment.Update) bool { return u.Full })
			if len(u.Records) != 1 || string(u.Records[0].Value) != "1\x00\xff" || u.Records[0].Err != nil {
				t.Errorf("the watcher sees %+v", u)
			}
			if _, err := storage.Put(t.Context(), "a/B", nil, 0); !errors.Is(err, trustkeep.ErrExists) {
				t.Errorf("Put: %v", err)
			}
			if err := storage.Delete(t.Context(), "a/b", revision); err != nil {
				t.Fatal(err)
			}
			until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 && u.Records[0].Deleted })
			if old, err := storage.Versions(t.Context(), "a/b"); err != nil || len(old) != 2 {
				t.Errorf("Versions = %+v, %v", old, err)
			}
		})
	}
}

// deaf sends a commit and hears no answer.
type deaf struct {
	net.Conn
	armed *atomic.Bool
}

func (d deaf) Write(b []byte) (int, error) {
	n, err := d.Conn.Write(b)
	if bytes.Contains(b, []byte("commit\x00")) && d.armed.CompareAndSwap(true, false) {
		d.Conn.Close()
	}
	return n, err
}

// lostAnswer: a write whose answer is lost is found, rather than reported as unknown.
func lostAnswer(t *testing.T, s *server) {
	var armed atomic.Bool
	storage := s.configured(t, "", "", func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := dial(ctx, network, address)
			return deaf{raw, &armed}, err
		}
	})
	revision := uint64(0)
	for i := range 5 {
		armed.Store(true)
		next, err := storage.Put(t.Context(), "k", fmt.Append(nil, i), revision)
		if err != nil || next <= revision || armed.Load() {
			t.Fatalf("number %d: revision %d, %v", i, next, err)
		}
		revision = next
	}
	armed.Store(true)
	if err := storage.Delete(t.Context(), "k", revision); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if old, err := storage.Versions(t.Context(), "k"); err != nil || len(old) != 6 || !old[5].Deleted {
		t.Errorf("Versions = %+v, %v", old, err)
	}
}

// leaks: watches that end and Storages that are closed leave nothing.
func leaks(t *testing.T, s *server) {
	p := s.pool(t, "me")
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 5 {
		storage, err := Open(t.Context(), p, Options{Schema: "leaks", Heartbeat: testBeat})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			updates, err := storage.Watch(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			until(t, updates, func(u environment.Update) bool { return u.Full })
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if updates, err := storage.Watch(t.Context(), ""); err == nil {
					for range updates {
					}
				} else if !errors.Is(err, fs.ErrClosed) {
					t.Error(err)
				}
			})
		}
		cancel()
		storage.Close()
		wg.Wait()
	}
	testnet.Goroutines(t, before+2) // those of the pool
}

// deadPool: after a restart of the server no call fails for a connection of before.
func deadPool(t *testing.T, s *server) {
	storage := s.configured(t, "", "application_name=doomed", nil)
	revision := uint64(0)
	for _, call := range []func() error{
		func() (err error) { revision, err = storage.Put(t.Context(), "a", nil, revision); return err },
		func() error { _, err := storage.Get(t.Context(), "a"); return err },
		func() error { _, err := storage.List(t.Context(), ""); return err },
		func() error { return storage.Delete(t.Context(), "a", revision) },
	} {
		var all []*pgxpool.Conn
		for range storage.pool.Config().MaxConns {
			c, err := storage.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		for _, c := range all {
			c.Release()
		}
		s.exec(t, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'doomed'")
		if err := call(); err != nil {
			t.Error(err)
		}
	}
}
