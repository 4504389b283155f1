// Package dirstore keeps the records of an environment.Registry in a directory, beside
// certificate and key files that keytool, openssl and gpg open.
//
//	<directory>/
//	  trustkeep.json                      what this directory is, and its format
//	  .lock                               advisory lock of writers, and a count of writes
//	  components/<id>/record.json         the record, JSON
//	  components/<id>/<name>.cer          its current content for other tools: .cer, .p12,
//	                                      _pub.asc, _priv.asc
//	  components/<id>/.versions/<n>.json  the records before it
//
// A record counts as soon as its record.json has been replaced, which is atomic and
// flushed to the disk. The other files are made of it, and made anew where a writer died
// before it came to them; nothing is read from them. docs/environment.md describes the
// format.
package dirstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Options configures a Directory. The zero value is fine.
type Options struct {
	// Poll is how often watchers look for changes made by other programs. If zero, every
	// second. Changes made through the same Directory are seen at once.
	Poll time.Duration
	// Ticks replaces the clock of Poll, for tests. Each tick makes one watcher look.
	Ticks <-chan time.Time
	// KeepVersions is how many versions of a record are kept besides the current
	// one. If zero, 64; at least environment.MinVersions are kept.
	KeepVersions int
	// ReadOnly opens a directory without ever writing to it. It is implied if its
	// files cannot be written.
	ReadOnly bool
	// Clock tells the time of records; nil is time.Now.
	Clock func() time.Time
	// Logger is told of files that could not be written beside a record, and of
	// repairs. If nil, nothing is logged.
	Logger *slog.Logger

	wait time.Duration // openWait, but in tests
}

// openWait is how long Open waits for other writers.
const openWait = 10 * time.Second

// Directory is a storage in a directory of the file system. Several programs may have it
// open at once, if the file system has advisory locks (flock, LockFileEx): those of
// Linux, macOS, the BSDs and Windows do, and so does NFS between current Linux systems.
//
// It is safe for concurrent use.
type Directory struct {
	root string
	o    Options

	lock     *lockFile
	readOnly bool
	closed   context.Context
	close    context.CancelFunc
	watchers sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed with each write, and then replaced
}

var _ environment.FileStorage = (*Directory)(nil)

const (
	markerName = "trustkeep.json"
	lockName   = ".lock"
	formatName = "trustkeep-dirstore"
)

type marker struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// Open opens the storage in a directory. One that does not exist, or is empty, becomes
// a storage, readable by its owner alone.
//
// The error wraps trustkeep.ErrInvalid for an empty path, trustkeep.ErrUnsupported for a
// directory that holds something else or a later format, trustkeep.ErrCorrupt for one whose
// marker is damaged,
// context.DeadlineExceeded if another program locks the directory for 10 seconds, or is
// that of the file system.
func Open(path string, o Options) (*Directory, error) {
	if path == "" {
		return nil, &trustkeep.Error{Op: "dirstore: open", Err: fmt.Errorf("no path: %w", trustkeep.ErrInvalid)}
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.KeepVersions == 0 {
		o.KeepVersions = 64
	}
	o.KeepVersions = max(o.KeepVersions, environment.MinVersions)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.wait == 0 {
		o.wait = openWait
	}
	d := &Directory{root: filepath.Clean(path), o: o, changed: make(chan struct{})}
	d.closed, d.close = context.WithCancel(context.Background())
	if err := d.open(); err != nil {
		d.close()
		return nil, &trustkeep.Error{Op: "dirstore: open", Path: path, Err: err}
	}
	return d, nil
}

func (d *Directory) open() error {
	if err := d.checkMarker(); errors.Is(err, fs.ErrNotExist) && !d.o.ReadOnly {
		if err := d.checkEmpty(); err != nil {
			return err
		}
		if err := os.MkdirAll(d.root, 0o700); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	lock, err := openLock(filepath.Join(d.root, lockName), d.o.ReadOnly)
	if err != nil {
		return err
	}
	d.lock, d.readOnly = lock, lock.readOnly
	if d.readOnly {
		if err := d.checkMarker(); err != nil {
			lock.Close()
			return err
		}
		return nil
	}
	if err := d.start(); err != nil {
		lock.Close()
		return err
	}
	return nil
}

// start makes an empty directory a storage and repairs what a writer that died left.
func (d *Directory) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), d.o.wait)
	defer cancel()
	unlock, err := d.lock.exclusive(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.checkMarker(); errors.Is(err, fs.ErrNotExist) {
		text, err := json.Marshal(marker{formatName, formatVersion})
		if err != nil {
			return err
		}
		return storefile.Write(filepath.Join(d.root, markerName), append(text, '\n'), storefile.Options{})
	} else if err != nil {
		return err
	}
	if d.lock.interrupted() {
		_ = d.repair() // logged, and tried again by the next writer
	}
	return nil
}

