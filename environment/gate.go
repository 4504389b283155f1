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
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// gate stands between a storage that is not trusted and an atom: it lets through whole states
// that an index vouches for, and nothing else. One goroutine at a time calls take.
type gate struct {
	env      string
	now      func() time.Time
	versions func(ctx context.Context, key string) ([]Record, error)
	memory   memory // nil for none
	seen     remembered

	raw     map[string]Record // what the storage has, signed records and what vouches for them
	tried   map[string]uint64 // revision at which the versions of a key did not help, by key
	looked  map[string]looked // by key
	have    map[string]authority.Digest
	applied bool
	copies  map[string]Record // what the applied state consists of, as the storage has it
	offline bool              // it is of a local copy, which may be old and is not remembered anew

	mu        sync.Mutex // of what follows, which problem reads
	authority *authority.Authority
	index     *vouched // the last that was applied
	fresh     time.Time
	dated     time.Time        // when the index that was applied was made or dated
	problems  map[string]error // by key
	unsaved   error
}

// looked is what was found out about a record that no index vouches for.
type looked struct {
	revision uint64
	err      error
}

// recallTimeout bounds how long an atom waits for former versions of records.
const recallTimeout = 10 * time.Second

func newGate(r *Registry, env string, m memory) (*gate, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, err
	}
	g := &gate{
		env: env, now: r.now, versions: l.inner.Versions, memory: m, authority: r.o.Authority,
		raw: make(map[string]Record), tried: make(map[string]uint64), looked: make(map[string]looked),
		have: make(map[string]authority.Digest), problems: make(map[string]error),
	}
	if m != nil {
		if g.seen, err = m.load(); err != nil {
			return nil, err
		}
	}
	return g, g.seen.check(g.authority.Registry(), env)
}

// paths are what a gate needs besides the records.
func (g *gate) paths() []string {
	own := ringKey(g.env)
	return []string{documentsKey, indexKey(g.env), dateKey(g.env), secretsKey, own, own + "/"}
}

// take looks at what a storage reports. It returns the update to a whole state that an index
// vouches for, ok if there is a new one, and whether problem returns something else now.
func (g *gate) take(ctx context.Context, u Update) (out Update, ok, changed bool) {
	if u.Full {
		clear(g.raw)
	}
	for _, r := range u.Records {
		if r.Deleted {
			delete(g.raw, r.Key)
			continue
		}
		g.raw[r.Key] = r
	}
	g.mu.Lock()
	before := g.problemText()
	g.mu.Unlock()
	out, ok = g.settle(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	return out, ok, g.problemText() != before
}

// records returns what the applied state consists of, as the storage has it.
func (g *gate) records() []Record { return values(g.copies) }

// beginOffline and online are called before and after the state of a local copy is taken: what was
// seen is what counts, and not what the copy has, which is a state that counted.
func (g *gate) beginOffline() { g.offline, g.seen = true, remembered{} }

func (g *gate) online(seen remembered) { g.offline, g.seen = false, seen }

// datedAt is when the state that was applied was known to be current.
func (g *gate) datedAt() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dated
}

// number is that of the index that was applied, zero for none.
func (g *gate) number() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.index == nil {
		return 0
	}
	return g.index.statement().Number
}

func (g *gate) problemText() string {
	if err := g.problemLocked(); err != nil {
		return err.Error()
	}
	return ""
}

// problem says what is withheld, forged, swapped or rolled back, nil for nothing.
func (g *gate) problem() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problemLocked()
}

func (g *gate) problemLocked() error {
	var all []error
	for _, key := range slices.Sorted(maps.Keys(g.problems)) {
		all = append(all, g.problems[key])
	}
	if g.index != nil && !g.fresh.After(g.now()) && g.problems[indexKey(g.env)] == nil {
		all = append(all, g.outdated(g.fresh))
	}
	return errors.Join(append(all, g.unsaved)...)
}

func (g *gate) outdated(since time.Time) error {
	detail := "not dated since " + since.Format(time.RFC3339)
	if since.IsZero() {
		detail = "made in the future"
	}
	return &authority.Error{Key: indexKey(g.env), Code: authority.CodeOutdated,
		Detail: detail, Hint: "does the program that dates it run, see Environment.Date"}
}

