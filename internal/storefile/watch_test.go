//go:build unix

package storefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// subject follows one file whose content is "good:…"; others do not parse.
type subject struct {
	t       *testing.T
	path    string
	w       *Watcher[string]
	value   string
	reports []string
}

func newSubject(t *testing.T, path string) *subject {
	t.Helper()
	s := &subject{t: t, path: path}
	paths := []string{path}
	w, err := NewWatcher(Watching[string]{
		Paths: paths,
		Parse: func(b []byte) (string, error) {
			if !bytes.HasPrefix(b, []byte("good:")) || !bytes.HasSuffix(b, []byte(".")) {
				return "", fmt.Errorf("bad: %s", b)
			}
			return string(b), nil
		},
		Take: func(v string) trustkeep.Change { s.value = v; return changed },
		WatchOptions: trustkeep.WatchOptions{
			OnError: func(err error) { s.reports = append(s.reports, fmt.Sprint(err)) },
		},
		Ticks: make(chan struct{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s.w = w
	return s
}

func (s *subject) write(content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *subject) rename(content string) {
	s.t.Helper()
	next := s.path + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, s.path); err != nil {
		s.t.Fatal(err)
	}
}

// want looks n times and compares.
func (s *subject) want(looks int, value string) {
	s.t.Helper()
	for range looks {
		s.w.ask(s.t.Context(), request{byTick: true})
	}
	if s.value != value {
		s.t.Errorf("%q, want %q", s.value, value)
	}
}

func TestReplacedAndWrittenInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("good:1."), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSubject(t, path)
	s.want(3, "good:1.")
	s.rename("good:2.")
	s.want(1, "good:2.") // at once
	// Written in place, in pieces: none is taken before it stays.
	s.write("good:3")
	s.want(1, "good:2.")
	s.write("good:3.")
	s.want(1, "good:2.")
	s.want(1, "good:3.")
	// A piece that parses.
	s.write("good:4.")
	s.want(1, "good:3.")
	s.write("good:4.and more.")
	s.want(1, "good:3.")
	s.want(1, "good:4.and more.")
	if len(s.reports) != 0 {
		t.Errorf("%q", s.reports)
	}
}

func TestFailuresAreReportedOnceAndPass(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("good:1."), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSubject(t, path)
	s.rename("garbage")
	s.want(5, "good:1.")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.want(5, "good:1.")
	if !errors.Is(s.w.Err(), os.ErrNotExist) {
		t.Errorf("%v", s.w.Err())
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s.want(5, "good:1.")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.rename("good:1.") // as it was
	s.want(5, "good:1.")
	if err := s.w.Err(); err != nil {
		t.Error(err)
	}
	if len(s.reports) != 4 || s.reports[0] != "bad: garbage" || s.reports[3] != "<nil>" {
		t.Errorf("%q", s.reports)
	}
}

// Times that a file system keeps too coarsely, or somebody set back, do not hide a
// change for ever.
func TestChangeThatStatDoesNotShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	when := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	put("good:1.")
	s := newSubject(t, path)
	put("good:2.")
	s.want(2, "good:1.")
	s.want(2*unhurried, "good:2.")
}

// Kubernetes swaps a link to a directory behind the links that it mounts.
func TestLinkSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "f"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..one", "good:1.")
	path := filepath.Join(dir, "f")
	if err := os.Symlink("..data/f", path); err != nil {
		t.Fatal(err)
	}
	s := newSubject(t, path)
	version("..two", "good:2.")
	s.want(1, "good:2.")
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("good:1."), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSubject(t, path)
	s.write("good:2.")
	if err := s.w.Reload(t.Context()); err != nil || s.value != "good:2." {
		t.Errorf("%q, %v", s.value, err)
	}
	s.write("garbage")
	if err := s.w.Reload(t.Context()); err == nil || s.value != "good:2." {
		t.Errorf("%q, %v", s.value, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.w.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestEvents waits for what the system announces: with an interval of an hour, only
// that can bring a change about.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if events, stop := follow([]string{dir}); events == nil {
		t.Skip("this system announces nothing")
	} else {
		stop()
	}
	taken := make(chan string, 10)
	paths := []string{path}
	w, err := NewWatcher(Watching[string]{
		Paths: paths, Parse: func(b []byte) (string, error) { return string(b), nil },
		Take:         func(v string) trustkeep.Change { taken <- v; return trustkeep.Change{} },
		WatchOptions: trustkeep.WatchOptions{Interval: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	<-taken // the first
	// The watcher begins on a goroutine of its own; until then it hears nothing.
	for i := 1; ; i++ {
		if err := os.WriteFile(path+".next", fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
		select {
		case <-taken:
		case <-time.After(50 * time.Millisecond):
			if i < 200 {
				continue
			}
			t.Fatal("no change was announced")
		}
		break
	}
	if err := os.WriteFile(path, []byte("in place"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case v := <-taken:
			if v == "in place" {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("writing in place was not announced")
		}
	}
}

// BenchmarkRename is how long it takes until a rename is in effect.
func BenchmarkRename(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "f")
	next := path + ".next"
	if err := os.WriteFile(path, []byte("start"), 0o600); err != nil {
		b.Fatal(err)
	}
	taken := make(chan string, 1)
	paths := []string{path}
	w, err := NewWatcher(Watching[string]{
		Paths: paths, Parse: func(b []byte) (string, error) { return string(b), nil },
		Take: func(v string) trustkeep.Change { taken <- v; return trustkeep.Change{} },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	<-taken
	n := 0
	for b.Loop() {
		n++
		if err := os.WriteFile(next, fmt.Append(nil, n), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			b.Fatal(err)
		}
		<-taken
	}
}

// BenchmarkIdle is what watching ten files of 200 kB costs: a look at each, which
// happens once a second, as the share of a core.
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	var watchers []*Watcher[int]
	for i := range 10 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, make([]byte, 200_000), 0o600); err != nil {
			b.Fatal(err)
		}
		paths := []string{path}
		w, err := NewWatcher(Watching[int]{
			Paths: paths, Parse: func(b []byte) (int, error) { return len(b), nil },
			Take: func(int) trustkeep.Change { return trustkeep.Change{} }, Ticks: make(chan struct{}),
		})
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		watchers = append(watchers, w)
	}
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	seconds := 0
	for b.Loop() {
		for _, w := range watchers {
			w.ask(b.Context(), request{byTick: true})
		}
		seconds++
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(100*spent.Seconds()/float64(seconds), "%core")
}
