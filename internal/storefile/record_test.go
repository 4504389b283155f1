package storefile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// recorder notes the calls of a save, and lets a test do something before each.
type recorder struct {
	calls
	log    *[]string
	before func(call string) error
	spool  bool // as if there were no files without names
	noProc bool // as if they could not be given one
}

func newRecorder(before func(call string) error) recorder {
	return recorder{calls: osCalls{}, log: new([]string), before: before}
}

func (r recorder) note(call string) error {
	*r.log = append(*r.log, call)
	if r.before != nil {
		return r.before(call)
	}
	return nil
}

func base(name string) string {
	switch name := filepath.Base(name); {
	case strings.HasSuffix(name, tempSuffix):
		return "temp"
	case strings.Contains(name, spoolSuffix):
		return "spool"
	default:
		return name
	}
}

func (r recorder) create(name string) (file, error) {
	if err := r.note("create " + base(name)); err != nil {
		return nil, err
	}
	f, err := r.calls.create(name)
	if err != nil {
		return nil, err
	}
	return recordedFile{f, r, base(name)}, nil
}

func (r recorder) unnamed(dir string) (file, error) {
	if r.spool {
		return nil, errNoUnnamed
	}
	f, err := r.calls.unnamed(dir)
	if err != nil {
		return nil, err
	}
	return recordedFile{f, r, "unnamed"}, r.note("unnamed")
}

func (r recorder) rename(from, to string) error {
	if err := r.note("rename " + base(from) + " " + base(to)); err != nil {
		return err
	}
	return r.calls.rename(from, to)
}

func (r recorder) link(from, to string) error {
	if err := r.note("link " + base(from) + " " + base(to)); err != nil {
		return err
	}
	return r.calls.link(from, to)
}

func (r recorder) syncDir(dir string) error {
	if err := r.note("fsync folder"); err != nil {
		return err
	}
	return r.calls.syncDir(dir)
}

func (r recorder) lock(dir string) (locker, error) {
	if err := r.note("lock"); err != nil {
		return nil, err
	}
	l, err := r.calls.lock(dir)
	return recordedLock{l, r}, err
}

func (r recorder) pause(time.Duration) {}

type recordedLock struct {
	locker
	r recorder
}

func (l recordedLock) Close() error {
	err := l.r.note("unlock")
	if closed := l.locker.Close(); err == nil {
		err = closed
	}
	return err
}

type recordedFile struct {
	file
	r    recorder
	name string
}

func (f recordedFile) Write(p []byte) (int, error) {
	if err := f.r.note("write " + f.name); err != nil {
		return 0, err
	}
	return f.file.Write(p)
}

func (f recordedFile) Chmod(m fs.FileMode) error {
	if err := f.r.note("chmod"); err != nil {
		return err
	}
	return f.file.Chmod(m)
}

func (f recordedFile) Sync() error {
	if err := f.r.note("fsync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f recordedFile) linkTo(name string) error {
	if f.r.noProc {
		return errNoUnnamed
	}
	if err := f.r.note("name " + base(name)); err != nil {
		return err
	}
	return f.file.linkTo(name)
}

// hasUnnamed tells whether the file system of a folder has files without names.
func hasUnnamed(dir string) bool {
	f, err := osCalls{}.unnamed(dir)
	if err == nil {
		f.Close()
	}
	return err == nil
}

func readString(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
