package environment

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// passwordWait is how long a handshake, which has no context, waits for a password.
const passwordWait = 10 * time.Second

// openedKeys opens a key once, however many connections want it.
type openedKeys struct {
	turn chan struct{} // of the one that opens it
	id   atomic.Pointer[keystore.Identity]
	key  atomic.Pointer[pgp.Key]
}

// openOnce returns what is in the slot, which open fills. While one caller opens, others
// wait, and all of them no longer than their contexts: open asks for a password, and not
// every source of passwords heeds a context.
func openOnce[T any](ctx context.Context, turn chan struct{}, slot *atomic.Pointer[T], open func(context.Context) (*T, error)) (*T, error) {
	if v := slot.Load(); v != nil {
		return v, nil
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, noPassword(ctx)
	}
	if v := slot.Load(); v != nil {
		<-turn
		return v, nil
	}
	type result struct {
		value *T
		err   error
	}
	opened := make(chan result, 1)
	go func() {
		defer func() { <-turn }()
		v, err := guarded(ctx, open)
		if err == nil {
			slot.Store(v)
		}
		opened <- result{v, err}
	}()
	select {
	case r := <-opened:
		if ctx.Err() != nil && errors.Is(r.err, ctx.Err()) {
			return nil, noPassword(ctx)
		}
		return r.value, r.err
	case <-ctx.Done():
		return nil, noPassword(ctx)
	}
}

// guarded turns a panic into an error. open calls the program's sources of passwords: where
// they panicked in the caller's goroutine, net/http would keep the program from ending.
func guarded[T any](ctx context.Context, open func(context.Context) (*T, error)) (v *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("a source of passwords panicked: %v", p)
		}
	}()
	return open(ctx)
}

func noPassword(ctx context.Context) error {
	return &trustkeep.Error{Op: "password", Err: fmt.Errorf("it was not given in time: %w", ctx.Err()),
		Hint: "Options.Resolve or Options.Passwords does not answer"}
}
