package storagetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Deployments test a storage that is disturbed meanwhile, in ways that its package knows: one
// program writes, others watch, and nobody may be told of a state that never was.
//
// The writes are numbered, and number n goes to a key that follows from it, so what the storage
// holds after it is known.
type Deployments struct {
	// Writes is how many there are.
	Writes int
	// Large is the size in bytes by which one value in a hundred is larger than the others.
	Large int
}

// Folder holds all records.
const Folder = "deploy/"

const faultKeys = 8

func faultKey(n int) string { return fmt.Sprintf("%sk%d", Folder, n%faultKeys) }

// isDeletion says whether number n deletes the key, which number n-faultKeys has put.
func isDeletion(n int) bool { return n%(5*faultKeys) == 3+4*faultKeys }

// value is the number with its checksum, and with padding.
func (d Deployments) value(n int) string {
	text := fmt.Sprintf("%d %x", n, sha256.Sum256([]byte(strconv.Itoa(n))))
	if n%101 == 50 {
		text += strings.Repeat(" ", d.Large)
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

// Followed is what a watcher was told.
type Followed struct {
	Updates, Full int
	Stops         int // how often changes were said not to arrive

	d     Deployments
	state map[string]int
	at    int // number of the state
}

func (s *Followed) apply(u environment.Update) error {
	s.Updates++
	if u.Err != nil {
		s.Stops++
	}
	if u.Full {
		s.Full++
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
		if err != nil || string(r.Value) != s.d.value(n) || r.Key != faultKey(n) {
			return fmt.Errorf("%s has a value that nobody wrote", r.Key)
		}
		s.state[r.Key] = n
	}
	// A state is not told from the one before by its numbers if the last write was a
	// deletion of what was not there; there are none of those.
	for n := s.at; n <= s.at+s.d.Writes+faultKeys; n++ {
		if maps.Equal(s.state, stateAfter(n)) {
			s.at = n
			return nil
		}
	}
	return fmt.Errorf("after number %d, the state %v never was", s.at, s.state)
}

// Follow reads the updates of a watcher of Folder until the last write, and checks them all.
func (d Deployments) Follow(ctx context.Context, updates <-chan environment.Update) (*Followed, error) {
	s := &Followed{d: d, state: make(map[string]int), at: -1}
	for s.at < d.Writes-1 {
		select {
		case u, ok := <-updates:
			if !ok {
				return s, errors.New("the watch ended")
			}
			if err := s.apply(u); err != nil {
				return s, err
			}
		case <-ctx.Done():
			return s, fmt.Errorf("is at number %d of %d after %d updates: %w", s.at, d.Writes-1, s.Updates, ctx.Err())
		}
	}
	return s, nil
}

// Write does all writes in order, whatever happens, and says before each where it is. One that has
// failed is read before it is tried again: no other write may have come in between.
func (d Deployments) Write(ctx context.Context, t testing.TB, s environment.Storage, progress chan<- int) {
	t.Helper()
	revisions := make(map[string]uint64)
	unsure := 0
	for n := range d.Writes {
		select {
		case progress <- n:
		case <-ctx.Done():
			return
		}
		for {
			err := d.write(ctx, s, n, revisions)
			if err == nil {
				break
			}
			if ctx.Err() != nil || errors.Is(err, trustkeep.ErrConflict) || errors.Is(err, trustkeep.ErrNotFound) {
				// There is one writer, who knows what it has done.
				t.Errorf("number %d: %v", n, err)
				return
			}
			unsure++
			if done, err := d.written(ctx, s, n, revisions); err == nil && done {
				break
			}
		}
	}
	t.Logf("%d writes of unknown outcome", unsure)
}

func (d Deployments) write(ctx context.Context, s environment.Storage, n int, revisions map[string]uint64) error {
	key := faultKey(n)
	if isDeletion(n) {
		err := s.Delete(ctx, key, revisions[key])
		if err == nil {
			revisions[key] = 0
		}
		return err
	}
	revision, err := s.Put(ctx, key, []byte(d.value(n)), revisions[key])
	if err == nil {
		revisions[key] = revision
	}
	return err
}

// written finds out about a write that failed.
func (d Deployments) written(ctx context.Context, s environment.Storage, n int, revisions map[string]uint64) (bool, error) {
	r, err := s.Get(ctx, faultKey(n))
	if isDeletion(n) && errors.Is(err, trustkeep.ErrNotFound) {
		revisions[faultKey(n)] = 0
		return true, nil
	}
	if err != nil || isDeletion(n) || string(r.Value) != d.value(n) {
		return false, err
	}
	revisions[faultKey(n)] = r.Revision
	return true, nil
}
