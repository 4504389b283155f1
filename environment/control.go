package environment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// absent is the error of a record that is not there.
func (c *control) absent(key string, err error) error {
	if e, ok := c.known(key); ok && !e.Deleted {
		return withheld(key, e)
	}
	return cmp.Or(c.unread(), err)
}

// control is what vouches for records.
type control struct {
	authority *authority.Authority
	indexes   map[string]*vouched // by environment, "" for the registry
	revisions map[string]uint64   // by key
	dates     map[string]Record   // by environment
	problems  map[string]error    // by key
	taken     map[string]uint64   // numbers of indexes that are not to be trusted, by environment
	former    map[string]bool     // those that say to be made under an earlier authority
}

// control reads what vouches for records. It fails only where the storage does.
func (l *ledger) control(ctx context.Context) (*control, error) {
	c, err := l.controlNow(ctx)
	if err == nil {
		err = l.recall(ctx, c)
	}
	return c, err
}

// recall looks among former versions for the indexes that the authority lists, where others are
// in their place.
func (l *ledger) recall(ctx context.Context, c *control) error {
	if c.authority.Number() == 1 {
		return nil
	}
	for env := range c.authority.Document().Indexes {
		key := indexKey(env)
		if _, there := c.revisions[key]; !there && c.indexes[env] == nil {
			c.problems[key] = &authority.Error{Key: key, Code: authority.CodeWithheld, Detail: fmt.Sprintf("authority %d lists an index", c.authority.Number())}
		}
		if c.problems[key] == nil {
			continue
		}
		if c.indexes[env] == nil {
			versions, err := l.inner.Versions(ctx, key)
			if err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
				return err
			}
			for _, raw := range slices.Backward(versions) {
				if i, err := c.index(raw, env, nil); err == nil && i.statement().Authority < c.authority.Number() {
					c.indexes[env] = i
					break
				}
			}
		}
		// Somebody was about to make an index while the authority before was replaced. What
		// there is vouches for, until somebody releases it, what did then.
		if c.indexes[env] != nil && c.indexes[env].statement().Authority < c.authority.Number() && c.former[env] && env == "" {
			delete(c.problems, key)
		}
	}
	return nil
}

func (l *ledger) controlNow(ctx context.Context) (*control, error) {
	l.mu.Lock()
	base, known := maps.Clone(l.seen), l.authority
	l.mu.Unlock()
	all, err := l.inner.List(ctx, authorityPrefix)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &control{
		indexes: maps.Clone(base), revisions: make(map[string]uint64), dates: make(map[string]Record), problems: make(map[string]error),
		taken: make(map[string]uint64), former: make(map[string]bool),
	}
	there := make(map[string]Record)
	for _, r := range all {
		there[r.Key] = r
		c.revisions[r.Key] = r.Revision
		if env, ok := strings.CutPrefix(r.Key, datesPrefix); ok {
			c.dates[env] = r
		}
	}
	if r, ok := there[documentsKey]; ok {
		next, err := follow(known, r.Value)
		if e := cmp.Or(r.Err, err); e != nil {
			c.problems[documentsKey] = e
		}
		if next.Number() > l.authority.Number() {
			// Nothing that was made under the one before counts any more.
			l.authority, l.last = next, nil
		}
	} else if known.Number() > l.o.Authority.Number() {
		c.problems[documentsKey] = &authority.Error{Key: documentsKey, Code: authority.CodeWithheld, Detail: fmt.Sprintf("authority %d is known", known.Number())}
	}
	c.authority = l.authority
	for key, r := range there {
		env, ok := strings.CutPrefix(key, indexesPrefix)
		if key == registryIndex {
			env, ok = "", true
		}
		if !ok {
			continue
		}
		i, err := c.index(r, env, base[env])
		if err != nil {
			c.problems[key] = err
			c.take(env, r)
			continue
		}
		// Somebody else here may have read later, and is done.
		if now := l.seen[env]; now.statement().Number < i.statement().Number {
			l.seen[env] = i
		}
		c.indexes[env] = l.seen[env]
	}
	for env, i := range base {
		key := indexKey(env)
		if _, ok := there[key]; !ok {
			c.problems[key] = &authority.Error{Key: key, Code: authority.CodeWithheld, Detail: fmt.Sprintf("index %d is known", i.statement().Number)}
		}
	}
	return c, nil
}

// index verifies an index, given the one that was seen before, nil for none.
func (c *control) index(r Record, env string, before *vouched) (*vouched, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	if before != nil && bytes.Equal(before.text, r.Value) {
		return before, nil // the authority may have changed since: it vouches until the next
	}
	signed, err := authority.Parse[authority.Index](r.Value)
	if err == nil {
		err = c.authority.VerifyIndex(signed, env)
	}
	if err == nil && before != nil {
		err = succeeds(signed, before.signed)
	}
	if err != nil {
		return nil, inRecord(r.Key, err)
	}
	return &vouched{signed, r.Value}, nil
}

// take remembers the number of an index that is not to be trusted. It may be one that was made
// under the authority before while that was replaced, and that others have seen.
func (c *control) take(env string, r Record) {
	if i, err := authority.Parse[authority.Index](r.Value); err == nil && i.Statement().Environment == env {
		c.taken[env], c.former[env] = i.Statement().Number, i.Statement().Authority < c.authority.Number()
	}
}

// maxTaken bounds how many numbers the owner of the storage can make an index leave out.
const maxTaken = 1000

