package storagetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

// Memory is an environment.Storage that forgets everything when the program ends, for
// tests. It keeps all versions.
type Memory struct {
	clock func() time.Time

	mu       sync.Mutex
	versions map[string][]environment.Record
	last     uint64
	changed  chan struct{} // closed with each write, and then replaced
	broken   error         // what keeps watchers from being told
	closed   bool
}

// NewMemory returns an empty storage. A nil clock is time.Now.
func NewMemory(clock func() time.Time) *Memory {
	if clock == nil {
		clock = time.Now
	}
	return &Memory{clock: clock, versions: make(map[string][]environment.Record), changed: make(chan struct{})}
}

var _ environment.Storage = (*Memory)(nil)

// Get implements environment.Storage.
func (m *Memory) Get(ctx context.Context, key string) (environment.Record, error) {
	if err := m.alive(ctx); err != nil {
		return environment.Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.current(key)
	if !ok {
		return r, notFound(key)
	}
	return copied(r), nil
}

// current returns the record, if it is there.
func (m *Memory) current(key string) (environment.Record, bool) {
	all := m.versions[key]
	if len(all) == 0 || all[len(all)-1].Deleted {
		return environment.Record{}, false
	}
	return all[len(all)-1], true
}

// Put implements environment.Storage.
func (m *Memory) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := cmp.Or(environment.CheckValue(value), environment.CheckCapitalKey(key)); err != nil {
		return 0, err
	}
	if err := m.alive(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, _ := m.current(key); r.Revision != expected {
		return 0, &environment.ConflictError{Key: key, Expected: expected, Actual: r.Revision}
	}
	if expected == 0 {
		for other := range m.versions {
			if _, ok := m.current(other); ok && other != key && strings.EqualFold(other, key) {
				return 0, fmt.Errorf("record %s differs in case alone: %w", other, trustkeep.ErrExists)
			}
		}
	}
	return m.write(environment.Record{Key: key, Value: append([]byte{}, value...)}), nil
}

// Delete implements environment.Storage.
func (m *Memory) Delete(ctx context.Context, key string, expected uint64) error {
	if err := m.alive(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.current(key)
	if !ok {
		return notFound(key)
	}
	if r.Revision != expected {
		return &environment.ConflictError{Key: key, Expected: expected, Actual: r.Revision}
	}
	m.write(environment.Record{Key: key, Deleted: true})
	return nil
}

func (m *Memory) write(r environment.Record) uint64 {
	m.last++
	r.Revision, r.Time = m.last, m.clock()
	m.versions[r.Key] = append(m.versions[r.Key], r)
	m.notify()
	return r.Revision
}

// notify wakes the watchers.
func (m *Memory) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// List implements environment.Storage.
func (m *Memory) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	if err := m.alive(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since(func(key string) bool { return strings.HasPrefix(key, prefix) }, 0, false), nil
}

// since returns the last versions of what was written after a revision.
func (m *Memory) since(match func(key string) bool, revision uint64, deletions bool) []environment.Record {
	var out []environment.Record
	for key, all := range m.versions {
		r := all[len(all)-1]
		if match(key) && r.Revision > revision && (deletions || !r.Deleted) {
			out = append(out, copied(r))
		}
	}
	slices.SortFunc(out, func(a, b environment.Record) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Versions implements environment.Storage.
func (m *Memory) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := m.alive(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []environment.Record
	for _, r := range m.versions[key] {
		out = append(out, copied(r))
	}
	if len(out) == 0 {
		return nil, notFound(key)
	}
	return out, nil
}

// Watch implements environment.Storage. Watchers are told every second that the storage
// is there.
func (m *Memory) Watch(ctx context.Context, paths ...string) (<-chan environment.Update, error) {
	asked, err := watching.ParsePaths(paths)
	if err != nil {
		return nil, err
	}
	if err := m.alive(ctx); err != nil {
		return nil, err
	}
	box := watching.NewBox()
	go func() {
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		known, full, told := uint64(0), true, false
		for {
			m.mu.Lock()
			seen, changed, closed, broken := m.last, m.changed, m.closed, m.broken
			u := environment.Update{Full: full, Records: m.since(asked.Match, known, !full)}
			m.mu.Unlock()
			switch {
			case closed:
				box.Close(fs.ErrClosed)
				return
			case broken != nil && !told:
				box.Put(environment.Update{Err: broken})
			case broken != nil:
			default:
				box.Put(u)
				known, full = seen, false
			}
			told = broken != nil
			select {
			case <-changed:
			case <-beat.C:
			case <-ctx.Done():
				box.Close(nil)
				return
			}
		}
	}()
	return box.Updates(), nil
}

// Interrupt keeps watchers from being told of changes and tells them the error instead.
// If it is nil, they catch up.
func (m *Memory) Interrupt(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
	m.notify()
}

// Close ends all watchers. Calls after it fail with fs.ErrClosed.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.notify()
	return nil
}

func (m *Memory) alive(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fs.ErrClosed
	}
	return ctx.Err()
}

func copied(r environment.Record) environment.Record {
	r.Value = bytes.Clone(r.Value)
	return r
}

func notFound(key string) error {
	return fmt.Errorf("storagetest: record %q: %w", trustkeep.Printable(key), trustkeep.ErrNotFound)
}
