package natskv

import (
	"context"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment/storagetest"
)

var (
	puts        = flag.Int("natskv.puts", 1000, "deployments of TestFaults")
	subscribers = flag.Int("natskv.subscribers", 50, "subscribers of TestFaults")
)

// Servers that are killed and restarted, and networks that are cut and that stand still,
// while one program deploys to many.
func TestFaults(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(*puts)*50*time.Millisecond)
	defer cancel()
	p := newProcess(t)
	proxies := make([]*proxy, 6) // the first is the writer's
	for i := range proxies {
		proxies[i] = newProxy(t, p.address())
	}
	d := storagetest.Deployments{Writes: *puts, Large: maxInline}
	all := make([]*storagetest.Followed, *subscribers)
	var wg sync.WaitGroup
	for i := range all {
		s := connectTo(t, proxies[1+i%(len(proxies)-1)].url(), Options{})
		updates, err := s.Watch(ctx, storagetest.Folder)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if all[i], err = d.Follow(ctx, updates); err != nil {
				t.Errorf("subscriber %d: %v", i, err)
			}
		})
	}
	writer := connectTo(t, proxies[0].url(), Options{})
	progress := make(chan int, 64) // so that faults happen while it writes
	wg.Go(func() {
		defer close(progress)
		d.Write(ctx, t, writer, progress)
	})
	faults := inject(p, proxies, progress, *puts)
	for _, x := range proxies {
		x.freeze(false)
		x.partition(false)
	}
	wg.Wait()
	fulls, updates, stops := 0, 0, 0
	for _, s := range all {
		fulls, updates, stops = fulls+s.Full, updates+s.Updates, stops+s.Stops
	}
	t.Logf("%d deployments to %d subscribers through %v: %d updates, %d of them full, %d cut off", *puts, len(all), faults, updates, fulls, stops)
	if faults["kill"] == 0 || stops <= len(all) {
		t.Error("nobody was disturbed")
	}
}

// inject makes a fault every so many writes, until they end.
func inject(p *process, proxies []*proxy, progress <-chan int, writes int) map[string]int {
	faults := make(map[string]int)
	every := max(1, writes/40)
	for n := range progress {
		x := proxies[n/every%len(proxies)]
		if n%every == every/2 {
			x.partition(false)
			x.freeze(false)
		}
		if n == 0 || n%every != 0 {
			continue
		}
		kind := []string{"kill", "partition", "freeze", "stop", "partition", "cut", "freeze", "partition", "all"}[n/every%9]
		faults[kind]++
		switch kind {
		case "kill":
			p.kill()
			p.start()
		case "stop":
			p.stop()
			p.start()
		case "cut":
			x.partition(true)
			x.partition(false)
		case "all":
			for _, x := range proxies {
				x.partition(true)
				x.partition(false)
			}
		case "partition", "freeze":
			if x == proxies[0] {
				// The writer would stand still, and with it the end of this.
				x.partition(true)
				x.partition(false)
			} else if kind == "partition" {
				x.partition(true)
			} else {
				x.freeze(true)
			}
		}
	}
	return faults
}