// settle finds out whether there is a new state.
func (g *gate) settle(ctx context.Context) (Update, bool) {
	problems := make(map[string]error)
	a := g.followed(problems)
	index, fresh, dated := g.candidate(a, problems)
	var out Update
	var have map[string]authority.Digest
	var copies map[string]Record
	ok := false
	if index != nil && (!g.applied || index.signed.Digest() != g.index.signed.Digest()) {
		out, have, copies, ok = g.whole(ctx, index, problems)
	}
	heard := g.dated // of this goroutine
	if ok {
		heard, g.copies = dated, copies
		for _, key := range []string{documentsKey, indexKey(g.env), dateKey(g.env)} {
			if r, there := g.raw[key]; there {
				g.copies[key] = r
			}
		}
		g.seen = remembered{Registry: a.Registry(), Environment: g.env, Authority: a.Number(), Index: index.statement().Number, Digest: index.signed.Digest()}
	} else if a.Number() > g.seen.Authority && g.seen.Registry != "" {
		g.seen.Authority = a.Number()
	}
	var unsaved error
	if now := g.now(); heard.After(now) {
		heard = now
	}
	if g.memory != nil && !g.offline && g.seen.Registry != "" && (ok || a.Number() != g.authority.Number() || g.unsaved != nil) {
		// Before it counts. It counts even if it cannot be kept: the trust that it takes
		// back must not stay.
		unsaved = g.memory.save(g.seen, heard, g.records())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.authority, g.unsaved = a, unsaved; ok {
		g.index, g.have, g.applied = index, have, true
		clear(g.looked)
	}
	if index != nil && g.index != nil && index.signed.Digest() == g.index.signed.Digest() {
		if r, there := g.raw[dateKey(g.env)]; there && dated.After(g.dated) {
			g.copies[dateKey(g.env)] = r
		}
		g.fresh, g.dated = fresh, dated
	}
	g.examine(problems)
	g.problems = problems
	return out, ok
}

// followed returns the newest authority.
func (g *gate) followed(problems map[string]error) *authority.Authority {
	a := g.authority
	if r, ok := g.raw[documentsKey]; ok {
		next, err := follow(a, r.Value)
		a = next
		if err = cmp.Or(r.Err, err); err != nil {
			problems[documentsKey] = err
		}
	}
	if n := g.seen.Authority; problems[documentsKey] == nil && a.Number() < n {
		problems[documentsKey] = &authority.Error{Key: documentsKey, Code: authority.CodeRolledBack, Detail: fmt.Sprintf("authority %d, and number %d was seen", a.Number(), n)}
	}
	return a
}

// candidate returns the index that the storage has, if it may be applied, until when it
// counts, and when it was made or dated. While it may not, the one that was applied goes on.
func (g *gate) candidate(a *authority.Authority, problems map[string]error) (index *vouched, fresh, dated time.Time) {
	key := indexKey(g.env)
	if problems[documentsKey] != nil {
		return nil, time.Time{}, time.Time{}
	}
	r, ok := g.raw[key]
	if !ok {
		problems[key] = &authority.Error{Key: key, Code: authority.CodeWithheld, Detail: "there is no index of the environment", Hint: "if the registry is not signed yet, see Registry.PlanSigning"}
		return nil, time.Time{}, time.Time{}
	}
	index = g.index
	if index == nil || !bytes.Equal(index.text, r.Value) || index.statement().Authority != a.Number() {
		signed, err := authority.Parse[authority.Index](r.Value)
		if err = cmp.Or(r.Err, err); err == nil {
			err = a.VerifyIndex(signed, g.env)
		}
		if err == nil {
			err = g.notOlder(signed)
		}
		if err != nil {
			problems[key] = inRecord(key, err)
			return nil, time.Time{}, time.Time{}
		}
		index = &vouched{signed, r.Value}
	}
	var date *authority.Signed[authority.Date]
	var wrong error
	if r, ok := g.raw[dateKey(g.env)]; ok {
		d, err := authority.Parse[authority.Date](r.Value)
		if err = cmp.Or(r.Err, err); err == nil {
			err = a.VerifyDate(d, index.signed)
		}
		if err == nil {
			date = d
		} else if d == nil || d.Statement().Index >= index.statement().Number {
			wrong = inRecord(dateKey(g.env), err) // not only of an index before
		}
	}
	now := g.now()
	fresh, dated = a.FreshUntil(index.signed, date, now), index.statement().Time
	if date != nil && a.FreshUntil(index.signed, nil, now).Before(fresh) {
		dated = date.Statement().Time
	}
	if wrong != nil {
		problems[dateKey(g.env)] = wrong
	}
	if !fresh.After(now) {
		problems[key] = g.outdated(fresh)
	}
	if !fresh.After(now) && !g.offline {
		return nil, time.Time{}, time.Time{}
	}
	return index, fresh, dated
}

// notOlder compares an index with the newest that was seen, before a restart too.
func (g *gate) notOlder(next *authority.Signed[authority.Index]) error {
	if g.index != nil {
		return succeeds(next, g.index.signed)
	}
	n := next.Statement()
	switch {
	case g.seen.Index == 0:
	case n.Number < g.seen.Index:
		return &authority.Error{Code: authority.CodeRolledBack, Detail: fmt.Sprintf("index %d, and number %d was seen", n.Number, g.seen.Index)}
	case n.Number == g.seen.Index && next.Digest() != g.seen.Digest, n.Number == g.seen.Index+1 && n.Previous != g.seen.Digest:
		return &authority.Error{Code: authority.CodeForked, Detail: fmt.Sprintf("index %d does not go with number %d, which was seen", n.Number, g.seen.Index)}
	}
	return nil
}

// whole makes the update to the state of an index, if all of its records are there.
func (g *gate) whole(ctx context.Context, index *vouched, problems map[string]error) (Update, map[string]authority.Digest, map[string]Record, bool) {
	u := Update{Full: !g.applied}
	copies := make(map[string]Record)
	have := make(map[string]authority.Digest)
	complete := true
	for _, e := range index.statement().Entries {
		if e.Deleted {
			continue
		}
		have[e.Key] = e.Digest
		if g.have[e.Key] == e.Digest {
			copies[e.Key] = g.copies[e.Key]
			continue
		}
		r, raw, err := g.find(ctx, e)
		if err != nil {
			problems[e.Key], complete = err, false
			continue
		}
		u.Records = append(u.Records, r)
		copies[e.Key] = raw
	}
	for key := range g.have {
		if _, ok := have[key]; !ok {
			u.Records = append(u.Records, Record{Key: key, Deleted: true})
		}
	}
	slices.SortFunc(u.Records, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return u, have, copies, complete
}

// find returns the version of a record that an index lists, and how the storage has it.
func (g *gate) find(ctx context.Context, e authority.Entry) (r, as Record, err error) {
	raw, there := g.raw[e.Key]
	if !there {
		raw = Record{Key: e.Key}
	} else if s := parsed(raw); s.err == nil && s.vouch() == e {
		return s.record(raw), raw, nil
	}
	// Somebody may be about to write the next one, or the storage left out a state.
	if at, ok := g.tried[e.Key]; !ok || at != raw.Revision {
		ctx, cancel := context.WithTimeout(ctx, recallTimeout)
		defer cancel()
		versions, err := g.versions(ctx, e.Key)
		for _, v := range slices.Backward(versions) {
			if v.Deleted || v.Err != nil {
				continue
			}
			if s := parsed(v); s.err == nil && s.vouch() == e {
				return s.record(v), v, nil
			}
		}
		if err == nil || errors.Is(err, trustkeep.ErrNotFound) {
			g.tried[e.Key] = raw.Revision
		}
	}
	if !there {
		return Record{}, Record{}, withheld(e.Key, e)
	}
	return Record{}, Record{}, g.wrong(raw, e)
}

// wrong says why a record is not the one that an index lists.
func (g *gate) wrong(raw Record, e authority.Entry) error {
	s := parsed(raw)
	if s.err != nil {
		return s.err
	}
	r := s.signed.Statement()
	switch err := g.authority.VerifyRecord(s.signed, e.Key); {
	case r.Registry != g.authority.Registry() || r.Key != e.Key:
		return err
	case r.Number < e.Number:
		return &authority.Error{Key: e.Key, Code: authority.CodeRolledBack, Detail: fmt.Sprintf("number %d, and the index lists number %d", r.Number, e.Number)}
	case r.Number == e.Number && err == nil:
		return &authority.Error{Key: e.Key, Code: authority.CodeForked, Detail: fmt.Sprintf("the index lists another version of number %d", e.Number)}
	case err != nil:
		return err
	}
	return withheld(e.Key, e)
}

// examine looks at the records that are not what the applied index lists. They do not count;
// what is wrong with them is told. The next version, signed by a member, is one whose writer
// has not come to the index yet.
func (g *gate) examine(problems map[string]error) {
	if g.index == nil {
		return
	}
	index := g.index.statement()
	for key, raw := range g.raw {
		if _, _, signed := changeOf(key); !signed || problems[key] != nil {
			continue
		}
		at, done := g.looked[key]
		if !done || at.revision != raw.Revision {
			at = looked{raw.Revision, g.foreign(index, raw)}
			g.looked[key] = at
		}
		if at.err != nil {
			problems[key] = at.err
		}
	}
	for _, e := range index.Entries {
		if _, there := g.raw[e.Key]; !there && !e.Deleted && problems[e.Key] == nil {
			problems[e.Key] = withheld(e.Key, e)
		}
	}
}

func (g *gate) foreign(index authority.Index, raw Record) error {
	if raw.Err != nil {
		return fmt.Errorf("environment: record %s: %w", raw.Key, raw.Err)
	}
	e, listed := index.Find(raw.Key)
	if !listed {
		if !authority.IsSigned(raw.Value) {
			return parsed(raw).err
		}
		return nil // it does not count here
	}
	s := parsed(raw)
	if s.err != nil || s.vouch() == e {
		return s.err
	}
	if s.signed.Statement().Number > e.Number {
		return g.authority.VerifyRecord(s.signed, raw.Key)
	}
	return g.wrong(raw, e)
}
