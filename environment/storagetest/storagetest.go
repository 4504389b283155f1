// Package storagetest tests implementations of environment.Storage against its
// contract, and has one that lives in memory for tests of what uses a Storage.
//
//	func TestStorage(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) environment.Storage { return open(t, t.TempDir()) })
//	}
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Suite configures the test of a storage. New is required; the other fields add tests.
type Suite struct {
	// New returns an empty storage, which is closed by a Cleanup of the test.
	New func(t *testing.T) environment.Storage
	// Again opens the same storage once more, as another program would. If nil, the
	// tests use one handle.
	Again func(t *testing.T, s environment.Storage) environment.Storage
	// Disturb cuts the storage off from where the records are, for a moment, so that
	// its watchers may miss changes. It returns when the storage works again. If nil,
	// the storage is never cut off.
	Disturb func(t *testing.T, s environment.Storage)
	// Hold begins to write a record and stops just before the write takes effect. It
	// returns what goes on with it, and what returns when another writer is seen waiting
	// for that. If nil, no write can be held.
	Hold func(t *testing.T, s environment.Storage, key, value string) (release func(), waited func(context.Context))
	// Patience is how long a change may take to reach a watcher; zero is 20 seconds.
	Patience time.Duration
}

// Run tests a storage by a Suite with New alone.
func Run(t *testing.T, open func(t *testing.T) environment.Storage) {
	t.Helper()
	Suite{New: open}.Run(t)
}

// Run runs all tests, each as a subtest on a storage of its own.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	if s.New == nil {
		t.Fatal("storagetest: Suite.New is nil")
	}
	if s.Patience == 0 {
		s.Patience = 20 * time.Second
	}
	for _, test := range []struct {
		name string
		run  func(*fixture)
	}{
		{"what is put can be read", roundTrip},
		{"values of every size and content", values},
		{"values are copied", copies},
		{"keys that mean something elsewhere", keys},
		{"writers that have not seen the last version get a conflict", conflicts},
		{"capital letters", capitals},
		{"deleted and created anew", deletion},
		{"list by prefix", list},
		{"versions are kept", versions},
		{"contexts that have ended", ended},
		{"no update is lost between many writers", counter},
		{"one of many creators wins", creators},
		{"a watcher sees everything and then changes", watch},
		{"a watcher sees what it asks for", watchPaths},
		{"a watcher is told that there is nothing new", heartbeat},
		{"a watcher is told that the storage was closed", closing},
		{"a watcher ends with its context", watchEnd},
		{"a watcher who does not read holds up nobody", slowWatcher},
		{"a watcher sees only states that were", watchOrder},
		{"a watcher sees writes that end in another order than they began", held},
		{"a watcher who was cut off catches up", disturbed},
		{"files have any name", files},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*s.Patience)
			defer cancel()
			test.run(&fixture{T: t, Suite: s, Storage: s.New(t), ctx: ctx})
		})
	}
}

// fixture is one test's storage.
type fixture struct {
	*testing.T
	Suite
	environment.Storage
	ctx context.Context
}

// another is the storage as another program sees it.
func (f *fixture) another() environment.Storage {
	if f.Again == nil {
		return f.Storage
	}
	return f.Again(f.T, f.Storage)
}

func (f *fixture) put(key, value string, expected uint64) uint64 {
	f.Helper()
	revision, err := f.Put(f.ctx, key, []byte(value), expected)
	if err != nil {
		f.Fatalf("Put(%q, revision %d): %v", key, expected, err)
	}
	if revision <= expected {
		f.Fatalf("Put(%q): revision %d after %d", key, revision, expected)
	}
	return revision
}

func (f *fixture) wantErr(err, want error, what string, args ...any) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("%s: got error %v, want %v", fmt.Sprintf(what, args...), err, want)
	}
}

