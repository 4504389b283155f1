package pgstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

var (
	puts        = flag.Int("pgstore.puts", 300, "deployments of TestInteropPostgresFaults")
	subscribers = flag.Int("pgstore.subscribers", 12, "subscribers of TestInteropPostgresFaults")
)

// TestInteropPostgresFaults kills the server, its processes and connections, and makes some stand
// still, while one program deploys to many.
func TestInteropPostgresFaults(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "postgres", "initdb", "pg_ctl")
	testtool.Exchange{Peer: "postgres", Mode: "faults", What: "writes while the server is killed: nothing lost, nobody told of a state that never was"}.Log(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(*puts)*50*time.Millisecond)
	defer cancel()
	s := start(t)
	d := storagetest.Deployments{Writes: *puts, Large: 1 << 20}
	all := make([]*storagetest.Followed, *subscribers)
	var wg sync.WaitGroup
	for i := range all {
		updates, err := s.configured(t, "faults", "application_name=watcher", nil).Watch(ctx, storagetest.Folder)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if all[i], err = d.Follow(ctx, updates); err != nil {
				t.Errorf("subscriber %d: %v", i, err)
			}
		})
	}
	writer := s.configured(t, "faults", "options='-c synchronous_commit=off'", nil)
	progress := make(chan int, 8)
	wg.Go(func() {
		defer close(progress)
		d.Write(ctx, t, writer, progress)
	})
	faults := s.inject(ctx, progress)
	wg.Wait()
	fulls, updates, stops := 0, 0, 0
	for _, f := range all {
		fulls, updates, stops = fulls+f.Full, updates+f.Updates, stops+f.Stops
	}
	t.Logf("%d deployments to %d subscribers through %v: %d updates, %d of them full, %d cut off", *puts, len(all), faults, updates, fulls, stops)
	if stops <= len(all) {
		t.Error("nobody was disturbed")
	}
}

// inject makes a fault every so many writes, until they end.
func (s *server) inject(ctx context.Context, progress <-chan int) map[string]int {
	faults := make(map[string]int)
	every := max(1, *puts/8)
	var frozen []int
	for n := range progress {
		if n == 0 || n%every != 0 || ctx.Err() != nil {
			continue
		}
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT) // fails if it has ended
		}
		frozen = nil
		kind := []string{"freeze", "stop", "terminate", "crash", "freeze", "stop", "terminate"}[n/every%7]
		faults[kind]++
		switch kind {
		case "stop":
			s.stop("immediate")
			s.begin()
		case "terminate":
			s.backends("true", func(int) {}, "pg_terminate_backend(pid)")
		case "crash": // of one process, after which the server ends all
			once := false
			s.backends("true", func(pid int) {
				if !once {
					once = true
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}, "random()")
		case "freeze":
			s.backends("application_name = 'watcher'", func(pid int) {
				if rand.IntN(2) == 0 {
					frozen = append(frozen, pid)
					_ = syscall.Kill(pid, syscall.SIGSTOP)
				}
			}, "true")
		}
	}
	for _, pid := range frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	return faults
}

// backends calls f with the processes of other clients, after it has selected something of them.
func (s *server) backends(which string, f func(pid int), what string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		c, err := pgx.Connect(ctx, fmt.Sprintf("host=%s user=me dbname=postgres", s.folder))
		if err != nil {
			continue // it is starting
		}
		rows, err := c.Query(ctx, "SELECT pid, "+what+" FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND "+which+" ORDER BY 2")
		if err != nil {
			c.Close(ctx)
			continue
		}
		var pids []int
		for rows.Next() {
			if values, err := rows.Values(); err == nil {
				pids = append(pids, int(values[0].(int32)))
			}
		}
		rows.Close()
		c.Close(ctx)
		for _, pid := range pids {
			f(pid)
		}
		return
	}
	s.t.Error("the server does not come back")
}

// dead: a connection through which nothing comes any more is noticed by the heartbeat.
func dead(t *testing.T, s *server) {
	storage := s.configured(t, "", "application_name=dead", nil)
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full })
	var frozen []int
	begin := time.Now()
	s.backends("application_name = 'dead'", func(pid int) {
		frozen = append(frozen, pid)
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}, "true")
	defer func() {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}()
	until(t, updates, func(u environment.Update) bool { return errors.Is(u.Err, errSilent) })
	t.Logf("noticed after %v, with a heartbeat of %v", time.Since(begin), testBeat)
	put(t, s.open(t, storage.o.Schema), "a", "1", 0)
	until(t, updates, func(u environment.Update) bool { return u.Full && u.Err == nil && len(u.Records) == 1 })
}

// TestInteropPostgresStandby reads and watches a server that takes no writes, until it does.
func TestInteropPostgresStandby(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "postgres", "initdb", "pg_ctl")
	testtool.Exchange{Peer: "postgres", Mode: "standby", What: "reading, watching, and writing after a promotion"}.Log(t)
	s := start(t)
	before := s.configured(t, "kept", "", nil)
	revision := put(t, before, "a", "1", 0)
	before.Close()
	before.pool.Close()
	s.stop("fast")
	s.write("data/standby.signal", "")
	s.begin()
	storage := s.configured(t, "kept", "", func(c *pgxpool.Config) { c.MaxConns = 4 })
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, updates, func(u environment.Update) bool { return u.Full && len(u.Records) == 1 })
	until(t, updates, func(u environment.Update) bool { return !u.Full && u.Err == nil })
	if _, err := storage.Put(t.Context(), "a", nil, revision); codeOf(err) != readOnly {
		t.Errorf("Put to a standby: %v", err)
	}
	s.run("pg_ctl", "promote", "-D", s.data())
	put(t, storage, "a", "2", revision)
	until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 && string(u.Records[0].Value) == "2" })
}
