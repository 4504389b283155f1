package truststore

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// maxHistory is how many generations before the current one a store remembers.
const maxHistory = 16

// advance puts a state in force and remembers the one before. The caller holds the
// lock.
func (t *Truststore) advance(old, next *state) {
	t.history = append(t.history, old)
	if len(t.history) > maxHistory {
		t.history = append([]*state(nil), t.history[len(t.history)-maxHistory:]...)
	}
	t.state.Store(next)
}

// Generations returns the generations that Activate knows, the oldest first and the
// current one last. A store remembers the last 16 before the current one, for as long
// as the program runs.
func (t *Truststore) Generations() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []uint64
	for _, s := range t.history {
		out = append(out, s.snapshot.generation)
	}
	return append(out, t.current().snapshot.generation)
}

// Activate goes back to the certificates and scopes of an earlier generation, in a new
// generation of its own: what follows the store follows this change like any other. It
// fails with trustkeep.ErrNotFound for a generation that is not remembered.
func (t *Truststore) Activate(generation uint64) error {
	if t == nil {
		return errNil("activate")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.current()
	if now.snapshot.generation == generation {
		return nil
	}
	for _, s := range t.history {
		if s.snapshot.generation != generation {
			continue
		}
		b := newEditor(now)
		b.entries, b.scopes = s.entries, s.scopes
		t.advance(now, b.state(now.snapshot.generation+1))
		return nil
	}
	return &trustkeep.Error{Op: "truststore: activate", Err: fmt.Errorf("generation %d: %w", generation, trustkeep.ErrNotFound)}
}

// Diff returns what trust in after has and trust in before has not, and the other way
// round. Nil snapshots are empty. Pins, scopes and the platform's roots are not looked
// at.
func Diff(before, after *Snapshot) trustkeep.Change {
	if before == nil {
		before = new(Snapshot)
	}
	if after == nil {
		after = new(Snapshot)
	}
	return trustkeep.Change{Generation: after.generation, Added: missing(after, before, nil), Removed: missing(before, after, nil)}
}
