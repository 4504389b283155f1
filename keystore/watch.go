package keystore

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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

// Change is what a reload has changed, by alias.
type Change struct {
	Added, Removed, Replaced []string
}

// Watched is a keystore that follows its file, or a pair of files. It is safe for
// concurrent use.
type Watched struct {
	w       *storefile.Watcher[*Keystore]
	current atomic.Pointer[Keystore]

	mu   sync.Mutex
	live map[string]*LiveIdentity
}

// LiveIdentity is the identity of an alias as the file has it. It is one for package
// tlsctx, and safe for concurrent use.
type LiveIdentity struct {
	alias string
	id    atomic.Pointer[Identity]
}

// Identity returns the identity of now.
func (l *LiveIdentity) Identity() *Identity { return l.id.Load() }

// TLSCertificate returns the certificate of now. The error is always nil.
func (l *LiveIdentity) TLSCertificate() (*tls.Certificate, error) {
	return l.id.Load().TLSCertificate()
}

// String is that of the identity of now.
func (l *LiveIdentity) String() string { return l.id.Load().String() }

// Watch loads the store at path as Load does and follows it until Close: renames onto
// it, changed links (the ..data of Kubernetes), writing in place, deletion and return. A
// file that is being written is taken when two looks have found the same. A store that
// cannot be loaded, or that has lost an identity that is in use or its key's password,
// leaves the last good state in force. The password is asked for at each reload.
//
// The errors are those of Load.
func Watch(path string, password trustkeep.PasswordSource, o WatchOptions) (*Watched, error) {
	return watchFiles([]string{path}, password, o)
}

// WatchPair is Watch for a certificate with its chain and a key in files of their own,
// both in PEM. Of a pair that does not belong together, because only one of the files
// has been replaced yet, nothing is taken. Identity of the empty alias is theirs.
func WatchPair(certFile, keyFile string, password trustkeep.PasswordSource, o WatchOptions) (*Watched, error) {
	return watchFiles([]string{certFile, keyFile}, password, o)
}

func watchFiles(paths []string, password trustkeep.PasswordSource, o WatchOptions) (*Watched, error) {
	k := &Watched{live: make(map[string]*LiveIdentity)}
	w, first, err := storefile.NewWatcher(storefile.WatchOptions[*Keystore]{
		Stamp:   func() (string, string) { return storefile.StampOf(paths, nil) },
		Folders: func() []string { return storefile.FoldersOf(paths) },
		Read:    func() ([]byte, error) { return readFiles(paths, o.Limits.MaxSize) },
		Parse: func(content []byte) (*Keystore, error) {
			return k.parse(o.Options, paths, content, password)
		},
		Changed: func(next *Keystore) {
			change := k.take(next)
			if o.OnChange != nil {
				o.OnChange(change)
			}
		},
		Failed: o.OnError, Logger: o.Logger, Interval: o.Interval, Ticks: o.ticks,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "keystore: watch", Path: paths[0], Err: err}
	}
	k.current.CompareAndSwap(nil, first)
	k.w = w
	return k, nil
}

// readFiles joins the files; those of a pair are text.
func readFiles(paths []string, limit int64) ([]byte, error) {
	var all [][]byte
	for _, path := range paths {
		data, err := storefile.ReadFile(path, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return bytes.Join(all, []byte("\n")), nil
}

// parse opens a store and the identities that are in use.
func (k *Watched) parse(o Options, paths []string, content []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	secret, err := reveal(password)
	if err != nil {
		return nil, err
	}
	next, err := o.open("keystore: reload", paths[0], content, secret)
	if err != nil {
		return nil, err
	}
	if len(paths) > 1 {
		if _, err := next.Identity(""); err != nil {
			return nil, fmt.Errorf("the two files do not belong together, or not yet: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.live {
		if _, err := next.Identity(l.alias); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// take puts a store in force.
func (k *Watched) take(next *Keystore) (c Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.current.Swap(next)
	for _, l := range k.live {
		if id, err := next.Identity(l.alias); err == nil { // as parse has seen
			l.id.Store(id)
		}
	}
	if old == nil {
		c.Added = next.Aliases()
		return c
	}
	for _, e := range next.Entries() {
		before, err := old.Entry(e.Alias)
		switch {
		case err != nil:
			c.Added = append(c.Added, e.Alias)
		case before.Kind != e.Kind || !slices.EqualFunc(before.RawChain, e.RawChain, bytes.Equal):
			c.Replaced = append(c.Replaced, e.Alias)
		}
	}
	for _, alias := range old.Aliases() {
		if _, err := next.Entry(alias); err != nil {
			c.Removed = append(c.Removed, alias)
		}
	}
	return c
}

// Keystore returns the store of now. It is not to be changed.
func (k *Watched) Keystore() *Keystore { return k.current.Load() }

// Identity returns the identity of that alias, which follows the file; an empty alias
// stands for the only one. The errors are those of Keystore.Identity.
func (k *Watched) Identity(alias string) (*LiveIdentity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.live[alias]; l != nil {
		return l, nil
	}
	id, err := k.current.Load().Identity(alias)
	if err != nil {
		return nil, err
	}
	l := &LiveIdentity{alias: alias}
	l.id.Store(id)
	k.live[alias] = l
	return l, nil
}

// Reload takes the files as they are now, without waiting for a second look. When they
// cannot be loaded, the error says why and the last good state stays.
func (k *Watched) Reload(ctx context.Context) error { return k.w.Reload(ctx) }

// Err is why the files cannot be loaded as they are now; nil if they were.
func (k *Watched) Err() error { return k.w.Err() }

// Close ends the watching; the last state stays.
func (k *Watched) Close() error { return k.w.Close() }
