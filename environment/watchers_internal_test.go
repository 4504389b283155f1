package environment

import (
	"context"
	"testing"
)

// A watcher that takes its time, as for a list of revoked certificates, keeps no other from what it is told,
// is told of what came meanwhile, and ends with the atom.
func TestWatchersDoNotWaitForEachOther(t *testing.T) {
	a := &Atom{changed: make(chan struct{}), watchers: watchers{ended: make(chan struct{})}}
	ctx, cancel := context.WithCancel(t.Context())
	slow, release := make(chan struct{}), make(chan struct{})
	a.watch(func(ctx context.Context) {
		slow <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	quick := make(chan struct{})
	stop := a.watch(func(context.Context) { quick <- struct{}{} })
	go a.tellWatchers(ctx)
	change := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.notify()
	}
	<-slow
	for range 3 {
		<-quick
		change()
	}
	<-quick
	stop()
	release <- struct{}{}
	<-slow // told of all that came meanwhile, at once
	cancel()
	<-a.watchers.ended
}
