//go:build !unix

package storefile

import "io/fs"

const (
	nonblocking = 0
	nofollow    = 0
)

// lock does nothing here: replacing is atomic on these systems too, but
// two processes that update one file at once are told apart only by the
// comparison that the caller makes in its change function.
func (osCalls) lock(string) (locker, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) try() (bool, error) { return true, nil }

func (noLock) Close() error { return nil }

func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

// cannotSync: folders cannot be flushed here.
func cannotSync(error) bool { return true }