func (f *fixture) wantConflict(err error, key string, expected uint64) {
	f.Helper()
	var conflict *environment.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, trustkeep.ErrConflict) {
		f.Errorf("key %q, expected revision %d: got error %v, want a ConflictError", key, expected, err)
		return
	}
	if conflict.Key != key || conflict.Expected != expected {
		f.Errorf("conflict says key %q, expected %d; want %q, %d", conflict.Key, conflict.Expected, key, expected)
	}
}

func (f *fixture) wantValue(s environment.Storage, key, value string, revision uint64) {
	f.Helper()
	r, err := s.Get(f.ctx, key)
	if err != nil {
		f.Errorf("Get(%q): %v", key, err)
		return
	}
	if r.Key != key || string(r.Value) != value || r.Revision != revision || r.Deleted || r.Err != nil || r.Time.IsZero() {
		f.Errorf("Get(%q) = %s, want %q at revision %d with a time", key, describe(r), shorten(value), revision)
	}
}

func describe(r environment.Record) string {
	return fmt.Sprintf("{%s@%d %q deleted=%t time=%v err=%v}", r.Key, r.Revision, shorten(string(r.Value)), r.Deleted, r.Time, r.Err)
}

func shorten(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%s... (%d bytes)", s[:40], len(s))
	}
	return s
}

func roundTrip(f *fixture) {
	_, err := f.Get(f.ctx, "components/a")
	f.wantErr(err, trustkeep.ErrNotFound, "Get of nothing")
	first := f.put("components/a", "one", 0)
	f.wantValue(f.Storage, "components/a", "one", first)
	second := f.put("components/a", "two", first)
	f.wantValue(f.another(), "components/a", "two", second)
	third := f.put("components/a", "two", second) // no change is a version all the same
	f.wantValue(f.Storage, "components/a", "two", third)
}

func values(f *fixture) {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	sizes := map[string]string{"empty": "", "binary": string(binary), "million": strings.Repeat("0123456789", 100_000), "three": strings.Repeat("abc", 1<<20)}
	if !testing.Short() {
		sizes["largest"] = strings.Repeat("x", environment.MaxValue)
	}
	for key, value := range sizes {
		f.wantValue(f.Storage, key, value, f.put(key, value, 0))
	}
	_, err := f.Put(f.ctx, "over", make([]byte, environment.MaxValue+1), 0)
	f.wantErr(err, trustkeep.ErrLimit, "a value of MaxValue+1 bytes")
	_, err = f.Get(f.ctx, "over")
	f.wantErr(err, trustkeep.ErrNotFound, "what was refused")
}

func copies(f *fixture) {
	value := []byte("mine")
	revision, err := f.Put(f.ctx, "k", value, 0)
	if err != nil {
		f.Fatal(err)
	}
	copy(value, "your")
	r, err := f.Get(f.ctx, "k")
	if err != nil {
		f.Fatal(err)
	}
	copy(r.Value, "his.")
	f.wantValue(f.Storage, "k", "mine", revision)
}

func keys(f *fixture) {
	good := []string{
		"a", "a/b", "a/b/c", "0", "a_b-c", "a-", "con", "nul/aux", "com1", "record", "versions", "lock", "tmp",
		strings.Repeat("k", environment.MaxKey), strings.Repeat("s/", environment.MaxKey/2-1) + "s",
	}
	for _, key := range good {
		f.put(key, "value of "+key, 0)
	}
	for _, key := range good {
		r, err := f.Get(f.ctx, key)
		if err != nil || string(r.Value) != "value of "+key {
			f.Errorf("Get(%q) = %s, %v", key, describe(r), err)
		}
	}
	if all, err := f.List(f.ctx, ""); err != nil || len(all) != len(good) {
		f.Errorf("List has %d records and error %v, want %d", len(all), err, len(good))
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a b", "a\x00b", "a.b", "a\\b", "c:", "*", "a/>", "ä",
		"-a", "_a", "a/_b", strings.Repeat("k", environment.MaxKey+1),
	} {
		_, err := f.Put(f.ctx, key, nil, 0)
		f.wantErr(err, trustkeep.ErrInvalid, "Put(%q)", key)
		if _, err := f.Get(f.ctx, key); err == nil {
			f.Errorf("Get(%q) succeeds", key)
		}
		if err := f.Delete(f.ctx, key, 0); err == nil {
			f.Errorf("Delete(%q) succeeds", key)
		}
		if _, err := f.Versions(f.ctx, key); err == nil {
			f.Errorf("Versions(%q) succeeds", key)
		}
	}
}

