//go:build unix

package storefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

type info struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (i info) Mode() fs.FileMode { return i.mode }
func (i info) Sys() any          { return &syscall.Stat_t{Uid: i.uid} }

func TestPlanted(t *testing.T) {
	sticky := fs.ModeDir | fs.ModeSticky | 0o777
	for _, c := range []struct {
		folder fs.FileMode
		of     uint32
		link   uint32
		want   bool
	}{
		{sticky, 0, 1001, true},
		{sticky, 0, 1000, false}, // ours
		{sticky, 0, 0, false},    // the folder's owner's
		{sticky, 1001, 1001, false},
		{fs.ModeDir | 0o777, 0, 1001, false}, // anybody may replace anything there
		{fs.ModeDir | fs.ModeSticky | 0o755, 0, 1001, false},
	} {
		if got := planted(info{mode: fs.ModeSymlink, uid: c.link}, info{mode: c.folder, uid: c.of}, 1000); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestPlantedLinkIsRefused has another user, which takes the superuser, plant links and
// files in a folder like /tmp.
func TestPlantedLinkIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can make files of others")
	}
	const stranger = 65534
	shared := filepath.Join(t.TempDir(), "shared")
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, fs.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	link := func(name, to string, uid int) string {
		t.Helper()
		path := filepath.Join(shared, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := filepath.Join(shared, "file")
	if err := os.WriteFile(file, []byte("theirs"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(t.TempDir(), "ours")
	if err := os.Symlink(link("again", filepath.Join(elsewhere, "c"), stranger), ours); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a link":                  link("link", filepath.Join(elsewhere, "a"), stranger),
		"a link to a folder":      filepath.Join(link("folder", elsewhere, stranger), "b"),
		"a link behind ours":      ours,
		"a file":                  file,
		"a link behind ours, dir": filepath.Join(link("mine", filepath.Join(shared, "folder"), 0), "d"),
	} {
		err := Write(path, []byte("secret"), Options{})
		var e *trustkeep.Error
		if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(elsewhere); len(left) != 0 {
		t.Errorf("written: %v", left)
	}
	if err := Write(link("own", filepath.Join(elsewhere, "own"), 0), []byte("secret"), Options{}); err != nil {
		t.Errorf("our own link: %v", err)
	}
}

// TestPlantedMeanwhile has another user plant links and files while a writer waits for the
// lock: neither their mode and owner nor their content count.
func TestPlantedMeanwhile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can make files of others")
	}
	const stranger = 65534
	public := filepath.Join(t.TempDir(), "public")
	if err := os.WriteFile(public, []byte("public"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(path string) error{
		"a link": func(path string) error {
			return errors.Join(os.Symlink(public, path), os.Lchown(path, stranger, stranger))
		},
		"a file": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o666), os.Chown(path, stranger, stranger), os.Chmod(path, 0o666))
		},
	} {
		for verb, write := range writers {
			t.Run(name+", "+verb, func(t *testing.T) {
				shared := filepath.Join(t.TempDir(), "shared")
				if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, fs.ModeSticky|0o777)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(shared, "store")
				sys := newRecorder(func(call string) error {
					if call == "lock" {
						return plant(path)
					}
					return nil
				})
				err := write(path, Options{calls: sys})
				planted, statErr := os.Stat(path)
				if err == nil || statErr != nil {
					t.Errorf("%v, mode %v, %v", err, planted.Mode(), statErr)
				}
				if left, _ := os.ReadDir(shared); len(left) != 1 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
	if got := readString(public); got != "public" {
		t.Errorf("the link was written through: %q", got)
	}
}

// refusingFile is one that its writer may not give away.
type refusingFile struct {
	file
	group bool // that may have the old group
	mode  fs.FileMode
}

func (f *refusingFile) Chown(uid, _ int) error {
	if f.group && uid == -1 {
		return nil
	}
	return syscall.EPERM
}

func (f *refusingFile) Chmod(m fs.FileMode) error {
	f.mode = m
	return nil
}

func (*refusingFile) Sync() error { return nil }

// TestGroupThatCannotBeKept: the writer's group does not get what the old file's had.
func TestGroupThatCannotBeKept(t *testing.T) {
	for _, c := range []struct {
		old   fs.FileMode
		group bool
		o     Options
		want  fs.FileMode
	}{
		{0o640, false, Options{}, 0o600},
		{0o660, false, Options{}, 0o600},
		{0o664, false, Options{}, 0o644},
		{0o644, false, Options{}, 0o644},
		{0o600, false, Options{}, 0o600},
		{0o640, true, Options{}, 0o640},
		{0o600, false, Options{Mode: 0o640, SetMode: true}, 0o640},
	} {
		f := &refusingFile{group: c.group}
		if err := c.o.settle(f, info{mode: c.old}); err != nil || f.mode != c.want {
			t.Errorf("%+v: %v, %v", c, f.mode, err)
		}
	}
}

// TestLinkOutOfALinkedFolder has a relative link with ".." in a folder behind a link,
// where ".." is that of the real folder.
func TestLinkOutOfALinkedFolder(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a", "b/c"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"a/link": "../b/c", "b/c/store": "../real"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(filepath.Join(dir, "a/link/store"), []byte("content"), Options{}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "b/real"), "content", 0o600)
}

// TestPipeIsRefused has a pipe without a writer where a file is replaced or followed:
// opening it would wait.
func TestPipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 2)
	go func() {
		done <- Write(path, []byte("x"), Options{})
		_, err := ReadRegular(path, 0)
		done <- err
	}()
	for range 2 {
		select {
		case err := <-done:
			if !errors.Is(err, errNotRegular) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			// Let the goroutine end.
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				f.Close()
			}
			t.Fatal("waits for a writer")
		}
	}
}
