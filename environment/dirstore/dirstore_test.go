package dirstore

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

func open(t testing.TB, path string, o Options) *Directory {
	t.Helper()
	if o.Poll == 0 {
		o.Poll = 5 * time.Millisecond
	}
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(t testing.TB, d *Directory, key, value string, expected uint64, files ...environment.File) uint64 {
	t.Helper()
	revision, err := d.PutFiles(context.Background(), key, []byte(value), expected, files)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestConformance(t *testing.T) {
	storagetest.Suite{
		New: func(t *testing.T) environment.Storage {
			return open(t, filepath.Join(t.TempDir(), "new", "store"), Options{})
		},
		Again: func(t *testing.T, s environment.Storage) environment.Storage {
			return open(t, s.(*Directory).root, Options{})
		},
	}.Run(t)
}

func TestFilesBesideTheRecord(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	first := put(t, d, "components/a", `{"n":1}`, 0, environment.File{Name: "Partner.cer", Data: []byte("one")}, environment.File{Name: "Partner_pub.asc", Data: []byte("p")})
	folder := filepath.Join(dir, "components", "a")
	wantFiles(t, folder, "Partner.cer=one", "Partner_pub.asc=p")
	second := put(t, d, "components/a", `{"n":2}`, first, environment.File{Name: "Renamed.cer", Data: []byte("two")})
	wantFiles(t, folder, "Renamed.cer=two")
	if text, err := os.ReadFile(filepath.Join(folder, "record.json")); err != nil || !strings.Contains(string(text), `"json":{"n":2}`) {
		t.Errorf("the record is %s, %v: JSON is meant to be readable", text, err)
	}
	for _, path := range []string{dir, folder} {
		if info, err := os.Stat(path); err != nil || path == folder && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, error %v", path, info.Mode(), err)
		}
	}
	if err := d.Delete(context.Background(), "components/a", second); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, folder)
}

// wantFiles compares the files in a folder, but for the record.
func wantFiles(t testing.TB, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() || e.Name() == recordName {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Error(err)
		}
		got = append(got, e.Name()+"="+string(data))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has files %q, want %q", folder, got, want)
	}
}

func TestNamesNeverLeaveTheFolder(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "store")
	d := open(t, dir, Options{})
	names := []string{"../../evil.cer", "/tmp/evil.cer", `..\evil.cer`, "CON.cer", "con", "lpt1.p12", "NUL .cer", "", ".", "..", "...", "-rf.cer",
		"record.json", "RECORD.JSON", ".versions", "sub", "a\x00b.cer", "a\nb.cer", "\u202egpj.cer", "x:stream.cer", "Ä.cer", "ä.cer",
		"same.cer", "SAME.cer", "same.cer", strings.Repeat("n", 400) + "_priv.asc", strings.Repeat("ü", 400) + ".cer", "trailing.cer. ", "con." + strings.Repeat("x", 300)}
	var files []environment.File
	for _, name := range names {
		files = append(files, environment.File{Name: name, Data: []byte(name)})
	}
	put(t, d, "k", "v", 0, files...)
	put(t, d, "k/sub", "v", 0)
	s, err := d.read("k")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for i, f := range s.Files {
		if data, err := os.ReadFile(filepath.Join(dir, "k", f.Name)); err != nil || string(data) != names[i] {
			t.Errorf("%q became %q and holds %q, %v", names[i], f.Name, data, err)
		}
		if taken[strings.ToLower(f.Name)] {
			t.Errorf("two files are called %q", f.Name)
		}
		taken[strings.ToLower(f.Name)] = true
		if len(f.Name) > maxName || strings.ContainsAny(f.Name, "/\\:\x00\n") || !strings.Contains(f.Name, ".") || reserved(f.Name) || f.Name != trustkeep.Printable(f.Name) {
			t.Errorf("%q became %q", names[i], f.Name)
		}
	}
	if last := s.Files[len(s.Files)-4].Name; !strings.HasSuffix(last, "_priv.asc") {
		t.Errorf("cut to %q without its suffix", last)
	}
	entries, err := os.ReadDir(base)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the storage: %v, %v", entries, err)
	}
	if _, err := d.Get(context.Background(), "k/sub"); err != nil {
		t.Error(err)
	}
}

func FuzzSafeName(f *testing.F) {
	for _, name := range []string{"a.cer", "con.p12", "../x", strings.Repeat("a.", 200), "con" + strings.Repeat(" ", 300) + "x.cer", "-", "_", ". .", "\xff", "nul_pub.asc"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := safeName(name)
		if safeName(safe) != safe || len(safe) > maxName || reserved(safe) || strings.ContainsAny(safe, "/\\\x00:") || strings.HasPrefix(safe, ".") ||
			strings.HasPrefix(safe, "-") || !strings.Contains(safe, ".") || fold(safe) == recordName {
			t.Errorf("%q became %q", name, safe)
		}
		two := safeFiles([]environment.File{{Name: name}, {Name: name}})
		if fold(two[0].Name) == fold(two[1].Name) || safeName(two[1].Name) != two[1].Name {
			t.Errorf("%q became %q and %q", name, two[0].Name, two[1].Name)
		}
	})
}

