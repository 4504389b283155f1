//go:build unix

package storefile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// lockDir excludes other writers to the folder. The lock sits on the folder
// itself, so no lock file is left behind; the kernel drops it when the process
// dies. A file system without locks on folders (some NFS servers) is written
// without one.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case err == nil,
		errors.Is(err, syscall.EBADF), errors.Is(err, syscall.ENOLCK),
		errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EINVAL):
		return func() { d.Close() }, nil
	}
	d.Close()
	return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
}

func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

// syncDirFile makes the rename durable. File systems that cannot flush a
// folder say EINVAL, or ENOTSUP; they order renames themselves or give no such
// promise.
func syncDirFile(d *os.File) error {
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
