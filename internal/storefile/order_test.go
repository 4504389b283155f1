package storefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOrderOfCalls holds saving to what makes it atomic and durable: the file is complete,
// has its mode and is flushed before it gets the name, and the folder is flushed after.
func TestOrderOfCalls(t *testing.T) {
	settled := []string{"chmod", "fsync", "rename temp store", "fsync folder", "unlock"}
	locked := []string{"lock"}
	stream := func(path string, o Options) error {
		return Stream(path, o, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err })
	}
	for _, c := range []struct {
		name          string
		spool, noProc bool
		save          func(string, Options) error
		want          []string
	}{
		{"atomic", false, false, func(path string, o Options) error { return Write(path, []byte("new"), o) },
			slices.Concat(locked, []string{"create temp", "write temp"}, settled)},
		{"store", false, false, func(path string, o Options) error { _, err := Save(path, Origin{}, []byte("new"), o); return err },
			slices.Concat(locked, []string{"create temp", "write temp"}, settled)},
		{"two files", false, false, func(path string, o Options) error {
			o.Beside = &Beside{Suffix: ".more", Before: []byte("a"), After: []byte("b")}
			_, err := Save(path, Origin{}, []byte("new"), o)
			if err == nil {
				err = os.Remove(path + ".more")
			}
			return err
		}, []string{
			"lock", "create temp", "write temp", "chmod", "fsync", "rename temp store.more", "fsync folder",
			"create temp", "write temp", "chmod", "fsync", "rename temp store", "fsync folder",
			"create temp", "write temp", "chmod", "fsync", "rename temp store.more", "fsync folder", "unlock",
		}},
		{"stream", false, false, stream,
			slices.Concat([]string{"unnamed", "write unnamed", "fsync"}, locked, []string{"name temp"}, settled)},
		{"stream without /proc", false, true, stream,
			slices.Concat([]string{"unnamed", "write unnamed", "fsync"}, locked, []string{"create temp", "write temp"}, settled)},
		{"spooled stream", true, false, stream,
			slices.Concat([]string{"create spool", "write spool"}, locked, []string{"create temp", "write temp"}, settled)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			if !c.spool && strings.HasPrefix(c.name, "stream") && !hasUnnamed(filepath.Dir(path)) {
				t.Skip("no files without names here")
			}
			r := newRecorder(nil)
			r.spool, r.noProc = c.spool, c.noProc
			if err := c.save(path, Options{calls: r}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*r.log, c.want) {
				t.Errorf("calls\n%q, want\n%q", *r.log, c.want)
			}
			wantFile(t, path, "new", 0o600)
			onlyFile(t, path)
		})
	}
}

// TestPlantedTemporaryName puts something at the temporary name: before a save, which
// removes it, and between that and the creation, which then fails.
func TestPlantedTemporaryName(t *testing.T) {
	for _, spool := range []bool{false, true} {
		for _, late := range []bool{false, true} {
			for _, link := range []bool{false, true} {
				dir := t.TempDir()
				path, victim := filepath.Join(dir, "store"), filepath.Join(t.TempDir(), "victim")
				if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
					t.Fatal(err)
				}
				plant := func() {
					var err error
					if link {
						err = os.Symlink(victim, tempName(path))
					} else {
						err = os.WriteFile(tempName(path), []byte("theirs"), 0o666)
					}
					if err != nil && !errors.Is(err, fs.ErrExist) {
						t.Fatal(err)
					}
				}
				r := newRecorder(func(call string) error {
					if late && (call == "create temp" || call == "name temp") {
						plant()
					}
					return nil
				})
				r.spool = spool
				if !late {
					plant()
				}
				save := func() error { return Write(path, []byte("secret"), Options{calls: r}) }
				stream := func() error {
					return Stream(path, Options{calls: r}, func(w io.Writer) error { _, err := io.WriteString(w, "secret"); return err })
				}
				for name, f := range map[string]func() error{"Write": save, "Stream": stream} {
					err := f()
					if late && !errors.Is(err, fs.ErrExist) {
						t.Errorf("%s, spool %v, link %v: what was planted was written to: %v", name, spool, link, err)
					}
					if !late && err != nil {
						t.Errorf("%s, spool %v, link %v: %v", name, spool, link, err)
					}
				}
				if got := readString(victim); got != "precious" {
					t.Errorf("spool %v, late %v: the victim holds %q", spool, late, got)
				}
				if !late {
					wantFile(t, path, "secret", 0o600)
					onlyFile(t, path)
				} else if !link && readString(tempName(path)) != "theirs" {
					t.Error("the file of somebody else was written to")
				}
			}
		}
	}
}

// TestPlantedSpool is TestPlantedTemporaryName of spools, which look for another name.
func TestPlantedSpool(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "store"), filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := 0
	r := newRecorder(func(call string) error {
		if call == "create spool" && n < 3 {
			if err := os.Symlink(victim, spoolName(path, n)); err != nil {
				t.Fatal(err)
			}
			n++
		}
		return nil
	})
	r.spool = true
	err := Stream(path, Options{calls: r}, func(w io.Writer) error { _, err := io.WriteString(w, "secret"); return err })
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "secret", 0o600)
	if readString(victim) != "precious" {
		t.Error("the link was followed")
	}
	if err := os.Remove(victim); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path) // the links were removed as well
}