func (d *Directory) checkMarker() error {
	text, err := storefile.ReadFile(filepath.Join(d.root, markerName), 1<<16)
	if err != nil {
		return err
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil || m.Format != formatName {
		return fmt.Errorf("%s is not that of a storage: %w", markerName, trustkeep.ErrCorrupt)
	}
	if m.Version > formatVersion {
		return fmt.Errorf("format %d, this program knows %d: %w", m.Version, formatVersion, trustkeep.ErrUnsupported)
	}
	return nil
}

// checkEmpty makes sure that nobody's home becomes a storage by a slip of the pen.
func (d *Directory) checkEmpty() error {
	entries, err := os.ReadDir(d.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		// Those two are of somebody who opens it at this very moment.
		if e.Name() != lockName && e.Name() != markerName && !storefile.IsTemp(e.Name()) {
			return fmt.Errorf("holds %q and is no storage: %w", trustkeep.Printable(e.Name()), trustkeep.ErrUnsupported)
		}
	}
	return nil
}

// Close ends all watchers and returns when they have ended. Calls after it fail with
// fs.ErrClosed.
func (d *Directory) Close() error {
	d.close()
	d.watchers.Wait()
	return d.lock.Close()
}

// check is the beginning of every call.
func (d *Directory) check(ctx context.Context, key string) error {
	if err := environment.CheckCapitalKey(key); err != nil {
		return err
	}
	return d.alive(ctx)
}

func (d *Directory) alive(ctx context.Context) error {
	if d.closed.Err() != nil {
		return fs.ErrClosed
	}
	return ctx.Err()
}

func fail(op, key string, err error) error {
	var conflict *environment.ConflictError
	if errors.As(err, &conflict) {
		return err
	}
	return &trustkeep.Error{Op: "dirstore: " + op, Alias: key, Err: err}
}

// Get implements environment.Storage.
func (d *Directory) Get(ctx context.Context, key string) (environment.Record, error) {
	if err := d.check(ctx, key); err != nil {
		return environment.Record{}, fail("get", key, err)
	}
	r, err := d.read(key)
	if err == nil && r.Deleted {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return environment.Record{}, fail("get", key, err)
	}
	return r.Record, nil
}

// Put implements environment.Storage.
func (d *Directory) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	return d.PutFiles(ctx, key, value, expected, nil)
}

// PutFiles implements environment.FileStorage. Names that would leave the record's
// folder, or that file systems do not take, are changed. If a file cannot be written the
// record counts all the same, and the next writer tries again.
func (d *Directory) PutFiles(ctx context.Context, key string, value []byte, expected uint64, files []environment.File) (uint64, error) {
	if err := cmp.Or(environment.CheckValue(value), environment.CheckCapitalKey(key)); err != nil {
		return 0, fail("put", key, err)
	}
	next := stored{Record: environment.Record{Key: key, Value: value}, Files: safeFiles(files)}
	revision, err := d.write(ctx, next, expected)
	if err != nil {
		return 0, fail("put", key, err)
	}
	return revision, nil
}

// Delete implements environment.Storage.
func (d *Directory) Delete(ctx context.Context, key string, expected uint64) error {
	if err := environment.CheckCapitalKey(key); err != nil {
		return fail("delete", key, err)
	}
	next := stored{Record: environment.Record{Key: key, Deleted: true}}
	if _, err := d.write(ctx, next, expected); err != nil {
		return fail("delete", key, err)
	}
	return nil
}

// List implements environment.Storage.
func (d *Directory) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	if err := d.alive(ctx); err != nil {
		return nil, fail("list", prefix, err)
	}
	var out []environment.Record
	err := d.walk(ctx, prefix, func(key string, _ fs.FileInfo) error {
		r, err := d.read(key)
		if err != nil {
			r = stored{Record: environment.Record{Key: key, Err: err}}
		}
		if !r.Deleted {
			out = append(out, r.Record)
		}
		return nil
	})
	if err != nil {
		return nil, fail("list", prefix, err)
	}
	sortRecords(out)
	return out, nil
}

// Versions implements environment.Storage. Versions that are damaged have Err set.
func (d *Directory) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := d.check(ctx, key); err != nil {
		return nil, fail("versions", key, err)
	}
	for {
		// The current one is read before and after: what it was is a version by then.
		current, err := d.read(key)
		if err != nil {
			return nil, fail("versions", key, err)
		}
		old, err := d.oldVersions(key, current.Revision)
		if err != nil {
			return nil, fail("versions", key, err)
		}
		again, err := d.read(key)
		if err != nil {
			return nil, fail("versions", key, err)
		}
		if again.Revision == current.Revision {
			return append(old, current.Record), nil
		}
		if err := d.alive(ctx); err != nil {
			return nil, fail("versions", key, err)
		}
	}
}

// folder is where the files of a record are.
func (d *Directory) folder(key string) string {
	path := d.root
	for segment := range strings.SplitSeq(key, "/") {
		path = filepath.Join(path, folderName(segment))
	}
	return path
}
