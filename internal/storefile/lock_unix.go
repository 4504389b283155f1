//go:build unix

package storefile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// nonblocking opens a pipe without waiting for its writer.
const nonblocking = syscall.O_NONBLOCK

// nofollow opens no symbolic link.
const nofollow = syscall.O_NOFOLLOW

// lock takes a lock that sits on the folder itself, so no lock file is left behind; the
// kernel drops it when the process dies.
func (osCalls) lock(dir string) (locker, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return folderLock{d}, nil
}

type folderLock struct{ *os.File }

// try takes the lock if nobody has it. A file system without locks on folders (some NFS
// servers) is written without one.
func (l folderLock) try() (bool, error) {
	for {
		err := syscall.Flock(int(l.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil,
			errors.Is(err, syscall.EBADF), errors.Is(err, syscall.ENOLCK),
			errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EINVAL):
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, &fs.PathError{Op: "lock", Path: l.Name(), Err: err}
		}
	}
}

func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

// cannotSync tells that a file system cannot flush a folder. Such systems order renames
// themselves or give no such promise.
func cannotSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}