func conflicts(f *fixture) {
	_, err := f.Put(f.ctx, "k", []byte("x"), 1)
	f.wantConflict(err, "k", 1)
	first := f.put("k", "one", 0)
	_, err = f.Put(f.ctx, "k", []byte("x"), 0)
	f.wantConflict(err, "k", 0)
	second := f.put("k", "two", first)
	for _, stale := range []uint64{0, first, second + 1} {
		_, err = f.Put(f.ctx, "k", []byte("x"), stale)
		f.wantConflict(err, "k", stale)
	}
	for _, stale := range []uint64{first, second + 1} {
		f.wantConflict(f.Delete(f.ctx, "k", stale), "k", stale)
	}
	f.wantValue(f.Storage, "k", "two", second)
	if got, err := f.Versions(f.ctx, "k"); err != nil || len(got) != 2 {
		f.Errorf("refused writes left %d versions, error %v; want 2", len(got), err)
	}
}

func deletion(f *fixture) {
	f.wantErr(f.Delete(f.ctx, "k", 1), trustkeep.ErrNotFound, "Delete of nothing")
	first := f.put("k", "one", 0)
	if err := f.Delete(f.ctx, "k", first); err != nil {
		f.Fatal(err)
	}
	_, err := f.another().Get(f.ctx, "k")
	f.wantErr(err, trustkeep.ErrNotFound, "Get of what was deleted")
	f.wantErr(f.Delete(f.ctx, "k", first), trustkeep.ErrNotFound, "Delete of what was deleted")
	all, err := f.Versions(f.ctx, "k")
	if err != nil || len(all) != 2 {
		f.Fatalf("%d versions, error %v", len(all), err)
	}
	for _, stale := range []uint64{first, all[1].Revision} { // a deletion is nothing to go on from
		_, err = f.Put(f.ctx, "k", []byte("x"), stale)
		f.wantConflict(err, "k", stale)
		f.wantErr(f.Delete(f.ctx, "k", stale), trustkeep.ErrNotFound, "Delete of what was deleted")
	}
	again := f.put("k", "two", 0)
	if again <= first+1 {
		f.Errorf("created anew at revision %d; the deletion of revision %d counts as one", again, first)
	}
	f.wantValue(f.Storage, "k", "two", again)
}

func list(f *fixture) {
	if all, err := f.List(f.ctx, ""); err != nil || len(all) != 0 {
		f.Errorf("an empty storage lists %d records, error %v", len(all), err)
	}
	revisions := map[string]uint64{}
	for _, key := range []string{"b/two", "a", "b/one", "c/x", "b", "b-c", "b/gone"} {
		revisions[key] = f.put(key, "value of "+key, 0)
	}
	if err := f.Delete(f.ctx, "b/gone", revisions["b/gone"]); err != nil {
		f.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"":    {"a", "b", "b-c", "b/one", "b/two", "c/x"},
		"b":   {"b", "b-c", "b/one", "b/two"},
		"b/":  {"b/one", "b/two"},
		"b/t": {"b/two"},
		"d":   nil, "../": nil,
	} {
		got, err := f.another().List(f.ctx, prefix)
		if err != nil {
			f.Errorf("List(%q): %v", prefix, err)
			continue
		}
		var have []string
		for _, r := range got {
			have = append(have, r.Key)
			if string(r.Value) != "value of "+r.Key || r.Revision != revisions[r.Key] || r.Deleted || r.Err != nil {
				f.Errorf("List(%q) has %s", prefix, describe(r))
			}
		}
		if !slices.Equal(have, want) {
			f.Errorf("List(%q) = %q, want %q", prefix, have, want)
		}
	}
}

