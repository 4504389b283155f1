package storefile

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Turns lets the writers of a store in memory take turns. The zero value is ready.
//
// SaveOptions.Check is called in the turn of the save. One that changes or saves the same
// store waits for itself, so waiting for a check has a bound.
type Turns struct {
	once   sync.Once
	holder chan struct{}
	checks atomic.Uint64 // odd while a check is running
}

// Take waits until it is the caller's turn, which release ends. The error wraps
// context.DeadlineExceeded if one check has gone on for DefaultWait meanwhile.
func (t *Turns) Take() (release func(), err error) {
	t.once.Do(func() { t.holder = make(chan struct{}, 1) })
	release = func() { <-t.holder }
	select {
	case t.holder <- struct{}{}:
		return release, nil
	default:
	}
	for {
		check := t.checks.Load()
		timer := time.NewTimer(DefaultWait)
		select {
		case t.holder <- struct{}{}:
			timer.Stop()
			return release, nil
		case <-timer.C:
		}
		if check%2 == 1 && t.checks.Load() == check {
			return nil, &trustkeep.Error{Op: "wait for a save",
				Err:  fmt.Errorf("SaveOptions.Check has not returned for %v: %w", DefaultWait, context.DeadlineExceeded),
				Hint: "it must not change or save the store that it checks"}
		}
	}
}

// Checking returns the options of a save in a turn.
func (t *Turns) Checking(o trustkeep.SaveOptions) trustkeep.SaveOptions {
	if check := o.Check; check != nil {
		o.Check = func(e trustkeep.Encoded) error {
			t.checks.Add(1)
			defer t.checks.Add(1)
			return check(e)
		}
	}
	return o
}
