package testnet

import (
	"runtime"
	"testing"
	"time"
)

// Goroutines fails the test if more goroutines run than before, after waiting for those that
// are about to end.
func Goroutines(tb testing.TB, before int) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			tb.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
