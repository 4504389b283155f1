package revocation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// answers are what a place has said, verified. Whether they count is judged for each question.
type answers struct {
	crls  []*CRL
	ocsp  *ocsp.Response
	until time.Time // when to ask again
}

func (a *answers) size() (n int64) {
	if a == nil {
		return 0
	}
	for _, l := range a.crls {
		n += l.size()
	}
	if a.ocsp != nil {
		n += 2 * int64(len(a.ocsp.Raw))
	}
	return n
}

// after returns the answers with what a place had said before and has not taken back: what
// was revoked stays so, whatever the place says afterwards or is kept from saying.
func (a *answers) after(old *answers) *answers {
	if old == nil {
		return a
	}
	both := *a
	for _, l := range old.crls {
		if !slices.ContainsFunc(a.crls, func(n *CRL) bool {
			return n.scope.id == l.scope.id && l.olderThan(n) || bytes.Equal(n.head.Raw, l.head.Raw)
		}) && len(both.crls) < maxListsOfPlace {
			both.crls = append(both.crls[:len(both.crls):len(both.crls)], l)
		}
	}
	if r := old.ocsp; r != nil && r.Status == ocsp.Revoked && final(r.RevocationReason) {
		both.ocsp = r
	}
	return &both
}

// maxListsOfPlace bounds the lists that are kept of one place.
const maxListsOfPlace = 8

// kind is what a place has, or what is known of it.
type kind uint8

const (
	aList kind = iota
	aResponder
	aSilence // that the responder does not answer, whatever the certificate
)

// place is where an answer comes from, and what its answers are kept under: by the
// issuer that must have signed them, so that nobody else's certificate has a say in it.
type place struct {
	kind   kind
	issuer issuerID
	url    string
	serial string // of the certificate, for aResponder
}

// cache keeps what was fetched, within a number of bytes, and for a while what
// could not be.
type cache struct {
	limit int64
	retry time.Duration
	now   func() time.Time

	mu      sync.Mutex
	size    int64
	entries map[place]*slot
	lists   map[issuerID]map[place]*slot // those of entries that hold lists
}

// slot is what is known of one place. It is made by the first who asks; the others
// wait for ready.
type slot struct {
	ready chan struct{}
	last  *answers // the last that there were, also where there are no new ones
	err   error    // why there are no new ones
	until time.Time
	// abandoned: whoever was to fill it gave up or panicked, which says nothing about
	// the place.
	abandoned bool
	panicked  any // what the caller's hook panicked with
}

func newCache(limit int64, retry time.Duration, now func() time.Time) *cache {
	return &cache{limit: limit, retry: retry, now: now, entries: map[place]*slot{}, lists: map[issuerID]map[place]*slot{}}
}

// slotSize is charged for a slot besides what it holds.
const slotSize = 512

// errSilent is the cause of the end of a context whose place has had its time.
var errSilent = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)

// get returns what is kept of a place, or fetches it. It returns when the context ends,
// even if fetch does not.
func (c *cache) get(ctx context.Context, at place, fetch func(context.Context) (*answers, error)) (*answers, error) {
	for {
		s, mine := c.slot(at)
		if mine {
			go c.fill(ctx, at, s, fetch)
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			if !mine {
				return nil, context.Cause(ctx)
			}
			c.settle(ctx, at, s, nil, context.Cause(ctx))
		}
		switch {
		case mine && s.panicked != nil:
			panic(s.panicked)
		case mine || !s.abandoned:
			return s.last, s.err
		}
	}
}

// fill fetches for a slot and for all who wait for it.
func (c *cache) fill(ctx context.Context, at place, s *slot, fetch func(context.Context) (*answers, error)) {
	var got *answers
	err := errors.New("the hook ended its goroutine")
	defer func() {
		if p := recover(); p != nil {
			c.mu.Lock()
			if !s.filled() {
				s.panicked = p // for the goroutine of the one who asked
			}
			c.mu.Unlock()
		}
		c.settle(ctx, at, s, got, err)
	}()
	got, err = fetch(ctx)
}

