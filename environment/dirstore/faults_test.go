//go:build unix

package dirstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/storefile"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// TestMain makes the test binary a writer for the tests of several processes.
func TestMain(m *testing.M) {
	switch os.Getenv("DIRSTORE_TEST_ROLE") {
	case "count":
		os.Exit(countingWriter(os.Getenv("DIRSTORE_TEST_DIR")))
	case "limited":
		os.Exit(limitedWriter(os.Getenv("DIRSTORE_TEST_DIR")))
	case "reader":
		os.Exit(reader(os.Getenv("DIRSTORE_TEST_DIR")))
	}
	os.Exit(m.Run())
}

func role(ctx context.Context, name, dir string, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0]) // is killed when the context ends
	cmd.Env = append(append(os.Environ(), "DIRSTORE_TEST_ROLE="+name, "DIRSTORE_TEST_DIR="+dir), more...)
	cmd.Stderr = os.Stderr
	return cmd
}

// Each counter is a record, beside a file that shows the same number, padded to more
// than a block so that half of it could be seen.
func counted(n int) (value []byte, file environment.File) {
	return []byte(strconv.Itoa(n)), environment.File{Name: "counter.txt", Data: bytes.Repeat([]byte(strconv.Itoa(n)+"\n"), 2000)}
}

const counters = 3

