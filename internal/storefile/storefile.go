// Package storefile replaces files so that whatever happens, a crash, a full
// disk or a second writer, the name holds either the old content or the new; and it
// follows files that others replace.
//
// What a Watcher takes from a file is never half a file: a file that has been replaced by
// a rename or a link is taken as it is, one that is written in place only once two looks
// have found the same. What cannot be read or parsed changes nothing.
package storefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Options says how a file is written. The zero value is fine for secrets.
type Options struct {
	// Mode of a file that does not exist yet; zero is 0600. A file that
	// exists keeps its mode and, where permitted, its owner, unless
	// SetMode is true.
	Mode    fs.FileMode
	SetMode bool
	// MaxSize bounds what Update reads; zero is trustkeep's default limit.
	MaxSize int64
}

// Write replaces the content of the file at path.
func Write(path string, data []byte, o Options) error {
	return Update(path, o, func([]byte, bool) ([]byte, error) { return data, nil })
}

// Update reads the file at path, if it exists, and replaces its content with
// what change returns. Writers that use this function exclude each other from
// the read to the rename, in this process and, where the file system has
// advisory locks on folders, in others. When change returns an error, or
// anything fails, the file is as it was.
//
// A symbolic link is followed and its target replaced. The new content is
// written beside the target under a temporary name, flushed, renamed, and the
// folder flushed. A temporary file left by a process that died is removed by
// the next writer.
func Update(path string, o Options, change func(old []byte, exists bool) ([]byte, error)) error {
	return update(path, o, change, osCalls{})
}

// calls are the system calls that change something, apart for fault injection.
type calls interface {
	create(name string) (file, error)
	rename(from, to string) error
	syncDir(dir string) error
}

type file interface {
	io.Writer
	Chmod(fs.FileMode) error
	Chown(uid, gid int) error
	Sync() error
	Close() error
}

func update(path string, o Options, change func([]byte, bool) ([]byte, error), sys calls) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()

	old, info, err := read(target, o.MaxSize)
	if err != nil {
		return err
	}
	data, err := change(old, info != nil)
	if err != nil {
		return err
	}
	// One name is enough under the lock, and it is how the next writer
	// finds what a dead one left.
	temp := filepath.Join(dir, "."+filepath.Base(target)+tempSuffix)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := write(temp, data, o, info, sys); err != nil {
		os.Remove(temp)
		return err
	}
	if err := sys.rename(temp, target); err != nil {
		os.Remove(temp)
		return err
	}
	return sys.syncDir(dir)
}

func write(temp string, data []byte, o Options, old fs.FileInfo, sys calls) (err error) {
	f, err := sys.create(temp)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	mode := o.Mode
	if mode == 0 {
		mode = 0o600
	}
	if old != nil {
		if !o.SetMode {
			mode = old.Mode().Perm()
		}
		if uid, gid, ok := owner(old); ok {
			// Only the superuser may give files away; for others
			// the file is theirs already or becomes so.
			_ = f.Chown(uid, gid)
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

// resolve follows symbolic links, also one whose target does not exist yet.
func resolve(path string) (string, error) {
	for range 40 {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.New("too many levels of symbolic links")}
}

func read(path string, maxSize int64) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "replace", Path: path, Err: errors.New("not a regular file")}
	}
	data, err := ReadAll(f, maxSize)
	return data, info, err
}

// ReadAll reads r to its end. More than maxSize bytes (zero: trustkeep's
// default limit) is an error that wraps trustkeep.ErrLimit.
func ReadAll(r io.Reader, maxSize int64) ([]byte, error) {
	maxSize = trustkeep.Limits{MaxSize: maxSize}.WithDefaults().MaxSize
	return readInto(new(bytes.Buffer), r, maxSize)
}

// ReadFile is ReadAll of the file at path, with the buffer sized beforehand.
func ReadFile(path string, maxSize int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	maxSize = trustkeep.Limits{MaxSize: maxSize}.WithDefaults().MaxSize
	var buf bytes.Buffer
	if info.Mode().IsRegular() && info.Size() <= maxSize {
		buf.Grow(int(info.Size()) + bytes.MinRead)
	}
	return readInto(&buf, f, maxSize)
}

func readInto(buf *bytes.Buffer, r io.Reader, maxSize int64) ([]byte, error) {
	if _, err := buf.ReadFrom(io.LimitReader(r, maxSize+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > maxSize {
		return nil, fmt.Errorf("input of more than %d bytes: %w", maxSize, trustkeep.ErrLimit)
	}
	return buf.Bytes(), nil
}

type osCalls struct{}

func (osCalls) create(name string) (file, error) {
	// O_EXCL does not follow a link that somebody put there.
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osCalls) rename(from, to string) error { return os.Rename(from, to) }

func (osCalls) syncDir(dir string) error { return SyncDir(dir) }

// SyncDir makes the names in a folder last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDirFile(d)
}

// tempSuffix ends the names of files that are being written, which begin with a dot.
const tempSuffix = ".trustkeep-tmp"

// IsTemp tells whether a file of that name is one that a writer has left, or is writing.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, tempSuffix)
}
