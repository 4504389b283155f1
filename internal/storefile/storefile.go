// Package storefile replaces files atomically and follows files that others replace.
//
// After a crash, a full disk or a second writer, a name holds either the old content or the
// new, whole. A Watcher takes a file that was replaced by a rename or a link at once, and one
// that is written in place only when two looks have found the same content. Content that
// cannot be read or parsed changes nothing.
//
// It is the only package of this module that creates temporary files and renames them.
package storefile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Options configures how a file is written. The zero value suits secrets.
type Options struct {
	// Mode of a new file. If zero, 0600. An existing file keeps its mode and, where permitted,
	// its owner, unless SetMode is true. If its group cannot be kept, the group of the new
	// file gets the permissions of others.
	Mode    fs.FileMode
	SetMode bool
	// New fails with fs.ErrExist if anything is at the path, even a symbolic link.
	New bool
	// MaxSize bounds what Update reads. If zero, trustkeep's default limit.
	MaxSize int64
	// Beside is a second file that Update writes with the first; nil is none. The function
	// that makes the content of the first may fill it in.
	Beside *Beside
	// Wait bounds the time to wait for other writers. If zero, DefaultWait.
	Wait time.Duration

	calls calls // nil is the system's
}

// Write replaces the content of the file at path. Errors are those of Update.
func Write(path string, data []byte, o Options) error {
	return Update(path, o, func([]byte, bool) ([]byte, error) { return data, nil })
}

// Update reads the file at path, if it exists, and replaces its content by the result of
// change. Writers that use Update exclude each other from the read to the rename: in this
// process and, where the file system has advisory locks on folders, in others. If anything
// fails, the file stays as it was.
//
// Update follows a symbolic link and replaces its target. It writes the new content beside the
// target under a temporary name, flushes it, renames it and flushes the folder. The next
// writer removes a temporary file of a process that died.
//
// The error wraps context.DeadlineExceeded if another process holds the lock of the folder
// longer than Options.Wait, and fs.ErrPermission if a link or file of another user lies in a
// folder that everybody may write to. Both have a hint.
func Update(path string, o Options, change func(old []byte, exists bool) ([]byte, error)) error {
	target, err := o.resolve(path)
	if err != nil {
		return err
	}
	return o.update(target, change)
}

func (o Options) resolve(path string) (string, error) {
	if _, err := os.Lstat(path); o.New && err == nil {
		return "", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return resolve(path)
}

func (o Options) sys() calls {
	if o.calls == nil {
		return osCalls{}
	}
	return o.calls
}

func (o Options) update(target string, change func([]byte, bool) ([]byte, error)) error {
	sys := o.sys()
	unlock, err := lockDir(filepath.Dir(target), o.Wait, sys)
	if err != nil {
		return err
	}
	defer unlock()
	// Links were followed before the lock; one that is there now was planted.
	old, info, err := readRegular(target, "replace", o.MaxSize, nofollow)
	if err == nil {
		err = checkPlanted(target, info)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := change(old, info != nil)
	if err != nil {
		return err
	}
	if o.Beside != nil && o.Beside.Before != nil {
		if err := o.beside(target, o.Beside.Before, sys); err != nil {
			return err
		}
	}
	err = o.publish(target, info, sys, func(temp string) (file, error) {
		f, err := sys.create(temp)
		if err != nil {
			return nil, err
		}
		_, err = f.Write(data)
		return f, err
	})
	if err != nil || o.Beside == nil {
		return err
	}
	return o.beside(target, o.Beside.After, sys)
}

// publish gives the target's name to a file that make makes and names temp. It is called
// with the lock of the folder. Old is the file that is replaced, nil for none.
func (o Options) publish(target string, old fs.FileInfo, sys calls, make func(temp string) (file, error)) (err error) {
	if err := removeTemps(target, sys); err != nil {
		return err
	}
	// One name is enough under the lock, and it is how the next writer
	// finds what a dead one left.
	temp := tempName(target)
	f, err := make(temp)
	if f != nil {
		if err == nil {
			err = o.settle(f, old)
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		defer func() {
			if err != nil {
				sys.remove(temp)
			}
		}()
	}
	if err != nil {
		return err
	}
	if o.New {
		return o.claim(temp, target, sys)
	}
	if err := sys.rename(temp, target); err != nil {
		return err
	}
	return sys.syncDir(filepath.Dir(target))
}

// settle gives a file that is complete its mode and owner, and flushes it.
func (o Options) settle(f file, old fs.FileInfo) error {
	mode := o.Mode
	if mode == 0 {
		mode = 0o600
	}
	if old != nil {
		if !o.SetMode {
			mode = old.Mode().Perm()
		}
		// Only the superuser may give files away; for others the file is theirs already
		// or becomes so. A group that is not the old one's gets no more than everybody.
		if uid, gid, ok := owner(old); ok && f.Chown(uid, gid) != nil && f.Chown(-1, gid) != nil && !o.SetMode {
			mode &^= 0o070 &^ (mode & 0o007 << 3)
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

// claim is the rename of a file that must be new: unlike a rename, a link fails if
// somebody who does not lock was faster. Where there are no links, an empty file holds
// the name until the rename.
func (o Options) claim(temp, target string, sys calls) error {
	err := sys.link(temp, target)
	switch {
	case err == nil:
		err = sys.remove(temp)
	case errors.Is(err, fs.ErrExist):
		return &fs.PathError{Op: "create", Path: target, Err: fs.ErrExist}
	default:
		f, created := sys.create(target)
		if created != nil {
			return created
		}
		if err = f.Close(); err == nil {
			err = sys.rename(temp, target)
		}
		if err != nil {
			sys.remove(target)
		}
	}
	if err != nil {
		return err
	}
	return sys.syncDir(filepath.Dir(target))
}

// examine returns the file that is to be replaced, nil for none.
func examine(target string) (fs.FileInfo, error) {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "replace", Path: target, Err: errNotRegular}
	}
	return info, checkPlanted(target, info)
}

func removeTemps(target string, sys calls) error {
	if err := sys.remove(tempName(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &trustkeep.Error{Op: "remove a temporary file", Err: err, Hint: "somebody else may have put it there; remove it"}
	}
	for i := range maxSpools {
		sys.remove(spoolName(target, i)) // one of a living process stays where that matters
	}
	return nil
}

const (
	tempSuffix  = ".trustkeep-tmp"
	spoolSuffix = ".trustkeep-spool"
	maxSpools   = 8
)

// tempName is the name of the next content of a file before it has the file's own.
func tempName(target string) string { return besideName(target, tempSuffix) }

func spoolName(target string, i int) string {
	return besideName(target, fmt.Sprint(spoolSuffix, i))
}

// besideName fits wherever the target's name does: 255 bytes is the usual limit.
func besideName(target, suffix string) string {
	dir, base := filepath.Dir(target), filepath.Base(target)
	if len(base) > 200 {
		base = fmt.Sprintf("%x", sha256.Sum256([]byte(base)))
	}
	return filepath.Join(dir, "."+base+suffix)
}

// IsTemp reports whether a name is that of a temporary file, in use or left behind.
func IsTemp(name string) bool {
	name, hidden := strings.CutPrefix(name, ".")
	if !hidden {
		return false
	}
	if strings.HasSuffix(name, tempSuffix) {
		return true
	}
	_, number, ok := strings.Cut(name, spoolSuffix)
	return ok && len(number) == 1 && number[0] >= '0' && number[0] < '0'+maxSpools
}
