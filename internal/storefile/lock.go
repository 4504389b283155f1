package storefile

import (
	"context"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
)

// DefaultWait is how long a writer waits for the lock of a folder.
const DefaultWait = 10 * time.Second

// Hold excludes other writers to a folder, and others who hold it, until release is called or the
// process ends. Files in the folder itself cannot be written by this package meanwhile; those in
// folders below it can. It waits for as long as the bound says, and where it is zero for DefaultWait.
// Where folders have no locks, on other systems than Unix and some network file systems, it excludes
// nobody.
func Hold(dir string, bound time.Duration) (release func(), err error) {
	return lockDir(dir, bound, osCalls{})
}

// lockDir excludes other writers to the folder. The kernel waits without a bound, and anybody
// who may read a folder may lock it, so lockDir tries repeatedly, with a bound.
func lockDir(dir string, bound time.Duration, sys calls) (unlock func(), err error) {
	if bound <= 0 {
		bound = DefaultWait
	}
	l, err := sys.lock(dir)
	if err != nil {
		return nil, err
	}
	const shortest, longest = 200 * time.Microsecond, 5 * time.Millisecond
	var waited time.Duration
	for pause := shortest; ; pause = min(2*pause, longest) {
		ok, err := l.try()
		if ok {
			return func() { l.Close() }, nil
		}
		if err == nil && waited >= bound {
			name := trustkeep.Printable(dir)
			err = &trustkeep.Error{Op: "lock", Path: dir,
				Err:  fmt.Errorf("held by somebody else for %v: %w", bound, context.DeadlineExceeded),
				Hint: "find out what holds the lock of the folder: lsof " + name}
		}
		if err != nil {
			l.Close()
			return nil, err
		}
		sys.pause(pause)
		waited += pause
	}
}
