package revocation

import (
	"context"
	"sync"
	"time"
)

// kept is something that was fetched, and counts until then.
type kept struct {
	crl   *CRL
	ocsp  []byte
	size  int64
	until time.Time
}

// cache keeps what was fetched, within a number of bytes, and for a while what
// could not be.
type cache struct {
	limit int64
	retry time.Duration
	now   func() time.Time

	mu      sync.Mutex
	size    int64
	entries map[string]*slot
}

// slot is the place of one key. It is made by the first who asks; the others
// wait for ready.
type slot struct {
	ready chan struct{}
	kept  *kept
	err   error
	until time.Time // of an error: when to try again
	// abandoned: whoever was to fill it gave up or panicked, which says nothing about
	// the source. The slot is no longer in the cache.
	abandoned bool
}

func newCache(limit int64, retry time.Duration, now func() time.Time) *cache {
	return &cache{limit: limit, retry: retry, now: now, entries: map[string]*slot{}}
}

// slotSize is charged for a slot besides what it holds.
const slotSize = 512

// get returns what is kept under the key, or fetches it.
func (c *cache) get(ctx context.Context, key string, fetch func(context.Context) (*kept, error)) (*kept, error) {
	for {
		s, mine := c.slot(key)
		if mine {
			return c.fill(ctx, key, s, fetch)
		}
		select {
		case <-s.ready:
			if !s.abandoned {
				return s.kept, s.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fill fetches for a slot and for all who wait for it.
func (c *cache) fill(ctx context.Context, key string, s *slot, fetch func(context.Context) (*kept, error)) (*kept, error) {
	s.abandoned = true // if fetch panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(s.ready)
		if s.abandoned {
			c.remove(key, s)
			return
		}
		if s.kept != nil {
			c.size += s.kept.size
		}
		c.shrink(s)
	}()
	got, err := fetch(ctx)
	s.kept, s.err = got, err
	s.abandoned = err != nil && ctx.Err() != nil && context.Cause(ctx) != errSilent
	if s.abandoned {
		s.kept = nil // it was not charged for
	} else if got == nil && err != nil {
		s.until = c.now().Add(c.retry)
	}
	return got, err
}

// slot returns the slot of the key and whether the caller is to fill it.
func (c *cache) slot(key string) (s *slot, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.entries[key]; s != nil {
		if !s.stale(c.now()) {
			return s, false
		}
		c.remove(key, s)
	}
	s = &slot{ready: make(chan struct{})}
	c.entries[key] = s
	c.size += slotSize + int64(len(key))
	return s, true
}

// filled reports whether the fetch has ended.
func (s *slot) filled() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

func (s *slot) stale(now time.Time) bool {
	switch {
	case !s.filled():
		return false
	case s.kept != nil:
		return now.After(s.kept.until)
	}
	return !now.Before(s.until)
}

// remove takes a slot out, if it is still the one of its key.
func (c *cache) remove(key string, s *slot) {
	if c.entries[key] != s {
		return
	}
	delete(c.entries, key)
	c.size -= slotSize + int64(len(key))
	if s.kept != nil {
		c.size -= s.kept.size
	}
}

// shrink drops what is stale, then anything but the newest, until the limit is
// kept.
func (c *cache) shrink(newest *slot) {
	if c.size <= c.limit {
		return
	}
	now := c.now()
	for key, s := range c.entries {
		if s.stale(now) {
			c.remove(key, s)
		}
	}
	for key, s := range c.entries {
		if c.size <= c.limit {
			return
		}
		if s != newest && s.filled() {
			c.remove(key, s)
		}
	}
}
