package natskv

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Of programs that create records at once whose keys differ in case alone, one wins at most, and what
// the others wrote is gone. Capitals count as two bytes.
func TestCapitals(t *testing.T) {
	url := newBroker(t, nil).ClientURL()
	keys := []string{"a/key", "a/Key", "A/key", "a/KEY"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for _, key := range keys {
		s := connectTo(t, url, Options{})
		wg.Go(func() {
			_, err := s.Put(t.Context(), key, []byte(key), 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, key)
			} else if !errors.Is(err, trustkeep.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := connectTo(t, url, Options{})
	all, err := s.List(t.Context(), "")
	if err != nil || len(won) > 1 || len(all) != len(won) {
		t.Errorf("%q won, and there are %+v, %v", won, all, err)
	}
	for _, r := range all {
		if err := s.Delete(t.Context(), r.Key, r.Revision); err != nil {
			t.Error(err)
		}
	}
	for _, key := range keys { // what was deleted is no twin
		if err := s.Delete(t.Context(), key, mustPut(t, s, key, nil, 0)); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Put(t.Context(), strings.Repeat("K", environment.MaxKey/2+1), nil, 0); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("a key that is too long: %v", err)
	}
}
