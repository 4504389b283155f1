package storefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// calls are the system calls that change something or wait, apart for fault injection.
type calls interface {
	// create makes a file that must not exist, of mode 0600.
	create(name string) (file, error)
	// unnamed makes a file in a folder that has no name and is gone when it is closed,
	// or when the process ends; errNoUnnamed where there is no such thing.
	unnamed(dir string) (file, error)
	rename(from, to string) error
	link(from, to string) error
	remove(name string) error
	syncDir(dir string) error
	lock(dir string) (locker, error)
	pause(time.Duration)
}

type file interface {
	io.Writer
	io.ReaderAt
	Chmod(fs.FileMode) error
	Chown(uid, gid int) error
	Sync() error
	Close() error
	// linkTo gives an unnamed file a name, which must not exist; errNoUnnamed where
	// the system cannot.
	linkTo(name string) error
}

// locker is a folder whose lock can be taken.
type locker interface {
	try() (bool, error)
	Close() error // releases the lock
}

var errNoUnnamed = errors.New("no files without names here")

type osCalls struct{}

type osFile struct{ *os.File }

func (osCalls) create(name string) (file, error) {
	// O_EXCL does not follow a link that somebody put there.
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osCalls) rename(from, to string) error { return os.Rename(from, to) }

func (osCalls) link(from, to string) error { return os.Link(from, to) }

func (osCalls) remove(name string) error { return os.Remove(name) }

func (osCalls) syncDir(dir string) error { return SyncDir(dir) }

func (osCalls) pause(d time.Duration) { <-time.After(d) }

// SyncDir makes the names in a folder last.
func SyncDir(dir string) error {
	return syncFolder(dir, func(dir string) (folder, error) { return os.Open(dir) })
}

// folder is an open folder, apart for tests.
type folder interface {
	Sync() error
	Close() error
}

func syncFolder(dir string, open func(string) (folder, error)) error {
	d, err := open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !cannotSync(err) {
		return err
	}
	return nil
}
