package environment

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// age is how long an atom has heard nothing.
type age struct {
	since atomic.Pointer[time.Time] // when what the atom has was known to be current
	look  chan struct{}             // holds one: somebody has found that it is too old, or no longer
	ended chan struct{}             // closed with the goroutine that tells

	mu   sync.Mutex
	told bool // that it is too old
}

// Heard is when what the atom has was last known to be current, by Options.Clock. Without
// Options.Authority that is when the storage was reached, whether or not it had anything new.
// With one, whoever owns the storage could hold back what is new, so it is when the state
// that the atom has was released or dated, see Environment.Date; it is then never later than
// when the storage was reached. It is the zero Time for a state whose age is not known.
func (a *Atom) Heard() time.Time { return *a.age.since.Load() }

// Age is how long ago Heard was. It is zero, and not less, if the clock was set back.
func (a *Atom) Age() time.Duration { return max(0, a.r.now().Sub(a.Heard())) }

// index is the number of the index that vouches for the state, zero without Options.Authority.
func (a *Atom) index() uint64 {
	if a.gate == nil {
		return 0
	}
	return a.gate.number()
}

// hears takes note of when the storage was reached.
func (a *Atom) hears(at time.Time) {
	if a.gate != nil {
		if dated := a.gate.datedAt(); dated.Before(at) {
			at = dated
		}
	}
	at = at.Round(0) // the time that a machine sleeps counts too
	a.age.since.Store(&at)
	if a.local != nil && a.state.Load() != nil && !a.offline && a.local.behind(at, a.o.copyEvery()) {
		a.local.save(a.copyState())
	}
	a.lookAtAge()
}

// ageProblem says that nothing was heard for longer than AtomOptions.MaxAge.
func (a *Atom) ageProblem() error {
	if a.o.MaxAge == 0 {
		return nil
	}
	var err error
	if old := a.Age(); old > a.o.MaxAge {
		what := "the state of the atom was last known to be current"
		if a.gate != nil {
			what = "the state of the atom was last dated"
		}
		ago := fmt.Sprintf("%s %v ago", what, old.Round(time.Second))
		if a.Heard().IsZero() {
			ago = "nobody knows when " + what
		}
		err = &trustkeep.Error{
			Op: "age", Err: fmt.Errorf("%s, AtomOptions.MaxAge is %v: %w", ago, a.o.MaxAge, trustkeep.ErrExpired),
			Hint: "Atom.Problem says why nothing is heard",
		}
	}
	a.age.mu.Lock()
	defer a.age.mu.Unlock()
	if (err != nil) != a.age.told {
		a.lookAtAge()
	}
	return err
}

// tooOld is why the atom trusts nobody and has no identity any more, nil if it may go on.
func (a *Atom) tooOld() error {
	if a.o.MaxAgeWarns {
		return nil
	}
	return a.ageProblem()
}

// lookAtAge has the goroutine look now.
func (a *Atom) lookAtAge() {
	select {
	case a.age.look <- struct{}{}:
	default:
	}
}

// watchAge tells once that the atom has become too old, and that it no longer is.
func (a *Atom) watchAge(ctx context.Context) {
	defer close(a.age.ended)
	if a.o.MaxAge == 0 {
		return
	}
	for {
		a.tellAge()
		wait := max(a.o.MaxAge-a.Age(), time.Second)
		if a.Age() > a.o.MaxAge {
			wait = time.Minute // hearing something ends it
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.age.look:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func (a *Atom) tellAge() {
	err := a.ageProblem()
	a.age.mu.Lock()
	told := a.age.told
	a.age.told = err != nil
	a.age.mu.Unlock()
	switch {
	case told == (err != nil):
		return
	case err == nil:
		a.o.Logger.Info("the state of the atom is recent again", "atom", a.id)
	case a.o.MaxAgeWarns:
		a.o.Logger.Warn("the state of the atom is too old; it goes on with it", "atom", a.id, "error", err)
	default:
		a.o.Logger.Error("the state of the atom is too old; it trusts nobody until it hears of its registry", "atom", a.id, "error", err)
	}
	if a.o.OnAge != nil {
		a.o.OnAge(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notify() // so that open connections are looked at
}

// recent is a source of trust while the atom is not too old.
type recent struct {
	a *Atom
	truststore.Source
}

// Snapshot implements truststore.Source.
func (r recent) Snapshot() (*truststore.Snapshot, error) {
	if err := r.a.tooOld(); err != nil {
		return nil, failure("trust", r.a.id, err)
	}
	return r.Source.Snapshot()
}

// AtomState is what an atom has told of itself by Atom.Report, or when it was attached.
type AtomState struct {
	ID       string
	Attached time.Time
	// Reported is when it told, by its own clock.
	Reported time.Time
	// Heard is Atom.Heard as of then. It is the zero Time for programs of before.
	Heard time.Time
	// Index is the number of the environment's index that it had, zero without
	// Options.Authority.
	Index uint64
}

// Lagging lists the atoms of the environment whose state was not known to be current in the
// last time, by ID: those that cannot reach the storage, those that it holds something back
// from, and those that do not call Atom.Report, so choose longer than they wait between two
// reports. If it is zero, all atoms are listed. Reports are not signed: who can write to the
// storage can forge them. The error wraps trustkeep.ErrInvalid for a time below zero.
func (e *Environment) Lagging(ctx context.Context, longer time.Duration) ([]AtomState, error) {
	if longer < 0 {
		return nil, failure("lagging", e.id, fmt.Errorf("a time of %v: %w", longer, trustkeep.ErrInvalid))
	}
	if _, err := e.record(ctx); err != nil {
		return nil, failure("lagging", e.id, err)
	}
	v, err := e.r.listOf(ctx, atomKey(e.id, ""))
	if err != nil {
		return nil, failure("lagging", e.id, err)
	}
	var out []AtomState
	for _, one := range sortedBy(v.atoms) {
		s := AtomState{ID: one.id, Attached: one.record.Attached, Reported: one.record.Time, Heard: one.record.Heard, Index: one.record.Index}
		if longer == 0 || e.r.now().Sub(s.Heard) > longer {
			out = append(out, s)
		}
	}
	return out, failure("lagging", e.id, v.problem())
}
