package truststore

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// WatchOptions says how a file is watched. The zero value looks every second and
// tells nobody.
type WatchOptions struct {
	// Options are those of loading.
	Options
	// Interval between looks; zero is a second. Where the system announces
	// changes, as Linux does for local files, they are seen at once.
	Interval time.Duration
	// OnChange is told what a reload has changed; OnError of each failure once,
	// while the last good state goes on, and with nil when it has passed. They
	// are called in turn, and must not call Reload or Close.
	OnChange func(Change)
	OnError  func(error)
	// Logger gets both; nil gets nothing.
	Logger *slog.Logger

	ticks <-chan struct{} // one look each, in tests
}

// Change is what a reload has changed.
type Change struct {
	Added, Removed []*x509.Certificate
	Generation     uint64 // of the snapshot after it
}

// Watched is trust that follows a file or a directory of certificates. It is a Source,
// and safe for concurrent use.
type Watched struct {
	w        *storefile.Watcher[*Truststore]
	snapshot atomic.Pointer[Snapshot]
}

// Watch loads the trust store at path, a file or a directory, as Load does, and follows
// it until Close: renames onto it, changed links (the ..data of Kubernetes), writing in
// place, deletion and return. A file that is being written is taken when two looks have
// found the same. What cannot be loaded, an empty file for instance, leaves the last
// good state in force. The password is asked for at each reload.
//
// The errors are those of Load.
func Watch(path string, password trustkeep.PasswordSource, o WatchOptions) (*Watched, error) {
	t := new(Watched)
	paths := []string{path}
	w, first, err := storefile.NewWatcher(storefile.WatchOptions[*Truststore]{
		Stamp:   func() (string, string) { return storefile.StampOf(paths, isCertificateFile) },
		Folders: func() []string { return storefile.FoldersOf(paths) },
		Read:    func() ([]byte, error) { return readWatched(path, o.Limits) },
		Parse: func(content []byte) (*Truststore, error) {
			return o.parseWatched(path, content, password)
		},
		Changed: func(next *Truststore) {
			change := t.take(next)
			if o.OnChange != nil {
				o.OnChange(change)
			}
		},
		Failed: o.OnError, Logger: o.Logger, Interval: o.Interval, Ticks: o.ticks,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "truststore: watch", Path: path, Err: err}
	}
	// A change may have been taken already.
	t.snapshot.CompareAndSwap(nil, first.current().snapshot)
	t.w = w
	return t, nil
}

// readWatched returns the content of a file, or the files of a directory one after
// another behind a marker that no file can fake, since what follows is in lengths.
func readWatched(path string, l trustkeep.Limits) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		data, err := storefile.ReadFile(path, l.MaxSize)
		return append([]byte{0}, data...), err
	}
	files, err := readDirectory(path, l)
	if err != nil {
		return nil, err
	}
	out := []byte{1}
	for _, f := range files {
		text := ""
		if f.err != nil {
			text = f.err.Error()
		}
		for _, part := range [][]byte{[]byte(f.name), f.data, []byte(text)} {
			out = binary.AppendUvarint(out, uint64(len(part)))
			out = append(out, part...)
		}
	}
	return out, nil
}

// parseWatched makes a store of what readWatched returned.
func (o WatchOptions) parseWatched(path string, content []byte, password trustkeep.PasswordSource) (*Truststore, error) {
	if content[0] == 0 {
		secret, err := reveal(password)
		if err != nil {
			return nil, err
		}
		return o.open("truststore: reload", path, content[1:], secret)
	}
	var files []namedFile
	for rest := content[1:]; len(rest) > 0; {
		var parts [3][]byte
		for i := range parts {
			n, size := binary.Uvarint(rest)
			rest = rest[size:]
			parts[i], rest = rest[:n], rest[n:]
		}
		f := namedFile{name: string(parts[0]), data: parts[1]}
		if len(parts[2]) > 0 {
			f.err = errors.New(string(parts[2]))
		}
		files = append(files, f)
	}
	return o.openDirectory(files)
}

// take puts a store in force.
func (t *Watched) take(next *Truststore) Change {
	old := t.snapshot.Load()
	fresh := next.current().snapshot
	if old == nil {
		t.snapshot.Store(fresh)
		return Change{Added: fresh.Certificates(), Generation: fresh.generation}
	}
	after := newSnapshot(old.generation+1, fresh.certs, fresh.platform)
	t.snapshot.Store(after)
	return diff(old, after)
}

func diff(old, after *Snapshot) Change {
	sums := func(s *Snapshot) map[[32]byte]bool {
		m := make(map[[32]byte]bool, len(s.certs))
		for _, c := range s.certs {
			m[sha256.Sum256(c.Raw)] = true
		}
		return m
	}
	missing := func(s *Snapshot, in map[[32]byte]bool) (out []*x509.Certificate) {
		for _, c := range s.certs {
			if !in[sha256.Sum256(c.Raw)] {
				out = append(out, c)
			}
		}
		return out
	}
	return Change{Added: missing(after, sums(old)), Removed: missing(old, sums(after)), Generation: after.generation}
}

// Snapshot implements Source.
func (t *Watched) Snapshot() (*Snapshot, error) {
	if t == nil {
		return nil, errNil("snapshot")
	}
	return t.snapshot.Load(), nil
}

// Reload takes the file as it is now, without waiting for a second look. When it
// cannot be loaded, the error says why and the last good state stays.
func (t *Watched) Reload(ctx context.Context) error { return t.w.Reload(ctx) }

// Err is why the file cannot be loaded as it is now; nil if it was.
func (t *Watched) Err() error { return t.w.Err() }

// Close ends the watching; the last state stays.
func (t *Watched) Close() error { return t.w.Close() }
