package pgstore

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep/environment"
)

var benchSubscribers = flag.String("pgstore.bench", "1,50", "numbers of programs of BenchmarkDeployment and BenchmarkRestart")

// benchmark runs with a server that takes as many connections.
func benchmark(b *testing.B, run func(b *testing.B, s *server, n int)) {
	for _, text := range strings.Split(*benchSubscribers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("programs="+text, func(b *testing.B) {
			run(b, start(b, "-c", fmt.Sprintf("max_connections=%d", 3*n+50)), n)
		})
	}
}

// followers opens a Storage each, as programs would, and watches.
func followers(ctx context.Context, b *testing.B, s *server, n int, follow func(<-chan environment.Update)) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	b.Cleanup(wg.Wait)
	b.Cleanup(cancel)
	for range n {
		updates, err := s.configured(b, "bench", "", func(c *pgxpool.Config) { c.MaxConns = 1 }).Watch(ctx, "")
		if err != nil {
			b.Fatal(err)
		}
		<-updates
		wg.Go(func() { follow(updates) })
	}
}

// BenchmarkDeployment puts a record of 4 KiB and waits until all programs have it.
func BenchmarkDeployment(b *testing.B) {
	benchmark(b, func(b *testing.B, s *server, n int) {
		writer := s.configured(b, "bench", "", nil)
		last := put(b, writer, "k", string(make([]byte, 4<<10)), 0)
		arrivals := make(chan time.Time, n)
		followers(b.Context(), b, s, n, func(updates <-chan environment.Update) {
			for u := range updates {
				now := time.Now()
				for range u.Records {
					arrivals <- now
				}
			}
		})
		var puts, each, all []time.Duration
		for b.Loop() {
			begin := time.Now()
			last = put(b, writer, "k", string(make([]byte, 4<<10)), last)
			puts = append(puts, time.Since(begin))
			for range n {
				each = append(each, (<-arrivals).Sub(begin))
			}
			all = append(all, time.Since(begin))
		}
		report(b, map[string][]time.Duration{"put": puts, "seen": each, "all": all})
	})
}

// BenchmarkRestart kills the server and starts it again, and waits until all programs have
// everything: a hundred records of 4 KiB.
func BenchmarkRestart(b *testing.B) {
	benchmark(b, func(b *testing.B, s *server, n int) {
		writer := s.configured(b, "bench", "", nil)
		for i := range 100 {
			put(b, writer, fmt.Sprintf("k%d", i), string(make([]byte, 4<<10)), 0)
		}
		current := make(chan bool, n)
		followers(b.Context(), b, s, n, func(updates <-chan environment.Update) {
			lost := false
			for u := range updates {
				if lost = lost || u.Err != nil; lost && u.Full && u.Err == nil {
					lost = false
					current <- true
				}
			}
		})
		var up, all []time.Duration
		for b.Loop() {
			s.stop("immediate")
			begin := time.Now()
			s.begin()
			up = append(up, time.Since(begin))
			for range n {
				<-current
			}
			all = append(all, time.Since(begin))
		}
		report(b, map[string][]time.Duration{"server": up, "all": all})
	})
}

func report(b *testing.B, all map[string][]time.Duration) {
	for name, times := range all {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, name+"-median-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}
