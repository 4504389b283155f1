package dirstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// write puts a version in the place of the expected one and returns its revision.
func (d *Directory) write(ctx context.Context, next stored, expected uint64) (uint64, error) {
	if err := d.alive(ctx); err != nil {
		return 0, err
	}
	if d.readOnly {
		return 0, &fs.PathError{Op: "write", Path: d.root, Err: fs.ErrPermission}
	}
	unlock, err := d.lock.exclusive(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	repaired := !d.lock.interrupted() || d.repair() == nil
	old, err := d.read(next.Key)
	if err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
		return 0, err
	}
	actual := old.Revision
	if old.Deleted {
		actual = 0
	}
	if next.Deleted && actual == 0 {
		return 0, trustkeep.ErrNotFound
	}
	if actual != expected {
		return 0, &environment.ConflictError{Key: next.Key, Expected: expected, Actual: actual}
	}
	if actual == 0 {
		if err := d.checkTwin(ctx, next.Key); err != nil {
			return 0, err
		}
	}
	kept, err := listVersions(filepath.Join(d.folder(next.Key), versionsName))
	if err != nil {
		return 0, err
	}
	next.Revision, next.Time = old.Revision+1, d.o.Clock().UTC().Round(0)
	if n := len(kept); n > 0 && kept[n-1] > old.Revision {
		// A version was put back by hand. There was a record after the last version
		// that is kept; its revision is not given again.
		next.Revision = kept[n-1] + 2
	}

	// A writer that dies among its files leaves an odd count to the next one, also
	// if the machine dies with it.
	if err := d.lock.begin(len(next.Files) > 0 || len(old.Files) > 0); err != nil {
		return 0, err
	}
	defer d.notify()
	failed := d.commit(old, next)
	// From here on the record counts. The count stays odd until all files are there.
	if failed == nil {
		if err := d.show(next, old.Files); err != nil {
			d.o.Logger.Warn("files beside a record could not be written; the next writer tries again",
				"key", next.Key, "error", err)
			repaired = false
		}
	}
	if repaired {
		d.end()
	}
	return next.Revision, failed
}

// end makes the count even. If that fails, the next writer finds a repair to do.
func (d *Directory) end() {
	if err := d.lock.end(); err != nil {
		d.o.Logger.Warn("the count of writes could not be written", "error", err)
	}
}

func (d *Directory) notify() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

// commit replaces record.json, after the old one has been kept as a version.
func (d *Directory) commit(old, next stored) error {
	text, err := next.encode()
	if err != nil {
		return err
	}
	folder := d.folder(next.Key)
	if old.Revision == 0 {
		if err := makeFolder(folder); err != nil {
			return err
		}
	} else if err := d.keep(folder, old.Revision); err != nil {
		return err
	}
	return storefile.Write(filepath.Join(folder, recordName), text, storefile.Options{MaxSize: maxRecord})
}

// makeFolder makes a folder and those above it, and makes sure that they last.
func makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return storefile.SyncDir(filepath.Dir(path))
}

// keep makes the current record a version as well, and forgets the oldest versions. A
// link costs nothing; where the file system has none, it is a copy.
func (d *Directory) keep(folder string, revision uint64) error {
	versions := filepath.Join(folder, versionsName)
	if err := makeFolder(versions); err != nil {
		return err
	}
	current, kept := filepath.Join(folder, recordName), filepath.Join(versions, versionName(revision))
	if err := os.Link(current, kept); err != nil {
		// One that exists may be of a writer that died, or half restored from a backup.
		text, err := storefile.ReadFile(current, maxRecord)
		if err != nil {
			return err
		}
		if err := storefile.Write(kept, text, storefile.Options{MaxSize: maxRecord}); err != nil {
			return err
		}
	} else if err := storefile.SyncDir(versions); err != nil {
		return err
	}
	revisions, err := listVersions(versions)
	if err != nil {
		return err
	}
	for _, old := range revisions[:max(0, len(revisions)-d.o.KeepVersions)] {
		if err := os.Remove(filepath.Join(versions, versionName(old))); err != nil {
			return err
		}
	}
	return nil
}

// show writes the files of a record that are not there yet, and removes those of the
// version before that it no longer has.
func (d *Directory) show(s stored, before []environment.File) error {
	folder := d.folder(s.Key)
	var failed error
	removed := false
	for _, f := range before {
		if !slices.ContainsFunc(s.Files, func(g environment.File) bool { return fold(g.Name) == fold(f.Name) }) {
			if err := os.Remove(filepath.Join(folder, f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = errors.Join(failed, err)
			}
			removed = true
		}
	}
	if removed {
		failed = errors.Join(failed, storefile.SyncDir(folder))
	}
	for _, f := range s.Files {
		path := filepath.Join(folder, f.Name)
		if have, err := storefile.ReadFile(path, maxRecord); err == nil && bytes.Equal(have, f.Data) {
			continue
		}
		failed = errors.Join(failed, storefile.Write(path, f.Data, storefile.Options{MaxSize: maxRecord}))
	}
	return failed
}

// repair makes the files beside all records what the records say. It is called with the
// lock, after a writer has died or failed. If it fails in turn, the count stays odd, and
// records can be written all the same.
func (d *Directory) repair() error {
	d.o.Logger.Info("a writer did not finish: files beside records are made anew", "directory", d.root)
	failed := d.removeTemps()
	err := d.walk(context.Background(), "", func(key string, _ fs.FileInfo) error {
		s, err := d.read(key)
		if err != nil {
			return nil // damaged; reported by whoever reads it
		}
		stale, err := d.leftovers(s)
		failed = errors.Join(failed, err, d.show(s, stale))
		return nil
	})
	if failed = errors.Join(failed, err); failed != nil {
		d.o.Logger.Warn("files beside records could not be written", "error", failed)
		return failed
	}
	d.end()
	return nil
}

// removeTemps removes the temporary files of writers that died, in the whole storage: also
// among versions, and in folders that got no record. It is called with the lock, so they
// are nobody else's.
func (d *Directory) removeTemps() error {
	var failed error
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && storefile.IsTemp(e.Name()) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		return nil
	})
	return errors.Join(failed, err)
}

// leftovers returns the files in a record's folder that only versions before the current
// one have, and that a writer that died may have left.
func (d *Directory) leftovers(s stored) ([]environment.File, error) {
	folder := d.folder(s.Key)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	if versions, err := listVersions(filepath.Join(folder, versionsName)); err == nil && len(versions) > 0 {
		last := versions[len(versions)-1]
		if old, err := readRecord(filepath.Join(folder, versionsName, versionName(last)), s.Key); err == nil {
			for _, f := range old.Files {
				known[f.Name] = true
			}
		}
	}
	var out []environment.File
	for _, e := range entries {
		if !e.IsDir() && known[e.Name()] {
			out = append(out, environment.File{Name: e.Name()})
		}
	}
	return out, nil
}
