//go:build unix

package storefile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// counting counts the pauses, and does not make them.
type counting struct {
	osCalls
	waited *time.Duration
	at     time.Duration
	then   func()
}

func (c counting) pause(d time.Duration) {
	if *c.waited += d; c.then != nil && *c.waited >= c.at {
		c.then()
	}
}

// TestLockOfAStranger has the folder locked by somebody who may only read it.
func TestLockOfAStranger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_SH); err != nil {
		t.Skip(err)
	}
	stream := func(o Options) error { return Stream(path, o, func(io.Writer) error { return nil }) }
	write := func(o Options) error { return Write(path, nil, o) }
	for name, save := range map[string]func(Options) error{"Write": write, "Stream": stream} {
		for _, wait := range []time.Duration{0, time.Second} {
			waited := new(time.Duration)
			err := save(Options{Wait: wait, calls: counting{waited: waited}})
			var e *trustkeep.Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !strings.Contains(e.Hint, filepath.Dir(path)) {
				t.Errorf("%s: %v", name, err)
			}
			if wait == 0 {
				wait = DefaultWait
			}
			if *waited < wait || *waited > wait+time.Second {
				t.Errorf("%s: waited %v, want %v", name, *waited, wait)
			}
		}
	}
	waited := new(time.Duration)
	leaves := counting{waited: waited, at: DefaultWait / 2, then: func() { d.Close() }}
	if err := write(Options{calls: leaves}); err != nil {
		t.Errorf("the lock was free after %v: %v", *waited, err)
	}
}

type fakeFolder struct {
	err    error
	synced *int
}

func (f fakeFolder) Sync() error  { *f.synced++; return f.err }
func (f fakeFolder) Close() error { return nil }

func TestSyncFolder(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{nil, nil}, {syscall.EIO, syscall.EIO}, {syscall.EINVAL, nil}, {syscall.ENOTSUP, nil},
	} {
		synced := 0
		err := syncFolder("x", func(string) (folder, error) { return fakeFolder{c.err, &synced}, nil })
		if err != c.want || synced != 1 {
			t.Errorf("%v: %v, flushed %d times", c.err, err, synced)
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	if err := (osCalls{}).syncDir(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
