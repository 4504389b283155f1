package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Memory is an environment.Storage that forgets everything when the program ends, for
// tests. It keeps all versions.
type Memory struct {
	clock func() time.Time

	mu       sync.Mutex
	versions map[string][]environment.Record
	last     uint64
	changed  chan struct{} // closed with each write, and then replaced
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
	if err := ctx.Err(); err != nil {
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
	if err := environment.CheckPut(key, value); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, _ := m.current(key); r.Revision != expected {
		return 0, &environment.ConflictError{Key: key, Expected: expected, Actual: r.Revision}
	}
	return m.write(environment.Record{Key: key, Value: append([]byte{}, value...)}), nil
}

// Delete implements environment.Storage.
func (m *Memory) Delete(ctx context.Context, key string, expected uint64) error {
	if err := ctx.Err(); err != nil {
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
	close(m.changed)
	m.changed = make(chan struct{})
	return r.Revision
}

// List implements environment.Storage.
func (m *Memory) List(ctx context.Context, prefix string) ([]environment.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since(prefix, 0, false), nil
}

// since returns the last versions of what was written after a revision.
func (m *Memory) since(prefix string, revision uint64, deletions bool) []environment.Record {
	var out []environment.Record
	for key, all := range m.versions {
		r := all[len(all)-1]
		if strings.HasPrefix(key, prefix) && r.Revision > revision && (deletions || !r.Deleted) {
			out = append(out, copied(r))
		}
	}
	slices.SortFunc(out, func(a, b environment.Record) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Versions implements environment.Storage.
func (m *Memory) Versions(ctx context.Context, key string) ([]environment.Record, error) {
	if err := ctx.Err(); err != nil {
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

// Watch implements environment.Storage.
func (m *Memory) Watch(ctx context.Context, prefix string) (<-chan environment.Update, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	updates := make(chan environment.Update)
	go func() {
		defer close(updates)
		known, full := uint64(0), true
		for {
			m.mu.Lock()
			u := environment.Update{Full: full, Records: m.since(prefix, known, !full)}
			seen, changed := m.last, m.changed
			m.mu.Unlock()
			var send chan environment.Update
			if full || len(u.Records) > 0 {
				send = updates
			}
			select {
			case send <- u:
				known, full = seen, false
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return updates, nil
}

func copied(r environment.Record) environment.Record {
	r.Value = bytes.Clone(r.Value)
	return r
}

func notFound(key string) error {
	return fmt.Errorf("storagetest: record %q: %w", trustkeep.Printable(key), trustkeep.ErrNotFound)
}
