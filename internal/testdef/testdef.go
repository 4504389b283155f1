// Package testdef has definitions whose settings tests exchange, for what follows one.
package testdef

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Definition implements those of packages tlsctx and sshctx. The zero one has no settings.
type Definition[B any] struct {
	mu       sync.Mutex
	now      *B
	err      error
	watchers map[*func(context.Context)]bool
}

// Of returns a definition with these settings.
func Of[B any](b B) *Definition[B] { return &Definition[B]{now: &b} }

// Settings returns those of now.
func (d *Definition[B]) Settings() (*B, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now, d.err
}

// Notify has changed called by Set and Fail.
func (d *Definition[B]) Notify(changed func(context.Context)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = make(map[*func(context.Context)]bool)
	}
	d.watchers[&changed] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, &changed)
	}
}

// String names it.
func (*Definition[B]) String() string { return "connection c" }

// Set exchanges the settings, and returns when all have been told.
func (d *Definition[B]) Set(b B) { d.change(&b, nil) }

// Fail lets Settings fail from now on.
func (d *Definition[B]) Fail(err error) { d.change(nil, err) }

// Watchers is how many are told of changes.
func (d *Definition[B]) Watchers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.watchers)
}

func (d *Definition[B]) change(b *B, err error) {
	d.mu.Lock()
	d.now, d.err = b, err
	all := slices.Collect(maps.Keys(d.watchers))
	d.mu.Unlock()
	for _, changed := range all {
		(*changed)(context.Background())
	}
}
