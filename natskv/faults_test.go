package natskv

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

var (
	puts        = flag.Int("natskv.puts", 1000, "deployments of TestFaults")
	subscribers = flag.Int("natskv.subscribers", 50, "subscribers of TestFaults")
)

// The writes of the faults test are numbered, and number n goes to a key that follows from
// it, so what the storage holds after it is known: nothing else is a state that ever was.
const faultKeys = 8

func faultKey(n int) string { return fmt.Sprintf("deploy/k%d", n%faultKeys) }

// isDeletion says whether number n deletes the key, which number n-faultKeys has put.
func isDeletion(n int) bool { return n%(5*faultKeys) == 3+4*faultKeys }

// faultValue is the number with its checksum, and with padding that puts some values
// beyond what is kept in one message.
func faultValue(n int) string {
	text := fmt.Sprintf("%d %x", n, sha256.Sum256([]byte(strconv.Itoa(n))))
	if n%101 == 50 {
		text += strings.Repeat(" ", maxInline)
	}
	return text
}

// stateAfter is what the storage holds after number n; -1 is empty.
func stateAfter(n int) map[string]int {
	state := make(map[string]int)
	for m := max(0, n-faultKeys+1); m <= n; m++ {
		if !isDeletion(m) {
			state[faultKey(m)] = m
		}
	}
	return state
}

// subscriber follows the writer and checks everything that it is told.
type subscriber struct {
	state   map[string]int
	at      int // number of the state
	fulls   int
	stops   int // how often it was told that changes do not arrive
	updates int
}

func (s *subscriber) apply(u environment.Update) error {
	s.updates++
	if u.Err != nil {
		s.stops++
	}
	if u.Full {
		s.fulls++
		clear(s.state)
	}
	for _, r := range u.Records {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", r.Key, r.Err)
		}
		if r.Deleted {
			delete(s.state, r.Key)
			continue
		}
		number, _, _ := strings.Cut(string(r.Value), " ")
		n, err := strconv.Atoi(number)
		if err != nil || string(r.Value) != faultValue(n) || r.Key != faultKey(n) {
			return fmt.Errorf("%s has a value that nobody wrote", r.Key)
		}
		s.state[r.Key] = n
	}
	// A state is not told from the one before by its numbers if the last write was a
	// deletion of what was not there; there are none of those.
	for n := s.at; n <= s.at+*puts+faultKeys; n++ {
		if maps.Equal(s.state, stateAfter(n)) {
			s.at = n
			return nil
		}
	}
	return fmt.Errorf("after number %d, the state %v never was", s.at, s.state)
}

func (s *subscriber) follow(ctx context.Context, updates <-chan environment.Update, last int) error {
	for s.at < last {
		select {
		case u, ok := <-updates:
			if !ok {
				return errors.New("the watch ended")
			}
			if err := s.apply(u); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("is at number %d of %d after %d updates: %w", s.at, last, s.updates, ctx.Err())
		}
	}
	return nil
}

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
	all := make([]*subscriber, *subscribers)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &subscriber{state: make(map[string]int), at: -1}
		s := connectTo(t, proxies[1+i%(len(proxies)-1)].url(), Options{})
		updates, err := s.Watch(ctx, "deploy/")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := all[i].follow(ctx, updates, *puts-1); err != nil {
				t.Errorf("subscriber %d: %v", i, err)
			}
		})
	}
	writer := connectTo(t, proxies[0].url(), Options{})
	progress := make(chan int, 64) // so that faults happen while it writes
	wg.Go(func() {
		defer close(progress)
		deploy(ctx, t, writer, progress)
	})
	faults := inject(p, proxies, progress)
	for _, x := range proxies {
		x.freeze(false)
		x.partition(false)
	}
	wg.Wait()
	fulls, updates, stops := 0, 0, 0
	for _, s := range all {
		fulls, updates, stops = fulls+s.fulls, updates+s.updates, stops+s.stops
	}
	t.Logf("%d deployments to %d subscribers through %v: %d updates, %d of them full, %d cut off", *puts, len(all), faults, updates, fulls, stops)
	if faults["kill"] == 0 || stops <= len(all) {
		t.Error("nobody was disturbed")
	}
}

// deploy writes all numbers in order, whatever happens, and says where it is.
func deploy(ctx context.Context, t *testing.T, s *Storage, progress chan<- int) {
	revisions := make(map[string]uint64)
	unsure := 0
	for n := range *puts {
		select {
		case progress <- n:
		case <-ctx.Done():
			return
		}
		for {
			err := write(ctx, s, n, revisions)
			if err == nil {
				break
			}
			if ctx.Err() != nil || errors.Is(err, trustkeep.ErrConflict) || errors.Is(err, trustkeep.ErrNotFound) {
				// There is one writer, who knows what it has done.
				t.Errorf("number %d: %v", n, err)
				return
			}
			unsure++
			if done, err := written(ctx, s, n, revisions); err == nil && done {
				break
			}
		}
	}
	t.Logf("%d writes of unknown outcome", unsure)
}

func write(ctx context.Context, s *Storage, n int, revisions map[string]uint64) error {
	key := faultKey(n)
	if isDeletion(n) {
		err := s.Delete(ctx, key, revisions[key])
		if err == nil {
			revisions[key] = 0
		}
		return err
	}
	revision, err := s.Put(ctx, key, []byte(faultValue(n)), revisions[key])
	if err == nil {
		revisions[key] = revision
	}
	return err
}

// written finds out about a write that failed.
func written(ctx context.Context, s *Storage, n int, revisions map[string]uint64) (bool, error) {
	r, err := s.Get(ctx, faultKey(n))
	if isDeletion(n) && errors.Is(err, trustkeep.ErrNotFound) {
		revisions[faultKey(n)] = 0
		return true, nil
	}
	if err != nil || isDeletion(n) || string(r.Value) != faultValue(n) {
		return false, err
	}
	revisions[faultKey(n)] = r.Revision
	return true, nil
}

// inject makes a fault every so many writes, until they end.
func inject(p *process, proxies []*proxy, progress <-chan int) map[string]int {
	faults := make(map[string]int)
	every := max(1, *puts/40)
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
