package revocation

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// follower watches with a look for each tick.
type follower struct {
	*WatchedCRLs
	t       *testing.T
	ticks   chan struct{}
	changes []trustkeep.Change
	errs    []error
}

func follow(t *testing.T, paths ...string) *follower {
	t.Helper()
	f := &follower{t: t, ticks: make(chan struct{})}
	var err error
	f.WatchedCRLs, err = watchCRLs(paths, trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) { f.changes = append(f.changes, c) },
		OnError:  func(err error) { f.errs = append(f.errs, err) },
	}, f.ticks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// look makes the watcher look twice, since what is written in place must be found twice.
func (f *follower) look() {
	for range 3 { // the last waits for the second
		f.ticks <- struct{}{}
	}
}

func putFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// Lists follow a file and a folder, and the checker follows them.
func TestWatchedListsAreFollowed(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file, folder := filepath.Join(t.TempDir(), "one.crl"), filepath.Join(dir, "lists")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	clean, bad := w.list(w.pki.Intermediate, nil), w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	putFile(t, file, clean)
	f := follow(t, file, folder)
	ch := w.checker(Options{Coverage: LeafOnly, Watched: []*WatchedCRLs{f.WatchedCRLs}})
	expect := func(what, want string, lists int, failed bool) {
		t.Helper()
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != want {
			t.Errorf("%s: %v", what, err)
		}
		if n := len(f.CRLs()); n != lists || (f.Err() != nil) != failed {
			t.Errorf("%s: %d lists, %v", what, n, f.Err())
		}
	}
	expect("at first", "good", 1, false)

	putFile(t, filepath.Join(folder, "two.crl"), bad)
	f.look()
	expect("a file in the folder", "revoked", 2, false)

	putFile(t, filepath.Join(folder, "two.crl"), bad[:100])
	f.look()
	expect("the file is cut", "revoked", 2, true)
	if !errors.Is(f.Err(), trustkeep.ErrCorrupt) || len(f.errs) != 1 || f.Reload(t.Context()) == nil {
		t.Errorf("%v, reported %v", f.Err(), f.errs)
	}

	// What is wrong with one file keeps no other from being followed.
	putFile(t, filepath.Join(folder, "0123abcd.r0"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: w.list(w.pki.Root, nil)}))
	putFile(t, filepath.Join(folder, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.leaf.DER}))
	putFile(t, filepath.Join(folder, "README"), []byte("of no interest"))
	f.look()
	expect("another file", "revoked", 3, true)

	putFile(t, filepath.Join(folder, "two.crl"), clean)
	f.look()
	expect("the file is good again", "good", 3, false)
	if len(f.errs) != 2 || f.errs[1] != nil {
		t.Errorf("reported %v", f.errs)
	}

	putFile(t, file, bad)
	f.look()
	expect("the other path", "revoked", 3, false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f.look()
	expect("a file that is gone keeps its lists", "revoked", 3, true)
	if !errors.Is(f.Err(), fs.ErrNotExist) {
		t.Error(f.Err())
	}
	putFile(t, file, clean)
	if err := os.Remove(filepath.Join(folder, "two.crl")); err != nil {
		t.Fatal(err)
	}
	f.look()
	expect("a file that left its folder does not", "good", 2, false)

	// A folder that is gone for a moment takes nothing with it.
	putFile(t, filepath.Join(folder, "two.crl"), bad)
	f.look()
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	f.look()
	expect("the folder is gone", "revoked", 3, true)
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	f.look()
	expect("the folder is back", "revoked", 3, false)

	var all []string
	for i, c := range f.changes {
		if c.Generation != uint64(i+2) || c.Empty() {
			t.Errorf("change %d: %v", i, c)
		}
		for verb, entries := range map[string][]trustkeep.Changed{"+": c.Added, "~": c.Replaced, "-": c.Removed} {
			for _, e := range entries {
				all = append(all, verb+filepath.Base(e.Alias))
			}
		}
	}
	slices.Sort(all)
	if want := []string{"+0123abcd.r0", "+two.crl", "+two.crl", "-two.crl", "~one.crl", "~one.crl", "~two.crl"}; !slices.Equal(all, want) {
		t.Errorf("%q", all)
	}
}

// What has not changed is not read into memory again.
func TestWatchedListsAreParsedOnce(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	putFile(t, filepath.Join(folder, "a.crl"), w.list(w.pki.Intermediate, nil))
	putFile(t, filepath.Join(folder, "b.crl"), w.list(w.pki.Root, nil))
	f := follow(t, folder)
	before := f.CRLs()
	putFile(t, filepath.Join(folder, "b.crl"), w.list(w.pki.Root, nil, w.leaf.Cert.SerialNumber))
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := f.CRLs()
	if len(before) != 2 || len(after) != 2 || before[0] != after[0] || before[1] == after[1] {
		t.Errorf("%v, %v", before, after)
	}
}

// Watching begins with whole files only.
func TestWatchBeginsWithGoodLists(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	putFile(t, filepath.Join(folder, "a.crl"), w.list(w.pki.Intermediate, nil))
	putFile(t, filepath.Join(folder, "b.crl"), []byte("garbage"))
	putFile(t, filepath.Join(folder, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.leaf.DER}))
	for name, c := range map[string]struct {
		paths []string
		err   error
	}{
		"nothing":      {nil, trustkeep.ErrInvalid},
		"no such file": {[]string{filepath.Join(folder, "c.crl")}, fs.ErrNotExist},
		"certificates": {[]string{filepath.Join(folder, "ca.pem")}, trustkeep.ErrEmpty},
		"a bad file":   {[]string{folder}, trustkeep.ErrCorrupt},
	} {
		if f, err := WatchCRLs(c.paths, trustkeep.WatchOptions{}); !errors.Is(err, c.err) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Watched: []*WatchedCRLs{nil}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}
