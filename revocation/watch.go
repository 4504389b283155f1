package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// WatchedCRLs are lists that follow files and folders, for Options.Watched. It is safe for
// concurrent use.
type WatchedCRLs struct {
	w     *storefile.Watcher[*crlFiles]
	o     trustkeep.WatchOptions
	paths []string
	now   atomic.Pointer[crlFiles]

	// Of the watcher's goroutine.
	found  []crlFile        // by the last look
	change trustkeep.Change // of the last reload
	whole  error            // nothing could be read
	told   string           // the failure that was reported
}

// crlFiles are the lists of one moment.
type crlFiles struct {
	generation uint64
	files      map[string]crlFile
	byIssuer   map[string][]*CRL
	bad        error // files that keep their last good lists, or have none
}

// crlFile is a file of lists.
type crlFile struct {
	path, under string // under is the path that was given, the file or its folder
	sum         [sha256.Size]byte
	data        []byte // until it is parsed
	same        bool   // as it was taken before
	err         error  // it could not be read
	lists       []*CRL
}

// WatchCRLs loads the lists in files and folders, and follows them until Close: renames
// onto them, changed links, writing in place, deletion and return. A file that is being written
// is taken when two looks have found the same. All lists are exchanged at once.
//
// Of a folder, files with the extension .crl, .pem or .der count, and those with the names that
// openssl rehash gives, "0123abcd.r0". Files of the folder that disappear take their lists with
// them; PEM files without lists are left alone.
//
// Each file that cannot be read, or is not whole, keeps its last good lists, which is reported to
// OnError; the others are followed all the same. OnChange gets the paths of files as aliases, and
// no certificates.
//
// Errors are those of LoadCRLs, for any of the files, and ErrInvalid without paths.
func WatchCRLs(paths []string, o trustkeep.WatchOptions) (*WatchedCRLs, error) {
	return watchCRLs(paths, o, nil)
}

func watchCRLs(paths []string, o trustkeep.WatchOptions, ticks <-chan struct{}) (*WatchedCRLs, error) {
	if len(paths) == 0 {
		return nil, &trustkeep.Error{Op: "revocation: watch", Err: trustkeep.ErrInvalid, Hint: "no path was given"}
	}
	t := &WatchedCRLs{o: o, paths: slices.Clone(paths)}
	var err error
	t.w, err = storefile.NewWatcher(storefile.Watching[*crlFiles]{
		WatchOptions: trustkeep.WatchOptions{Interval: o.Interval, OnChange: t.changed, OnError: t.failed},
		Paths:        t.paths, Keep: isCRLFile, Ticks: ticks, Read: t.read, Parse: t.parse, Take: t.take,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "revocation: watch", Path: paths[0], Err: err}
	}
	return t, nil
}

// CRLs returns the lists of now.
func (t *WatchedCRLs) CRLs() (lists []*CRL) {
	files := t.now.Load().files
	for _, path := range slices.Sorted(maps.Keys(files)) {
		lists = append(lists, files[path].lists...)
	}
	return lists
}

// of returns the lists of an issuer's name.
func (t *WatchedCRLs) of(rawIssuer []byte) []*CRL { return t.now.Load().byIssuer[string(rawIssuer)] }

// Reload takes the files as they are now, without waiting for a second look. The error says
// which could not be taken; it is that of the context when that ends, and fs.ErrClosed after
// Close.
func (t *WatchedCRLs) Reload(ctx context.Context) error {
	if err := t.w.Reload(ctx); err != nil {
		return err
	}
	return t.now.Load().bad
}

// Err is why files cannot be taken as they are now; nil if all were. It never waits.
func (t *WatchedCRLs) Err() error {
	if err := t.w.Err(); err != nil {
		return err
	}
	return t.now.Load().bad
}

// Close ends the watching; the last lists stay. It waits until a callback that is in progress
// has returned. One that takes more than 10 seconds, or calls Close itself, is an error that
// wraps context.DeadlineExceeded.
func (t *WatchedCRLs) Close() error { return t.w.Close() }

// isCRLFile reports whether a file of a folder counts.
func isCRLFile(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false // such as the ..data of a mounted ConfigMap
	}
	ext := strings.ToLower(filepath.Ext(name))
	if slices.Contains([]string{".crl", ".pem", ".der"}, ext) {
		return true
	}
	hash := strings.TrimSuffix(name, filepath.Ext(name))
	return len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == "" && len(ext) > 2 && ext[1] == 'r' && strings.Trim(ext[2:], "0123456789") == ""
}

