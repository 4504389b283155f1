package storefile

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// unnamed uses O_TMPFILE, which file systems need not have.
func (osCalls) unnamed(dir string) (file, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return nil, errNoUnnamed
	case err != nil:
		return nil, &os.PathError{Op: "create a file in", Path: dir, Err: err}
	}
	return osFile{os.NewFile(uintptr(fd), dir)}, nil
}

// linkTo goes through /proc (open(2), O_TMPFILE), and without it by the descriptor
// itself, which only some kernels and users may.
func (f osFile) linkTo(name string) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var linked error
	err = conn.Control(func(fd uintptr) {
		linked = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(fd)), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
		if linked != nil && !errors.Is(linked, unix.EEXIST) {
			linked = unix.Linkat(int(fd), "", unix.AT_FDCWD, name, unix.AT_EMPTY_PATH)
		}
	})
	switch {
	case err != nil:
		return err
	case linked == nil:
		return nil
	case errors.Is(linked, unix.EEXIST):
		return &os.LinkError{Op: "link", Old: "(unnamed)", New: name, Err: linked}
	}
	return errNoUnnamed
}
