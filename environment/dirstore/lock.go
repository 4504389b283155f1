package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
)

// lockFile excludes writers from each other and counts their writes. The count is odd
// while something is being written, so a reader who finds the same even count before and
// after has read a state that was, and a count that is odd although nobody writes is that
// of a writer who died.
//
// The kernel drops the lock with the process that held it.
type lockFile struct {
	file     *os.File // nil where there is none and none can be made
	readOnly bool
	turn     chan struct{} // of the goroutines of this process

	mu sync.RWMutex // of file against Close
}

func openLock(path string, readOnly bool) (*lockFile, error) {
	l := &lockFile{readOnly: readOnly, turn: make(chan struct{}, 1)}
	var err error
	if !readOnly {
		l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		l.readOnly = errors.Is(err, fs.ErrPermission) || isReadOnly(err)
	}
	if l.readOnly {
		// A directory that nobody can write to needs no lock.
		if l.file, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close closes the file, after the calls that use it.
func (l *lockFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// exclusive waits for its turn. Only one caller on the machine has it. The error of the
// context is that of a trustkeep.Error with a hint.
func (l *lockFile) exclusive(ctx context.Context) (unlock func(), err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, l.busy(ctx, "this program writes, or a file system does not answer")
	}
	l.mu.RLock()
	release := func() { l.mu.RUnlock(); <-l.turn }
	if l.file == nil {
		release()
		return nil, fs.ErrClosed
	}
	// The kernel's waiting cannot be interrupted, so this waits by trying.
	wait := time.NewTimer(0)
	defer wait.Stop()
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		ok, err := tryLock(l.file)
		if err != nil {
			release()
			return nil, &fs.PathError{Op: "lock", Path: l.file.Name(), Err: err}
		}
		if ok {
			return func() { unlockFile(l.file); release() }, nil
		}
		wait.Reset(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			name := l.file.Name()
			release()
			return nil, l.busy(ctx, "another program holds the lock; find it: lsof "+trustkeep.Printable(name))
		}
	}
}

func (l *lockFile) busy(ctx context.Context, hint string) error {
	return &trustkeep.Error{Op: "lock", Err: fmt.Errorf("waiting for other writers: %w", ctx.Err()), Hint: hint}
}

// count returns the count of writes, which grows by two with each, and when it last
// changed. Where there is no file, it is odd: anything may be going on.
func (l *lockFile) count() (n uint64, last time.Time, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.held()
}

// inPlace returns an error if the file is no longer where it was opened: the directory was
// removed, replaced or unmounted, and what this process sees of it stands still.
func (l *lockFile) inPlace() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.file == nil {
		return nil // the reading tells
	}
	here, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.file.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(here, there) {
		return &trustkeep.Error{
			Op: "lock", Path: l.file.Name(), Err: fmt.Errorf("another file took its place: %w", trustkeep.ErrConflict),
			Hint: "the directory was replaced while it was in use; open it again",
		}
	}
	return nil
}

// held is count for the holder of the lock.
func (l *lockFile) held() (n uint64, last time.Time, err error) {
	if l.file == nil {
		return 1, time.Time{}, nil
	}
	text := make([]byte, 16)
	if _, err := l.file.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, time.Time{}, err
	}
	info, err := l.file.Stat()
	if err != nil {
		return 0, time.Time{}, err
	}
	if n, err = strconv.ParseUint(string(text), 16, 64); err != nil {
		n = 0 // a new file, or a damaged one
	}
	return n, info.ModTime(), nil
}

// interrupted tells the holder of the lock that a writer before it did not finish.
func (l *lockFile) interrupted() bool {
	n, _, err := l.held()
	return err == nil && n%2 == 1
}

// begin makes the count odd, and end makes it even again. They are for the holder of the
// lock. The bytes are overwritten in place, which needs no room on a full disk.
func (l *lockFile) begin(durable bool) error {
	n, _, err := l.held()
	if err != nil {
		return err
	}
	if err := l.set(n + 1 + n%2); err != nil {
		return err
	}
	if durable {
		return l.file.Sync()
	}
	return nil
}

func (l *lockFile) end() error {
	n, _, err := l.held()
	if err != nil {
		return err
	}
	return l.set(n + n%2)
}

func (l *lockFile) set(n uint64) error {
	_, err := fmt.Fprintf(io.NewOffsetWriter(l.file, 0), "%016x\n", n)
	return err
}
