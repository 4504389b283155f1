package keystore

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Watched is a keystore that follows its file, or its pair of files. It is safe for concurrent
// use.
type Watched struct {
	w       *storefile.Watcher[*Keystore]
	current atomic.Pointer[Keystore]

	mu         sync.Mutex
	live       map[string]*LiveIdentity
	coming     *Keystore // accepted and not yet in force
	generation uint64
}

// LiveIdentity follows the identity with one alias in a watched file. It implements
// trustkeep.Identity and is safe for concurrent use.
type LiveIdentity struct {
	alias string
	id    atomic.Pointer[Identity]
}

// Identity returns the current identity.
func (l *LiveIdentity) Identity() *Identity { return l.id.Load() }

// TLSCertificate returns the current certificate. The error is always nil.
func (l *LiveIdentity) TLSCertificate() (*tls.Certificate, error) {
	return l.id.Load().TLSCertificate()
}

// String describes the current identity.
func (l *LiveIdentity) String() string { return l.id.Load().String() }

// Watch loads the store at path as Load does and follows the file until Close: renames onto
// it, changed links (the ..data of Kubernetes), writes in place, deletion and return. It takes
// a file that is being written once two looks have found the same content.
//
// The last good state stays in force if a new one cannot be loaded, or has lost an identity
// that is in use or its key's password. Each reload asks for the password; a source that does
// not answer within 30 seconds is reported as an error that wraps context.DeadlineExceeded.
//
// Errors are those of Load. The path must lead to a regular file.
func Watch(path string, password trustkeep.PasswordSource, o trustkeep.WatchOptions) (*Watched, error) {
	return Options{}.Watch(path, password, o)
}

// WatchPair is Watch for the two PEM files of LoadPair. While the files do not belong
// together, because only one of them has been replaced, the last good state stays in force.
// The identity has the empty alias.
func WatchPair(certFile, keyFile string, password trustkeep.PasswordSource, o trustkeep.WatchOptions) (*Watched, error) {
	return Options{}.WatchPair(certFile, keyFile, password, o)
}

// Watch is the function Watch with these options.
func (o Options) Watch(path string, password trustkeep.PasswordSource, w trustkeep.WatchOptions) (*Watched, error) {
	return o.watch([]string{path}, false, password, w)
}

// WatchPair is the function WatchPair with these options.
func (o Options) WatchPair(certFile, keyFile string, password trustkeep.PasswordSource, w trustkeep.WatchOptions) (*Watched, error) {
	return o.watch(pairPaths(certFile, keyFile), true, password, w)
}

func (o Options) watch(paths []string, pair bool, password trustkeep.PasswordSource, options trustkeep.WatchOptions) (*Watched, error) {
	k := &Watched{live: make(map[string]*LiveIdentity)}
	var err error
	k.w, err = storefile.NewWatcher(storefile.Watching[*Keystore]{
		WatchOptions: options, Paths: paths, MaxSize: o.Limits.MaxSize, Ticks: o.ticks, // those of a pair are text
		Parse: func(content []byte) (*Keystore, error) { return k.parse(o, paths[0], pair, content, password) },
		Take:  k.take,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "keystore: watch", Path: paths[0], Err: err}
	}
	return k, nil
}

// parse opens a store and the identities that are in use.
func (k *Watched) parse(o Options, path string, pair bool, content []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	secret, err := storefile.Reveal(password)
	if err != nil {
		return nil, err
	}
	next, err := o.open(storefile.Input{Op: "keystore: reload", Path: path, Data: content, Password: secret})
	if err != nil {
		return nil, err
	}
	if err := k.accept(next, pair); err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// accept makes sure that a store has the identities that are in use.
func (k *Watched) accept(next *Keystore, pair bool) error {
	if pair {
		if _, err := next.pair(); err != nil {
			return fmt.Errorf("the two files do not belong together, or not yet: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.live {
		if _, err := next.Identity(l.alias); err != nil {
			return err
		}
	}
	k.coming = next
	return nil
}

// take puts a store in force.
func (k *Watched) take(next *Keystore) trustkeep.Change {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.current.Swap(next)
	k.coming = nil
	for _, l := range k.live {
		if id, err := next.Identity(l.alias); err == nil { // as accept has seen
			l.id.Store(id)
		}
	}
	k.generation++
	c := trustkeep.Change{Generation: k.generation}
	if old != nil {
		c.Added, c.Replaced, c.Removed = difference(old.current(), next.current())
	}
	return c
}

// difference compares two states, entry by entry. An entry without a certificate has
// nothing to compare but how it is stored, so it counts as replaced when it was written
// anew.
func difference(before, after *state) (added, replaced, removed []trustkeep.Changed) {
	for _, it := range after.items {
		switch was := before.byAlias[entry.Fold(it.e.Alias)]; {
		case was == nil:
			added = append(added, changed(it.e))
		case !sameEntry(was.e, it.e):
			replaced = append(replaced, changed(it.e))
		}
	}
	for _, it := range before.items {
		if after.byAlias[entry.Fold(it.e.Alias)] == nil {
			removed = append(removed, changed(it.e))
		}
	}
	return added, replaced, removed
}

func sameEntry(a, b *entry.Entry) bool {
	if a.Kind != b.Kind || !slices.EqualFunc(a.Chain, b.Chain, func(x, y *entry.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) }) {
		return false
	}
	if len(a.Chain) > 0 {
		return true
	}
	if (a.Key == nil) != (b.Key == nil) || a.Key != nil && !bytes.Equal(a.Key.Protected, b.Key.Protected) {
		return false
	}
	return bytes.Equal(a.Raw, b.Raw)
}

func changed(e *entry.Entry) trustkeep.Changed {
	c := trustkeep.Changed{Alias: e.Alias}
	if len(e.Chain) > 0 {
		c.Certificate = certinfo.Describe(e.Chain[0].Raw)
	}
	return c
}

// Keystore returns the current store. Do not modify it.
func (k *Watched) Keystore() *Keystore { return k.current.Load() }

// Identity returns the identity with an alias, which follows the file. An empty alias means
// the only private key. Errors are those of Keystore.Identity.
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
	if k.coming != nil {
		if _, err := k.coming.Identity(alias); err != nil {
			return nil, err // take could not refuse it any more
		}
	}
	l := &LiveIdentity{alias: alias}
	l.id.Store(id)
	k.live[alias] = l
	return l, nil
}

// Reload loads the files as they are now, without waiting for a second look. If that fails, it
// returns the reason and the last good state stays. It returns the error of ctx when that
// ends, also while another look or a callback runs, and fs.ErrClosed after Close. A callback that
// calls it gets an error that wraps context.DeadlineExceeded after 10 seconds.
func (k *Watched) Reload(ctx context.Context) error { return k.w.Reload(ctx) }

// Err returns the reason why the current files cannot be loaded, nil if they are loaded. It
// never waits; OnChange and OnError may call it.
func (k *Watched) Err() error { return k.w.Err() }

// Close stops watching; the last state stays usable. It waits for a running callback, so that
// none runs afterwards. If the callback takes more than 10 seconds, or calls Close itself, the
// error wraps context.DeadlineExceeded.
func (k *Watched) Close() error { return k.w.Close() }