// following returns the number and predecessor of the next index of an environment.
func (c *control) following(env string) (uint64, authority.Digest) {
	before := c.indexes[env]
	if before == nil {
		return 1, authority.Digest{}
	}
	n := before.statement().Number
	if other := c.taken[env]; other > n && other-n < maxTaken {
		// One number is left out, since it does not follow from what is not trusted.
		return other + 2, before.signed.Digest()
	}
	return n + 1, before.signed.Digest()
}

// maxAhead is how far ahead of ours the clock of somebody else may be.
const maxAhead = 5 * time.Minute

// succeeds tells whether an index may be seen after another.
func succeeds(next, before *authority.Signed[authority.Index]) error {
	n, b := next.Statement(), before.Statement()
	switch {
	case n.Number < b.Number:
		return &authority.Error{Code: authority.CodeRolledBack, Detail: fmt.Sprintf("index %d, and number %d was seen", n.Number, b.Number)}
	case n.Number == b.Number && next.Digest() != before.Digest():
		return &authority.Error{Code: authority.CodeForked, Detail: fmt.Sprintf("another index of number %d", n.Number)}
	case n.Number == b.Number+1 && n.Previous != before.Digest():
		return &authority.Error{Code: authority.CodeForked, Detail: fmt.Sprintf("index %d does not follow number %d", n.Number, b.Number)}
	}
	return nil
}

// unread is the error of what keeps the registry from knowing which records there are.
func (c *control) unread() error {
	if err := c.problems[documentsKey]; err != nil {
		return err
	}
	return c.problems[registryIndex]
}

// known returns the newest version of a record that an index lists.
func (c *control) known(key string) (authority.Entry, bool) {
	var best authority.Entry
	for env, i := range c.indexes {
		if e, ok := i.statement().Find(key); ok && env != "" && e.Number > best.Number {
			best = e
		}
	}
	if e, ok := c.indexes[""].statement().Find(key); ok {
		best = newer(best, e)
	}
	return best, best.Number > 0
}

// maxUnreleased is how many versions of a record that counts in an environment may have been
// written since its index was made. One is what a writer leaves that ends in between.
const maxUnreleased = 64

// newer returns the newer one of what environments list, zero for nothing, and what the index of
// the registry does. Whoever may change anything signs that one: what it says of records that
// others are responsible for is not trusted to be deleted, nor to be far ahead.
func newer(listed, e authority.Entry) authority.Entry {
	if listed.Number > 0 && (e.Number <= listed.Number || e.Deleted && !listed.Deleted || e.Number-listed.Number > maxUnreleased) {
		return listed
	}
	return e
}

// all returns what known returns for every key.
func (c *control) all() map[string]authority.Entry {
	out := make(map[string]authority.Entry)
	for env, i := range c.indexes {
		if env == "" {
			continue
		}
		for _, e := range i.statement().Entries {
			if e.Number > out[e.Key].Number {
				out[e.Key] = e
			}
		}
	}
	for _, e := range c.indexes[""].statement().Entries {
		out[e.Key] = newer(out[e.Key], e)
	}
	return out
}

// released tells whether the index of an environment vouches for a version.
func (c *control) released(env string, e authority.Entry) bool {
	found, ok := c.indexes[env].statement().Find(e.Key)
	return ok && found == e
}

// listing returns the environments whose indexes list a key.
func (c *control) listing(key string) []string {
	var out []string
	for env, i := range c.indexes {
		if _, ok := i.statement().Find(key); ok && env != "" {
			out = append(out, env)
		}
	}
	slices.Sort(out)
	return out
}

// examine verifies a record that was read: that it is signed by somebody who may change it,
// or vouched for by the index of an environment, and neither older than what is known nor
// another one of the same number.
func (c *control) examine(ctx context.Context, l *ledger, raw Record) *state {
	s := parsed(raw)
	if s.err == nil {
		s.err = c.trusts(ctx, l, s)
	}
	return s
}

func (c *control) trusts(ctx context.Context, l *ledger, s *state) error {
	if err := c.unread(); err != nil {
		return err
	}
	r, own := s.signed.Statement(), s.vouch()
	if r.Registry != c.authority.Registry() || r.Key != s.key {
		return c.authority.VerifyRecord(s.signed, s.key)
	}
	known, ok := c.known(s.key)
	switch {
	case !ok && c.indexes[""] == nil:
		return &authority.Error{Key: registryIndex, Code: authority.CodeWithheld, Detail: "there are records, and no index of them"}
	case r.Number < known.Number:
		return &authority.Error{Key: s.key, Code: authority.CodeRolledBack, Detail: fmt.Sprintf("number %d, and an index lists number %d", r.Number, known.Number),
			Hint: "Registry.Discard puts back what the index lists"}
	case r.Number == known.Number && own != known:
		return &authority.Error{Key: s.key, Code: authority.CodeForked, Detail: fmt.Sprintf("an index lists another version of number %d", r.Number),
			Hint: "Registry.Discard puts back what the index lists"}
	}
	in := c.listing(s.key)
	unreleased := slices.DeleteFunc(slices.Clone(in), func(env string) bool { return c.released(env, own) })
	if len(in) > 0 && len(unreleased) == 0 {
		return nil // vouched for, whoever has signed it
	}
	if err := l.verify(c, s); err != nil {
		return err
	}
	kind, env, _ := changeOf(s.key)
	if env != "" && len(in) == 0 {
		unreleased = []string{env}
	}
	if err := c.authority.May(r.Signer, kind, unreleased...); err != nil {
		return fmt.Errorf("environment: record %s: %w: %w", s.key, trustkeep.ErrUntrusted, err)
	}
	if r.Number == known.Number {
		return nil
	}
	return l.linked(ctx, s, known)
}
