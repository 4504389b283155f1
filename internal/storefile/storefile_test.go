package storefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestWriteCreatesPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.p12")
	if err := Write(path, []byte("one"), Options{}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "one", 0o600)
	if err := Write(path, []byte("two"), Options{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "two", 0o600) // an existing file keeps its mode
	if err := Write(path, []byte("three"), Options{Mode: 0o640, SetMode: true}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "three", 0o640)
	onlyFile(t, path)
}

func TestWriteFollowsSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "store.p12")
	if err := os.Mkdir(filepath.Dir(real), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.p12")
	if err := os.Symlink(filepath.Join("real", "store.p12"), link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	for _, content := range []string{"created through the link", "replaced through the link"} {
		if err := Write(link, []byte(content), Options{}); err != nil {
			t.Fatal(err)
		}
		wantFile(t, real, content, 0o600)
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Fatalf("the link was replaced: %v, %v", info, err)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if err := Write(loop, nil, Options{}); err == nil {
		t.Error("a link to itself was written")
	}
}

func TestUpdateRefusedByChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	if err := Write(path, []byte("old"), Options{}); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("no")
	err := Update(path, Options{}, func(old []byte, exists bool) ([]byte, error) {
		if string(old) != "old" || !exists {
			t.Errorf("change got %q, %v", old, exists)
		}
		return nil, refusal
	})
	if err != refusal {
		t.Errorf("got %v", err)
	}
	wantFile(t, path, "old", 0o600)
	onlyFile(t, path)
}

func TestLeftoverIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	left := filepath.Join(filepath.Dir(path), ".store.trustkeep-tmp")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("whole"), Options{}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "whole", 0o600)
	onlyFile(t, path)
}

// failing fails at one step, counted over all steps of a save.
type failing struct {
	osCalls
	left *int
}

var errDisk = errors.New("disk says no")

func (f failing) step() error {
	if *f.left--; *f.left == 0 {
		return errDisk
	}
	return nil
}

func (f failing) create(name string) (file, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	opened, err := f.osCalls.create(name)
	return failingFile{opened, f}, err
}

func (f failing) rename(from, to string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.osCalls.rename(from, to)
}

func (f failing) syncDir(dir string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.osCalls.syncDir(dir)
}

type failingFile struct {
	file
	f failing
}

func (f failingFile) Write(p []byte) (int, error) {
	if err := f.f.step(); err != nil {
		n, _ := f.file.Write(p[:len(p)/2]) // a full disk takes a part
		return n, err
	}
	return f.file.Write(p)
}

func (f failingFile) Chmod(m fs.FileMode) error {
	if err := f.f.step(); err != nil {
		return err
	}
	return f.file.Chmod(m)
}

func (f failingFile) Sync() error {
	if err := f.f.step(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f failingFile) Close() error {
	err := f.f.step()
	if closed := f.file.Close(); err == nil {
		err = closed
	}
	return err
}

func TestEveryStepMayFail(t *testing.T) {
	replaced := 0
	for step := 1; ; step++ {
		path := filepath.Join(t.TempDir(), "store")
		if err := Write(path, []byte("old"), Options{}); err != nil {
			t.Fatal(err)
		}
		left := step
		err := Write(path, []byte("new"), Options{calls: failing{left: &left}})
		onlyFile(t, path)
		if err == nil {
			if step < 6 {
				t.Fatalf("only %d steps could fail", step-1)
			}
			wantFile(t, path, "new", 0o600)
			break
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("step %d: %v", step, err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch string(got) {
		case "old":
		case "new":
			replaced++ // only the flush of the folder comes after the rename
		default:
			t.Fatalf("step %d left %q", step, got)
		}
	}
	if replaced > 1 {
		t.Errorf("%d failures were reported although the new content was there", replaced)
	}
}

func TestConcurrentUpdatesAreNotLost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no advisory lock here")
	}
	path := filepath.Join(t.TempDir(), "counter")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if err := Update(path, Options{}, increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantFile(t, path, "200", 0o600)
}

func increment(old []byte, _ bool) ([]byte, error) {
	n, _ := strconv.Atoi(string(old))
	return []byte(strconv.Itoa(n + 1)), nil
}

// TestKilledWriter kills processes in the middle of saving. The test binary
// itself is the writer.
func TestKilledWriter(t *testing.T) {
	const blocks = 64
	if path := os.Getenv("TRUSTKEEP_TEST_WRITER"); path != "" {
		for i := 0; ; i++ {
			data := bytes.Repeat([]byte{byte(i)}, blocks<<10)
			if err := Write(path, data, Options{}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
	path := filepath.Join(t.TempDir(), "store")
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "TRUSTKEEP_TEST_WRITER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Once it has saved, kill it while its temporary file has grown to
		// a size that differs from round to round, so that every stage of a
		// save is met.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, out)
		temp := filepath.Join(filepath.Dir(path), ".store.trustkeep-tmp")
		for {
			info, err := os.Lstat(temp)
			if err == nil && info.Size() >= int64(round%3)*(blocks<<9) {
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != blocks<<10 || bytes.Count(got, got[:1]) != len(got) {
			t.Fatalf("round %d: half a store: %d bytes", round, len(got))
		}
	}
	if err := Write(path, []byte("end"), Options{}); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path)
}

func TestReadLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path, 10); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("ReadFile: %v", err)
	}
	if b, err := ReadFile(path, 11); err != nil || len(b) != 11 {
		t.Errorf("ReadFile at the limit: %d bytes, %v", len(b), err)
	}
	if _, err := ReadAll(strings.NewReader("0123456789a"), 10); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("ReadAll: %v", err)
	}
	if err := Update(path, Options{MaxSize: 10}, nil); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("Update: %v", err)
	}
}

func TestNotARegularFile(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, nil, Options{}); err == nil {
		t.Error("a folder was replaced")
	}
	if err := Write(filepath.Join(dir, "none", "store"), nil, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func wantFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Fatalf("%s holds %q, %v; want %q", path, got, err, content)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != mode {
		t.Errorf("mode %v, want %v", info.Mode().Perm(), mode)
	}
}

func onlyFile(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("files beside the store: %v", files)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("the superuser writes everywhere")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	if err := Write(path, []byte("old"), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := Write(path, []byte("new"), Options{}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v", err)
	}
	wantFile(t, path, "old", 0o600)
}

// writers write "secret" in the ways there are.
var writers = map[string]func(path string, o Options) error{
	"update": func(path string, o Options) error { return Write(path, []byte("secret"), o) },
	"stream": func(path string, o Options) error {
		return Stream(path, o, func(w io.Writer) error { _, err := io.WriteString(w, "secret"); return err })
	},
}

// TestNamesAtTheLimit: a file whose name is as long as names may be can be replaced, and
// what a dead writer left beside it is found.
func TestNamesAtTheLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("n", 255))
	for verb, write := range writers {
		if err := os.WriteFile(tempName(path), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := write(path, Options{}); err != nil || readString(path) != "secret" {
			t.Errorf("%s: %v", verb, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !IsTemp(filepath.Base(tempName(path))) || !IsTemp(filepath.Base(spoolName(path, 1))) {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestNoPath(t *testing.T) {
	t.Chdir(t.TempDir())
	for verb, write := range writers {
		if err := write("", Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
