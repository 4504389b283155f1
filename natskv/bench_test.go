package natskv

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment"
)

var benchSubscribers = flag.String("natskv.bench", "1,10,50,200", "numbers of subscribers of BenchmarkDeployment")

// BenchmarkDeployment puts a record of 4 KiB and waits until all subscribers have it, each
// over a connection of its own to a server in another process. The clocks begin
// before Put: seen is when one subscriber has it, all when the last one does.
func BenchmarkDeployment(b *testing.B) {
	for _, text := range strings.Split(*benchSubscribers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("subscribers="+text, func(b *testing.B) { benchmarkDeployment(b, n) })
	}
}

func benchmarkDeployment(b *testing.B, n int) {
	p := newProcess(b)
	url := "nats://" + p.address()
	writer := connectTo(b, url, Options{})
	last := mustPut(b, writer, "k", make([]byte, 4<<10), 0)
	before := p.memory()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	arrivals := make(chan time.Time, n)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range n {
		updates, err := connectTo(b, url, Options{}).Watch(ctx, "")
		if err != nil {
			b.Fatal(err)
		}
		<-updates
		wg.Go(func() {
			for u := range updates {
				receive(u, arrivals)
			}
		})
	}
	perSubscriber := (p.memory() - before) / float64(n)
	var each, all, puts []time.Duration
	for b.Loop() {
		start := time.Now()
		last = mustPut(b, writer, "k", make([]byte, 4<<10), last)
		puts = append(puts, time.Since(start))
		for i := range n {
			d := (<-arrivals).Sub(start)
			each = append(each, d)
			if i == n-1 {
				all = append(all, time.Since(start))
			}
		}
	}
	report(b, map[string][]time.Duration{"put": puts, "seen": each, "all": all})
	if before > 0 {
		b.ReportMetric(perSubscriber, "server-KiB/subscriber")
	}
}

// BenchmarkRestart kills the server and starts it again, and waits until all subscribers
// know that they have everything: a hundred records of 4 KiB.
func BenchmarkRestart(b *testing.B) {
	for _, text := range strings.Split(*benchSubscribers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("subscribers="+text, func(b *testing.B) { benchmarkRestart(b, n) })
	}
}

func benchmarkRestart(b *testing.B, n int) {
	const records = 100
	p := newProcess(b)
	url := "nats://" + p.address()
	writer := connectTo(b, url, Options{})
	for i := range records {
		mustPut(b, writer, fmt.Sprintf("k%d", i), make([]byte, 4<<10), 0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	current := make(chan bool, n)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range n {
		s, err := Connect(ctx, Server{URLs: []string{url}}, Options{Timeout: 5 * time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		updates, err := s.Watch(ctx, "")
		if err != nil {
			b.Fatal(err)
		}
		<-updates
		wg.Go(func() {
			lost := false
			for u := range updates {
				if u.Err != nil {
					lost = true
				} else if lost || u.Full {
					lost = false
					current <- true
				}
			}
		})
	}
	var up, half, all []time.Duration
	for b.Loop() {
		p.kill()
		begin := time.Now()
		p.start()
		up = append(up, time.Since(begin))
		for i := range n {
			<-current
			if i == n/2 {
				half = append(half, time.Since(begin))
			}
		}
		all = append(all, time.Since(begin))
	}
	report(b, map[string][]time.Duration{"server": up, "half": half, "all": all})
}

func report(b *testing.B, all map[string][]time.Duration) {
	for name, times := range all {
		slices.Sort(times)
		b.ReportMetric(milliseconds(times[len(times)/2]), name+"-median-ms")
		b.ReportMetric(milliseconds(times[len(times)*99/100]), name+"-p99-ms")
	}
}

func receive(u environment.Update, arrivals chan<- time.Time) {
	now := time.Now()
	for range u.Records {
		arrivals <- now
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// memory is the resident memory of the server in KiB, zero where it is not known.
func (p *process) memory() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(fields[0], 64)
	return n
}