// countingWriter adds one to a random counter, says which, and goes on.
func countingWriter(dir string) int {
	d, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rounds, _ := strconv.Atoi(os.Getenv("DIRSTORE_TEST_ROUNDS"))
	ctx := context.Background()
	for i := 0; rounds == 0 || i < rounds; {
		key := fmt.Sprintf("counter/%d", rand.IntN(counters))
		r, err := d.Get(ctx, key)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		n, _ := strconv.Atoi(string(r.Value))
		value, file := counted(n + 1)
		switch _, err := d.PutFiles(ctx, key, value, r.Revision, []environment.File{file}); {
		case err == nil:
			fmt.Println(key)
			i++
		case !errors.Is(err, trustkeep.ErrConflict):
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// said counts what a writer says that it has done, and tells after each how many that
// were.
func said(cmd *exec.Cmd, done *[counters]int, mu *sync.Mutex, tell func(n int)) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for updates := 0; lines.Scan(); {
		_, digit, _ := strings.Cut(lines.Text(), "/")
		if n, err := strconv.Atoi(digit); err == nil {
			mu.Lock()
			done[n]++
			mu.Unlock()
			updates++
			tell(updates)
		}
	}
	return cmd.Wait()
}

func newCounters(t *testing.T) string {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	for i := range counters {
		value, file := counted(0)
		put(t, d, fmt.Sprintf("counter/%d", i), string(value), 0, file)
	}
	return dir
}

// wantCounters compares the counters, and the files beside them, with what was done.
// Each of the slack writers that were killed may have added one without saying so.
func wantCounters(t *testing.T, dir string, done [counters]int, slack int) {
	t.Helper()
	d := open(t, dir, Options{})
	total, sum := 0, 0
	for i, said := range done {
		key := fmt.Sprintf("counter/%d", i)
		r, err := d.Get(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(r.Value))
		if err != nil || n < said {
			t.Errorf("%s is at %q after %d updates: some were lost", key, r.Value, said)
		}
		if r.Revision != uint64(n)+1 {
			t.Errorf("%s is at revision %d after %d updates", key, r.Revision, n)
		}
		_, file := counted(n)
		data, err := os.ReadFile(filepath.Join(d.folder(key), file.Name))
		if err != nil || !bytes.Equal(data, file.Data) {
			t.Errorf("the file beside %s (at %d) has %d bytes and begins with %.8q, error %v", key, n, len(data), data, err)
		}
		total, sum = total+n, sum+said
		versions, err := d.Versions(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			if v.Err != nil || strconv.FormatUint(v.Revision-1, 10) != string(v.Value) {
				t.Errorf("version %d of %s is %q, error %v", v.Revision, key, v.Value, v.Err)
			}
		}
	}
	if total > sum+slack {
		t.Errorf("counted to %d in all, and %d were done", total, sum)
	}
}

func TestEightProcessesLoseNothing(t *testing.T) {
	rounds := testtool.Rounds(6, 25)
	dir := newCounters(t)
	watched := open(t, dir, Options{})
	updates, err := watched.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var done [counters]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := said(role(t.Context(), "count", dir, fmt.Sprint("DIRSTORE_TEST_ROUNDS=", rounds)), &done, &mu, func(int) {}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done[0]+done[1]+done[2] != 8*rounds {
		t.Errorf("%v updates, want %d in all", done, 8*rounds)
	}
	wantCounters(t, dir, done, 0)
	known := map[string]string{}
	for u := range updates {
		for _, r := range u.Records {
			known[r.Key] = string(r.Value)
		}
		if known["counter/0"] == fmt.Sprint(done[0]) && known["counter/1"] == fmt.Sprint(done[1]) && known["counter/2"] == fmt.Sprint(done[2]) {
			break
		}
	}
}

func TestKilledWritersLeaveNothingHalf(t *testing.T) {
	kills := testtool.Rounds(10, 60)
	dir := newCounters(t)
	var done [counters]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	slack := 0
	for range 4 { // at a time
		wg.Go(func() {
			for range kills / 4 {
				// In the midst of whatever comes a moment after some updates.
				ctx, cancel := context.WithCancel(t.Context())
				last, moment := 1+rand.IntN(8), time.Duration(rand.IntN(3000))*time.Microsecond
				err := said(role(ctx, "count", dir), &done, &mu, func(n int) {
					if n == last {
						time.AfterFunc(moment, cancel)
					}
				})
				if ctx.Err() == nil {
					t.Errorf("a writer ended: %v", err)
				}
				cancel()
				mu.Lock()
				slack++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%v updates by %d writers, all killed", done, slack)
	wantCounters(t, dir, done, slack)
	var left []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && storefile.IsTemp(e.Name()) {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %q, error %v", left, err)
	}
}

// TestNextWriterRemovesTemporaryFiles: wherever a writer died, beside records, among their
// versions (one that died before it wrote there the version of another that had died), or
// before there was a record.
func TestNextWriterRemovesTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "a/b", "one", 0)
	put(t, d, "a/b", "two", 1)
	var temps []string
	for _, path := range []string{"a/b/" + recordName, "a/b/" + versionsName + "/" + versionName(2), "new/key/" + recordName, markerName} {
		folder, name := filepath.Split(filepath.Join(dir, filepath.FromSlash(path)))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		temps = append(temps, filepath.Join(folder, "."+name+".trustkeep-tmp"))
	}
	for by, next := range map[string]func(){
		"Put":  func() { put(t, d, "c", "three", 0) },
		"Open": func() { open(t, dir, Options{}) },
	} {
		for _, temp := range temps {
			if !storefile.IsTemp(filepath.Base(temp)) {
				t.Fatal("no temporary file: " + temp)
			}
			if err := os.WriteFile(temp, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.lock.begin(true); err != nil {
			t.Fatal(err)
		}
		next()
		for _, temp := range temps {
			if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s leaves %s: %v", by, temp, err)
			}
		}
		if d.lock.interrupted() {
			t.Errorf("%s: the repair is not over", by)
		}
	}
}

// limitedWriter may write files of 64 KiB at most: what is larger fails on the way, as
// it does on a full disk.
func limitedWriter(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	d, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	large := bytes.Repeat([]byte("x"), 200<<10)
	if _, err := d.Put(ctx, "a", large, 1); !errors.Is(err, syscall.EFBIG) {
		fmt.Fprintln(os.Stderr, "a large record:", err)
		return 1
	}
	if _, err := d.Put(ctx, "new/b", large, 0); !errors.Is(err, syscall.EFBIG) {
		fmt.Fprintln(os.Stderr, "a large new record:", err)
		return 1
	}
	return 0
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "a", "small", 0, environment.File{Name: "a.cer", Data: []byte("shown")})
	if err := role(t.Context(), "limited", dir).Run(); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Get(context.Background(), "a"); err != nil || string(r.Value) != "small" || r.Revision != 1 {
		t.Errorf("%q at %d, %v", r.Value, r.Revision, err)
	}
	wantFiles(t, filepath.Join(dir, "a"), "a.cer=shown")
	if all, err := d.List(context.Background(), ""); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if got, err := d.Versions(context.Background(), "a"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	put(t, d, "a", "after", 1)
	put(t, d, "new/b", "after", 0)
}

// TestFilesFollowWhenTheyCan: the record counts although its file cannot be written, and
// the file is written by the next writer that can.
func TestFilesFollowWhenTheyCan(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "a", "one", 0)
	obstacle := filepath.Join(dir, "a", "a.cer")
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, d, "a", "two", 1, environment.File{Name: "a.cer", Data: []byte("two")})
	if r, err := d.Get(context.Background(), "a"); err != nil || string(r.Value) != "two" {
		t.Errorf("%q, %v", r.Value, err)
	}
	if !d.lock.interrupted() {
		t.Error("nobody is told that a file is missing")
	}
	// Watchers are not disturbed by that.
	updates, err := open(t, dir, Options{}).Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if u := <-updates; len(u.Records) != 1 {
		t.Errorf("%v", u)
	}
	put(t, d, "b", "x", 0)
	if u := <-updates; len(u.Records) != 1 || u.Records[0].Key != "b" {
		t.Errorf("%v", u)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	put(t, d, "c", "x", 0)
	wantFiles(t, filepath.Join(dir, "a"), "a.cer=two")
	if d.lock.interrupted() {
		t.Error("the repair is not over")
	}
}

// reader is run as somebody who may read and not write.
func reader(dir string) int {
	d, err := Open(dir, Options{Poll: time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	if _, err := d.Put(ctx, "k", []byte("x"), 1); !errors.Is(err, fs.ErrPermission) {
		fmt.Fprintln(os.Stderr, "Put:", err)
		return 1
	}
	updates, err := d.Watch(ctx, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "Watch:", err)
		return 1
	}
	for u := range updates {
		for _, r := range u.Records {
			fmt.Println(string(r.Value))
			if string(r.Value) == "end" {
				return 0
			}
		}
	}
	return 1
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "k", "begin", 0)
	viewer := open(t, dir, Options{ReadOnly: true})
	if _, err := viewer.Put(context.Background(), "k", nil, 1); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Put through a read-only Directory: %v", err)
	}
	if r, err := viewer.Get(context.Background(), "k"); err != nil || string(r.Value) != "begin" {
		t.Errorf("%q, %v", r.Value, err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	for path := dir; path != "/tmp" && path != "/"; path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	os.Chmod(filepath.Join(dir, markerName), 0o644)
	os.Chmod(filepath.Join(dir, lockName), 0o644)
	os.Chmod(filepath.Join(dir, "k"), 0o755)
	os.Chmod(filepath.Join(dir, "k", recordName), 0o644) // replacements keep it
	cmd := role(t.Context(), "reader", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(filepath.Dir(dir), "reader")
	if err := os.WriteFile(cmd.Path, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begin" {
		t.Errorf("the reader saw %q", lines.Text())
	}
	put(t, d, "k", "end", 1)
	if !lines.Scan() || lines.Text() != "end" {
		t.Errorf("the reader saw %q", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