// read looks at all files. What it returns tells contents apart.
func (t *WatchedCRLs) read() ([]byte, error) {
	old := t.now.Load()
	if old == nil {
		old = new(crlFiles)
	}
	t.found = nil
	var digest []byte
	look := func(path, under string) {
		f := crlFile{path: path, under: under}
		if f.data, f.err = storefile.ReadRegular(path, 0); f.err == nil {
			f.sum = sha256.Sum256(f.data)
			if have, ok := old.files[path]; ok && have.sum == f.sum {
				f.data, f.same = nil, true
			}
		}
		t.found = append(t.found, f)
		text := ""
		if f.err != nil {
			text = f.err.Error()
		}
		for _, part := range []string{path, string(f.sum[:]), text} {
			digest = binary.AppendUvarint(digest, uint64(len(part)))
			digest = append(digest, part...)
		}
	}
	for _, path := range t.paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			look(path, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if isCRLFile(e.Name()) {
				look(filepath.Join(path, e.Name()), path)
			}
		}
	}
	return digest, nil
}

// parse makes lists of what read has found. For the first time, all must be good.
func (t *WatchedCRLs) parse([]byte) (*crlFiles, error) {
	old := t.now.Load()
	next := &crlFiles{files: map[string]crlFile{}, byIssuer: map[string][]*CRL{}}
	var bad []error
	for _, f := range t.found {
		have, known := crlFile{}, false
		if old != nil {
			have, known = old.files[f.path]
		}
		data, same, err := f.data, f.same, f.err
		f.data, f.same, f.err = nil, false, nil
		switch {
		case err != nil:
		case same:
			f.lists = have.lists
		default:
			f.lists, err = parseCRLs(data)
		}
		if err != nil && !known && f.path != f.under && errors.Is(err, trustkeep.ErrEmpty) && bytes.Contains(data, []byte("-----BEGIN ")) {
			continue // certificates, for instance
		}
		if err != nil {
			bad = append(bad, &trustkeep.Error{Op: "revocation: load", Path: f.path, Err: err})
			if !known {
				continue
			}
			f = have
		}
		next.files[f.path] = f
	}
	if old != nil {
		// A file that has taken the place of a folder, or is gone, says nothing about
		// the lists of the folder.
		for path, f := range old.files {
			if _, have := next.files[path]; !have && t.unreadable(f.under) {
				next.files[path] = f
			}
		}
	}
	next.bad = errors.Join(bad...)
	if old == nil && next.bad != nil {
		return nil, next.bad
	}
	for _, path := range slices.Sorted(maps.Keys(next.files)) {
		for _, l := range next.files[path].lists {
			issuer := string(l.head.RawIssuer)
			next.byIssuer[issuer] = append(next.byIssuer[issuer], l)
		}
	}
	return next, nil
}

// unreadable reports whether a path that was given could not be read as what it is.
func (t *WatchedCRLs) unreadable(under string) bool {
	return slices.ContainsFunc(t.found, func(f crlFile) bool { return f.path == under && f.err != nil })
}

// take puts lists in force. Its change is not empty where there is something to report.
func (t *WatchedCRLs) take(next *crlFiles) trustkeep.Change {
	old := t.now.Load()
	if old == nil {
		next.generation = 1
		t.now.Store(next)
		return trustkeep.Change{Generation: 1}
	}
	c := trustkeep.Change{}
	for _, path := range slices.Sorted(maps.Keys(next.files)) {
		if before, known := old.files[path]; !known {
			c.Added = append(c.Added, trustkeep.Changed{Alias: path})
		} else if before.sum != next.files[path].sum {
			c.Replaced = append(c.Replaced, trustkeep.Changed{Alias: path})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(old.files)) {
		if _, known := next.files[path]; !known {
			c.Removed = append(c.Removed, trustkeep.Changed{Alias: path})
		}
	}
	next.generation = old.generation
	if !c.Empty() {
		next.generation++
	}
	c.Generation = next.generation
	t.now.Store(next)
	t.change = c
	if c.Empty() && fmt.Sprint(next.bad) != fmt.Sprint(old.bad) {
		return trustkeep.Change{Replaced: []trustkeep.Changed{{}}} // for changed to be called
	}
	return c
}

// changed tells the caller after a reload.
func (t *WatchedCRLs) changed(trustkeep.Change) {
	t.report()
	if t.change.Empty() {
		return
	}
	if t.o.Logger != nil {
		t.o.Logger.Info("reloaded", "path", t.paths[0], "change", t.change)
	}
	if t.o.OnChange != nil {
		t.o.OnChange(t.change)
	}
}

// failed notes that nothing could be read, or that this has passed.
func (t *WatchedCRLs) failed(err error) {
	t.whole = err
	t.report()
}

// report tells a failure once, and that it has passed.
func (t *WatchedCRLs) report() {
	err := t.whole
	if err == nil {
		err = t.now.Load().bad
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == t.told {
		return
	}
	t.told = text
	if t.o.Logger != nil {
		if err != nil {
			t.o.Logger.Warn("keeping the last good lists", "path", t.paths[0], "error", text)
		} else {
			t.o.Logger.Info("good again", "path", t.paths[0])
		}
	}
	if t.o.OnError != nil {
		t.o.OnError(err)
	}
}
