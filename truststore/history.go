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

// Activate goes back to the certificates and scopes of an earlier generation (see
// Generation), in a new generation of its own: what follows the store follows this change
// like any other. A store remembers the last 16 generations before the current one, for as
// long as the program runs. It fails with trustkeep.ErrNotFound for any other.
func (t *Truststore) Activate(generation uint64) error {
	if t == nil {
		return errNil("activate")
	}
	release, err := t.turns.Take()
	if err != nil {
		return err
	}
	defer release()
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