// settle fills a slot, once. An answer that comes after its time is taken all the same.
func (c *cache) settle(ctx context.Context, at place, s *slot, got *answers, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.entries[at] == s
	if s.filled() {
		if got != nil && in && s.err != nil {
			c.remove(at, s)
			c.put(at, &slot{ready: s.ready, last: got.after(s.last), until: got.until})
		}
		return
	}
	defer close(s.ready)
	if in {
		c.remove(at, s)
	}
	switch {
	case got != nil:
		s.last, s.until = got.after(s.last), got.until
	case s.panicked != nil || ctx.Err() != nil && context.Cause(ctx) != errSilent:
		s.err, s.abandoned = err, true
		if in && s.last != nil {
			c.put(at, &slot{ready: closed(), last: s.last})
		}
		return
	case ctx.Err() != nil:
		s.err, s.until = errSilent, c.now().Add(c.retry)
	default:
		s.err, s.until = err, c.now().Add(c.retry)
	}
	if in {
		c.put(at, s)
	}
}

func closed() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// slot returns the slot of a place and whether the caller is to fill it.
func (c *cache) slot(at place) (s *slot, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s = new(slot)
	if old := c.entries[at]; old != nil {
		if !old.stale(c.now()) {
			return old, false
		}
		c.remove(at, old)
		s.last = old.last
	}
	s.ready = make(chan struct{})
	c.put(at, s)
	return s, true
}

// response is the last of a responder.
func (c *cache) response(at place) *ocsp.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.entries[at]; s != nil && s.last != nil {
		return s.last.ocsp
	}
	return nil
}

// failed is why a place is not to be asked now; nil if it is.
func (c *cache) failed(at place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.entries[at]; s != nil && s.filled() && !s.stale(c.now()) {
		return s.err
	}
	return nil
}

// fail notes why a place is not to be asked for a while.
func (c *cache) fail(at place, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[at]; old != nil {
		c.remove(at, old)
	}
	c.put(at, &slot{ready: closed(), err: err, until: c.now().Add(c.retry)})
}

// listsOf returns the lists of an issuer that are kept.
func (c *cache) listsOf(issuer issuerID) (lists []*CRL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.lists[issuer] {
		lists = append(lists, s.last.crls...)
	}
	return lists
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

// stale reports whether the place is to be asked again.
func (s *slot) stale(now time.Time) bool {
	switch {
	case !s.filled():
		return false
	case s.err == nil:
		return now.After(s.until)
	}
	return !now.Before(s.until)
}

func (s *slot) cost(at place) int64 {
	return slotSize + int64(len(at.url)+len(at.serial)) + s.last.size()
}

// put takes a slot in.
func (c *cache) put(at place, s *slot) {
	c.entries[at] = s
	c.size += s.cost(at)
	if s.last != nil && len(s.last.crls) > 0 {
		if c.lists[at.issuer] == nil {
			c.lists[at.issuer] = map[place]*slot{}
		}
		c.lists[at.issuer][at] = s
	}
	c.shrink(s)
}

// remove takes a slot out, if it is still the one of its place.
func (c *cache) remove(at place, s *slot) {
	if c.entries[at] != s {
		return
	}
	delete(c.entries, at)
	c.size -= s.cost(at)
	if delete(c.lists[at.issuer], at); len(c.lists[at.issuer]) == 0 {
		delete(c.lists, at.issuer)
	}
}

// shrink drops what is stale, then anything but the newest, until the limit is
// kept.
func (c *cache) shrink(newest *slot) {
	if c.size <= c.limit {
		return
	}
	now := c.now()
	for at, s := range c.entries {
		if s.stale(now) {
			c.remove(at, s)
		}
	}
	for at, s := range c.entries {
		if c.size <= c.limit {
			return
		}
		if s != newest && s.filled() {
			c.remove(at, s)
		}
	}
}