func versions(f *fixture) {
	_, err := f.Versions(f.ctx, "k")
	f.wantErr(err, trustkeep.ErrNotFound, "Versions of nothing")
	var revisions []uint64
	last := uint64(0)
	for i := range environment.MinVersions + 4 {
		last = f.put("k", fmt.Sprint(i), last)
		revisions = append(revisions, last)
	}
	if err := f.Delete(f.ctx, "k", last); err != nil {
		f.Fatal(err)
	}
	got, err := f.another().Versions(f.ctx, "k")
	if err != nil {
		f.Fatal(err)
	}
	if len(got) < environment.MinVersions {
		f.Fatalf("%d versions are kept, want %d at least", len(got), environment.MinVersions)
	}
	if end := got[len(got)-1]; !end.Deleted || end.Value != nil || end.Revision <= last || end.Key != "k" {
		f.Errorf("the last version is %s, want the deletion", describe(end))
	}
	got = got[:len(got)-1]
	for i, r := range got {
		n := len(revisions) - len(got) + i
		if r.Key != "k" || r.Revision != revisions[n] || string(r.Value) != fmt.Sprint(n) || r.Deleted || r.Err != nil || r.Time.IsZero() {
			f.Errorf("version %d is %s, want %d at revision %d", i, describe(r), n, revisions[n])
		}
	}
	f.put("k", "anew", 0)
	if got, err := f.Versions(f.ctx, "k"); err != nil || len(got) < 3 || !got[len(got)-2].Deleted || !bytes.Equal(got[len(got)-1].Value, []byte("anew")) {
		f.Errorf("%d versions, error %v: a record that was created anew keeps its past", len(got), err)
	}
}

func ended(f *fixture) {
	first := f.put("k", "one", 0)
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	_, err := f.Get(ctx, "k")
	f.wantErr(err, context.Canceled, "Get")
	_, err = f.Put(ctx, "k", nil, first)
	f.wantErr(err, context.Canceled, "Put")
	f.wantErr(f.Delete(ctx, "k", first), context.Canceled, "Delete")
	_, err = f.List(ctx, "")
	f.wantErr(err, context.Canceled, "List")
	_, err = f.Versions(ctx, "k")
	f.wantErr(err, context.Canceled, "Versions")
	_, err = f.Watch(ctx, "")
	f.wantErr(err, context.Canceled, "Watch")
	f.wantValue(f.Storage, "k", "one", first)
}

func files(f *fixture) {
	s, ok := f.Storage.(environment.FileStorage)
	if !ok {
		f.Skip("the storage shows no files")
	}
	names := []string{"a.cer", "A.cer", "../../up.cer", "/etc/passwd", "con.p12", "", ".", "..", "a/b_pub.asc", "x\x00y.cer", "record.json", ".hidden", strings.Repeat("n", 5000) + ".cer", "Grüße an Frau ß.cer", "\u202egnp.cer", "a.cer", "\xff\xfe.cer"}
	last := uint64(0)
	for i := range 2 {
		var shown []environment.File
		for _, name := range names[i:] {
			shown = append(shown, environment.File{Name: name, Data: []byte("content of " + name)})
		}
		revision, err := s.PutFiles(f.ctx, "k", []byte("value"), last, shown)
		if err != nil {
			f.Fatal(err)
		}
		f.wantValue(f.another(), "k", "value", revision)
		last = revision
	}
	_, err := s.PutFiles(f.ctx, "k", nil, last+1, nil)
	f.wantConflict(err, "k", last+1)
	if err := f.Delete(f.ctx, "k", last); err != nil {
		f.Fatal(err)
	}
}
