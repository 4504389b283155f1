package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// counter: writers that read, add one, and write with the revision read.
func counter(f *fixture) {
	const writers, each = 6, 15
	f.put("counter", "0", 0)
	revisions := sync.Map{}
	var wg sync.WaitGroup
	for range writers {
		s := f.another()
		wg.Go(func() {
			for range each {
				revision, err := increment(f.ctx, s, "counter")
				if err != nil {
					f.Error(err)
					return
				}
				if _, twice := revisions.LoadOrStore(revision, true); twice {
					f.Errorf("revision %d was given out twice", revision)
				}
			}
		})
	}
	wg.Wait()
	r, err := f.Get(f.ctx, "counter")
	if err != nil || string(r.Value) != strconv.Itoa(writers*each) {
		f.Errorf("counted to %s, error %v; want %d", r.Value, err, writers*each)
	}
}

func increment(ctx context.Context, s environment.Storage, key string) (uint64, error) {
	for {
		r, err := s.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return 0, err
		}
		revision, err := s.Put(ctx, key, []byte(strconv.Itoa(n+1)), r.Revision)
		if !errors.Is(err, trustkeep.ErrConflict) {
			return revision, err
		}
	}
}

func creators(f *fixture) {
	for round := range 5 {
		key := fmt.Sprintf("k%d", round)
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			s := f.another()
			wg.Go(func() {
				_, err := s.Put(f.ctx, key, []byte{byte(i)}, 0)
				if err == nil {
					won.Add(1)
				} else {
					f.wantConflict(err, key, 0)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			f.Errorf("%d of 6 created %q", won.Load(), key)
		}
	}
}

// view is what a watcher knows.
type view struct {
	f       *fixture
	updates <-chan environment.Update
	records map[string]environment.Record
	fulls   int
	beats   int   // updates that say nothing but that the storage was reached
	err     error // of the last update
}

func (f *fixture) watch(ctx context.Context, s environment.Storage, paths ...string) *view {
	f.Helper()
	updates, err := s.Watch(ctx, paths...)
	if err != nil {
		f.Fatalf("Watch: %v", err)
	}
	v := &view{f: f, updates: updates, records: map[string]environment.Record{}}
	if v.next(); v.fulls != 1 {
		f.Error("the first update is not a full one")
	}
	return v
}

// next applies one update.
func (v *view) next() {
	v.f.Helper()
	timeout := time.NewTimer(v.f.Patience)
	defer timeout.Stop()
	select {
	case u, ok := <-v.updates:
		if !ok {
			v.f.Fatal("the watch ended")
		}
		v.apply(u)
	case <-timeout.C:
		v.f.Fatalf("no update within %v; known: %v", v.f.Patience, v)
	}
}

func (v *view) apply(u environment.Update) {
	v.f.Helper()
	if v.err = u.Err; u.Full {
		v.fulls++
		clear(v.records)
	} else if len(u.Records) == 0 && u.Err == nil {
		v.beats++
	}
	for i, r := range u.Records {
		if i > 0 && r.Key <= u.Records[i-1].Key {
			v.f.Errorf("key %q comes after %q in one update", r.Key, u.Records[i-1].Key)
		}
		if r.Err != nil || u.Full && r.Deleted {
			v.f.Errorf("update with %s", describe(r))
		}
		if old := v.records[r.Key]; r.Revision < old.Revision {
			v.f.Errorf("revision %d of %q comes after revision %d", r.Revision, r.Key, old.Revision)
		}
		v.records[r.Key] = r
	}
}

// until applies updates until the record is as wanted; "" is deleted or absent.
func (v *view) until(key, value string) {
	v.f.Helper()
	for v.value(key) != value {
		v.next()
	}
}

func (v *view) value(key string) string {
	r := v.records[key]
	return string(r.Value)
}

// String lists what is known.
func (v *view) String() string {
	out := ""
	for key := range v.records {
		out += key + "=" + shorten(v.value(key)) + " "
	}
	return out
}

func watch(f *fixture) {
	empty := f.watch(f.ctx, f.Storage, "a/")
	if len(empty.records) != 0 {
		f.Errorf("an empty storage has %v", empty)
	}
	first := f.put("a/one", "1", 0)
	gone := f.put("a/gone", "x", 0)
	f.put("b/other", "x", 0)
	if err := f.Delete(f.ctx, "a/gone", gone); err != nil {
		f.Fatal(err)
	}
	v := f.watch(f.ctx, f.another(), "a/")
	if len(v.records) != 1 || v.value("a/one") != "1" || v.records["a/one"].Revision != first {
		f.Errorf("the first update has %v", v)
	}
	second := f.put("a/one", "2", first)
	f.put("a/two", "new", 0)
	f.put("b/other2", "x", 0)
	for _, v := range []*view{empty, v} {
		v.until("a/one", "2")
		v.until("a/two", "new")
		if v.records["a/one"].Revision != second || v.records["a/one"].Time.IsZero() {
			f.Errorf("watched %s, want revision %d", describe(v.records["a/one"]), second)
		}
	}
	if err := f.Delete(f.ctx, "a/one", second); err != nil {
		f.Fatal(err)
	}
	for _, v := range []*view{empty, v} {
		v.until("a/one", "")
		for key := range v.records {
			if key == "b/other" || key == "b/other2" {
				f.Errorf("a watcher of a/ was told of %s", key)
			}
		}
	}
}

// watchPaths: keys, folders and both, which may overlap.
func watchPaths(f *fixture) {
	for _, paths := range [][]string{nil, {}, {"/"}, {"a", "../"}, {"a*"}, {"a//"}} {
		_, err := f.Watch(f.ctx, paths...)
		f.wantErr(err, trustkeep.ErrInvalid, "Watch of %q", paths)
	}
	type asked struct {
		paths, want []string
		v           *view
	}
	all := []*asked{
		{paths: []string{"a"}, want: []string{"a"}},
		{paths: []string{"a/"}, want: []string{"a/b", "a/b/c"}},
		{paths: []string{"a/b", "a/b", "e"}, want: []string{"a/b", "e"}},
		{paths: []string{"a/b/", "ab", "d/"}, want: []string{"a/b/c", "ab", "d/x"}},
		{paths: []string{"a", "a/", "a/b", "d/x"}, want: []string{"a", "a/b", "a/b/c", "d/x"}},
		{paths: []string{"d/", ""}, want: []string{"a", "a/b", "a/b/c", "ab", "d/x", "e"}},
		{paths: []string{"none", "none/"}},
	}
	for round := range 2 { // what is there first, and what changes
		revisions := make(map[string]uint64)
		for _, key := range []string{"a", "a/b", "a/b/c", "ab", "d/x", "e"} {
			if round == 1 {
				r, err := f.Get(f.ctx, key)
				if err != nil {
					f.Fatal(err)
				}
				revisions[key] = r.Revision
			}
			f.put(key, fmt.Sprint(round), revisions[key])
		}
		for _, a := range all {
			if a.v == nil {
				a.v = f.watch(f.ctx, f.Storage, a.paths...)
			}
			for _, key := range a.want {
				a.v.until(key, fmt.Sprint(round))
			}
			if got := slices.Sorted(maps.Keys(a.v.records)); !slices.Equal(got, a.want) {
				f.Errorf("a watcher of %q knows %q, want %q", a.paths, got, a.want)
			}
		}
	}
}

// heartbeat: a watcher is told that there is nothing new, again and again.
func heartbeat(f *fixture) {
	last := f.put("a/k", "1", 0)
	v := f.watch(f.ctx, f.another(), "a/")
	for v.beats < 2 {
		v.next()
	}
	f.put("b/k", "1", 0) // which it did not ask for
	f.put("a/k", "2", last)
	v.until("a/k", "2")
	for before := v.beats; v.beats == before; {
		v.next()
	}
	if v.fulls != 1 || v.err != nil {
		f.Errorf("%d full updates, error %v", v.fulls, v.err)
	}
}

// closing: a watcher is told why the watch has ended, and a closed storage waits for no
// reader.
func closing(f *fixture) {
	s := f.another()
	closer, ok := s.(io.Closer)
	if !ok {
		f.Skip("the storage cannot be closed")
	}
	read, unread := f.watch(f.ctx, s, ""), f.watch(f.ctx, s, "")
	var wg sync.WaitGroup
	wg.Go(func() {
		var last environment.Update
		for last = range read.updates {
		}
		f.wantErr(last.Err, fs.ErrClosed, "the last update")
	})
	if err := closer.Close(); err != nil {
		f.Error(err)
	}
	wg.Wait()
	last := environment.Update{}
	for last = range unread.updates {
	}
	f.wantErr(last.Err, fs.ErrClosed, "the last update of a reader who came late")
	_, err := s.Watch(f.ctx, "")
	f.wantErr(err, fs.ErrClosed, "Watch of a closed storage")
	_, err = s.Get(f.ctx, "k")
	f.wantErr(err, fs.ErrClosed, "Get of a closed storage")
}

func watchEnd(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	v := f.watch(ctx, f.Storage, "")
	cancel()
	timeout := time.NewTimer(f.Patience)
	defer timeout.Stop()
	for {
		select {
		case u, ok := <-v.updates:
			if !ok {
				return
			}
			f.wantErr(u.Err, nil, "an update at the end of the context")
		case <-timeout.C:
			f.Fatal("the channel stays open after its context has ended")
		}
	}
}

func slowWatcher(f *fixture) {
	v := f.watch(f.ctx, f.Storage, "")
	last := uint64(0)
	for i := range 60 {
		last = f.put("k", strconv.Itoa(i), last)
	}
	f.put("end", "yes", 0)
	v.until("end", "yes")
	if v.value("k") != "59" {
		f.Errorf("the watcher knows %v at the end", v)
	}
}

// watchOrder: the writer keeps a one step ahead of b, or even with it.
func watchOrder(f *fixture) {
	const steps = 40
	v := f.watch(f.ctx, f.another(), "")
	var wg sync.WaitGroup
	wg.Go(func() {
		var a, b uint64
		for i := range steps {
			for _, w := range []struct {
				key      string
				revision *uint64
			}{{"b/leads", &b}, {"a/follows", &a}} {
				r, err := f.Put(f.ctx, w.key, []byte(strconv.Itoa(i)), *w.revision)
				if err != nil {
					f.Error(err)
					return
				}
				*w.revision = r
			}
		}
	})
	number := func(key string) int {
		r, ok := v.records[key]
		if !ok {
			return -1
		}
		n, _ := strconv.Atoi(string(r.Value))
		return n
	}
	for number("a/follows") < steps-1 && !f.Failed() {
		v.next()
		if lead, follow := number("b/leads"), number("a/follows"); lead != follow && lead != follow+1 {
			f.Errorf("the watcher saw b at %d and a at %d, which never was", lead, follow)
		}
	}
	wg.Wait()
}

// held: of two writes, the one that began first ends last. A storage that gives out revisions
// when writes begin would hide it from whoever has read the later one.
func held(f *fixture) {
	if f.Hold == nil {
		f.Skip("no write can be held")
	}
	v := f.watch(f.ctx, f.another(), "")
	release, waited := f.Hold(f.T, f.Storage, "a/first", "1")
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	other := f.another()
	go func() {
		_, err := other.Put(f.ctx, "b/second", []byte("1"), 0)
		done <- err
		cancel()
	}()
	waited(ctx) // or it was done
	if ctx.Err() != nil {
		v.until("b/second", "1")
	}
	if v.value("a/first") != "" {
		f.Error("a write was seen before it was done")
	}
	release()
	if err := <-done; err != nil {
		f.Error(err)
	}
	v.until("a/first", "1")
	v.until("b/second", "1")
}

func disturbed(f *fixture) {
	if f.Disturb == nil {
		f.Skip("the storage cannot be cut off")
	}
	kept, gone := f.put("kept", "1", 0), f.put("gone", "1", 0)
	cut := f.another()
	v := f.watch(f.ctx, cut, "")
	var wg sync.WaitGroup
	wg.Go(func() { f.Disturb(f.T, cut) })
	// Writers may be cut off too, so each tries until it succeeds.
	for f.ctx.Err() == nil {
		if revision, err := f.Put(f.ctx, "kept", []byte("2"), kept); err == nil || revision > kept {
			break
		}
		if r, err := f.Get(f.ctx, "kept"); err == nil && string(r.Value) == "2" {
			break
		}
	}
	for f.ctx.Err() == nil {
		if err := f.Delete(f.ctx, "gone", gone); err == nil || errors.Is(err, trustkeep.ErrNotFound) {
			break
		}
	}
	wg.Wait()
	v.until("kept", "2")
	v.until("gone", "")
	for f.ctx.Err() == nil {
		if _, err := f.Put(f.ctx, "after", []byte("1"), 0); err == nil || errors.Is(err, trustkeep.ErrConflict) {
			break
		}
	}
	v.until("after", "1")
}
