//go:build unix

package dirstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// TestLockedByAnotherProgram holds the lock that Open, Put and watchers wait for.
func TestLockedByAnotherProgram(t *testing.T) {
	root := t.TempDir()
	ticks := make(chan time.Time)
	d, err := Open(root, Options{Ticks: ticks})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(root, lockName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	updates, err := d.Watch(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	<-updates
	// As if a writer had died, which makes a look wait for the lock.
	if err := d.lock.begin(false); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	wants := func(what string, err error) {
		t.Helper()
		var e *trustkeep.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
		for e != nil && e.Hint == "" && errors.As(e.Err, &e) {
		}
		if e == nil || e.Hint == "" {
			t.Errorf("%s: no hint: %v", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // which has not ended when Put begins
	defer cancel()
	_, err = d.Put(ctx, "components/x", []byte("1"), 0)
	wants("Put", err)
	_, err = Open(root, Options{wait: time.Millisecond})
	wants("Open", err)

	ticks <- time.Time{} // the watcher looks, and waits
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Close waits for the lock")
	}
}