func TestDeviceNamesAreNoFolders(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "aux/com3", "v", 0)
	if _, err := os.Stat(filepath.Join(dir, "_aux", "_com3", "record.json")); err != nil {
		t.Error(err)
	}
	if all, err := d.List(context.Background(), "aux/"); err != nil || len(all) != 1 || all[0].Key != "aux/com3" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestOpenRefusesWhatIsNoStorage(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	later, damaged := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{later: `{"format":"trustkeep-dirstore","version":99}`, damaged: "{"} {
		if err := os.WriteFile(filepath.Join(path, markerName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{
		"": trustkeep.ErrInvalid, home: trustkeep.ErrUnsupported, later: trustkeep.ErrUnsupported, damaged: trustkeep.ErrCorrupt, filepath.Join(home, "thesis.tex"): nil,
	} {
		d, err := Open(path, Options{})
		if err == nil {
			d.Close()
			t.Errorf("%s was opened", path)
		} else if want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := Open(filepath.Join(home, "none"), Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading what is not there: %v", err)
	}
}

func TestDamagedRecordHidesNothing(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	put(t, d, "a", "fine", 0)
	revision := put(t, d, "b", `{"to":"be damaged"}`, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	updates, err := d.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	<-updates
	path := filepath.Join(dir, "b", recordName)
	for name, change := range map[string]func([]byte) []byte{
		"half":         func(b []byte) []byte { return b[:len(b)/2] },
		"empty":        func([]byte) []byte { return nil },
		"other value":  func(b []byte) []byte { return []byte(strings.Replace(string(b), "damaged", "changed", 1)) },
		"other key":    func(b []byte) []byte { return []byte(strings.Replace(string(b), `"key":"b"`, `"key":"c"`, 1)) },
		"later format": func(b []byte) []byte { return []byte(strings.Replace(string(b), `"version":1`, `"version":9`, 1)) },
		"file upstairs": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `{"version"`, `{"files":[{"name":"../x.cer"}],"version"`, 1))
		},
	} {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(slices.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		want := trustkeep.ErrCorrupt
		if name == "later format" {
			want = trustkeep.ErrUnsupported
		}
		if _, err := d.Get(ctx, "b"); !errors.Is(err, want) {
			t.Errorf("%s: Get: %v, want %v", name, err, want)
		}
		if _, err := d.Put(ctx, "b", nil, revision); !errors.Is(err, want) {
			t.Errorf("%s: a damaged record was replaced: %v", name, err)
		}
		all, err := d.List(ctx, "")
		if err != nil || len(all) != 2 || string(all[0].Value) != "fine" || !errors.Is(all[1].Err, want) {
			t.Errorf("%s: List: %v, %v", name, all, err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(t, d, "a", "better", 1)
	for u := range updates {
		if len(u.Records) > 0 && u.Records[0].Key == "a" && string(u.Records[0].Value) == "better" {
			break
		}
	}
}

func TestVersionsArePrunedAndRestored(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{KeepVersions: 1})
	last := uint64(0)
	for i := range 30 {
		value, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		last = put(t, d, "k", string(value), last)
	}
	got, err := d.Versions(context.Background(), "k")
	if err != nil || len(got) != environment.MinVersions+1 || string(got[0].Value) != "13" {
		t.Errorf("%d versions, error %v", len(got), err)
	}
	// A version can be put back by hand, as docs/environment.md has it.
	old := filepath.Join(dir, "k", versionsName, versionName(got[3].Revision))
	text, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "k", recordName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Get(context.Background(), "k"); err != nil || string(r.Value) != "16" {
		t.Errorf("%s, %v", r.Value, err)
	}
	if all, err := d.Versions(context.Background(), "k"); err != nil || string(all[len(all)-1].Value) != "16" {
		t.Errorf("%v, %v", all, err)
	}
	// What is written then has a revision of its own: nobody takes it for one that was.
	restored := got[3].Revision
	if next := put(t, d, "k", "100", restored); next <= last {
		t.Errorf("revision %d was there before, as one up to %d", next, last)
	}
	all, err := d.Versions(context.Background(), "k")
	if err != nil || len(all) != environment.MinVersions+1 || string(all[len(all)-1].Value) != "100" || string(all[len(all)-2].Value) != "28" {
		t.Errorf("%v, %v", all, err)
	}
}

// TestNewestVersionIsPutBackUnseen: a watcher that looks again only when the record that
// was damaged is at the revision that it had before sees that it is another.
func TestNewestVersionIsPutBackUnseen(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{Ticks: make(chan time.Time)})
	other := open(t, dir, Options{Ticks: make(chan time.Time)})
	last := put(t, d, "k", "1", put(t, d, "k", "0", 0))
	ticks := make(chan time.Time)
	reader := open(t, dir, Options{Ticks: ticks})
	updates, err := reader.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if u := <-updates; len(u.Records) != 1 || string(u.Records[0].Value) != "1" {
		t.Fatalf("%v", u)
	}
	text, err := os.ReadFile(filepath.Join(dir, "k", versionsName, versionName(last-1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "k", recordName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := put(t, other, "k", "2", last-1); n != last {
		t.Fatalf("revision %d", n)
	}
	ticks <- time.Time{}
	select {
	case u := <-updates:
		if len(u.Records) != 1 || string(u.Records[0].Value) != "2" {
			t.Errorf("%v", u)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was told")
	}
}

func TestClosed(t *testing.T) {
	d, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	updates, err := d.Watch(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for range updates { // ends
	}
	if _, err := d.Put(context.Background(), "k", nil, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Put: %v", err)
	}
	if _, err := d.Watch(context.Background(), ""); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Watch: %v", err)
	}
}
