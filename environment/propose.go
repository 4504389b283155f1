package environment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// PendingChange is a change that waits for approvals: records, and the indexes that vouch for them.
type PendingChange struct {
	// ID names it. It is the digest of all that it would change, in hex: what somebody has
	// approved is that and nothing else.
	ID string
	// Changes are the records that it would write or vouch for.
	Changes []ProposedChange
	// Environments that it needs approvals for, by ID.
	Environments []ProposedRelease

	records []*state
	indexes []*authority.Signed[authority.Index]
}

// ProposedChange is a record that a proposal would write, or that its indexes would list for the
// first time, such as a component that begins to count in an environment.
type ProposedChange struct {
	Key string
	// By is the name of the key that signed it.
	By string
	// Before and After describe what there is and what there would be; empty where there is
	// nothing.
	Before, After string
	// Document is what there would be, in JSON; nil for a deletion.
	Document []byte
}

// ProposedRelease is an index that a proposal would write.
type ProposedRelease struct {
	Environment string
	// Approved are the names of those who have; Needed is how many it takes.
	Approved []string
	Needed   int
}

// proposalRecord is how a proposal is stored. Nobody trusts it: what counts are the signatures
// in it.
type proposalRecord struct {
	Format  int               `json:"format"`
	Records []json.RawMessage `json:"records"`
	Indexes []json.RawMessage `json:"indexes"`
}

// Propose stores a change without making it: change is called with a registry whose writes
// nobody sees. If the signer is one of those who release, it approves at once. With a nil
// change, indexes are made anew that are not as they should be: where the authority has changed
// since; and, of those that the signer releases, what was not dated in time or lists other
// versions than there are.
//
// A change has to be proposed where the Authority demands more than one signature for the
// index of an environment that it concerns, and by administrators who release nothing.
//
// Errors are those of change, wrap trustkeep.ErrNotPermitted where a record may not be changed
// by the signer, and trustkeep.ErrUnsupported for a registry without Options.Authority.
func (r *Registry) Propose(ctx context.Context, change func(context.Context, *Registry) error) (*PendingChange, error) {
	p, err := r.propose(ctx, change)
	return p, failure("propose", "", err)
}

func (r *Registry) propose(ctx context.Context, change func(context.Context, *Registry) error) (*PendingChange, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, err
	}
	before, err := l.view(ctx)
	if err != nil {
		return nil, err
	}
	p := new(PendingChange)
	if change != nil {
		if p.records, err = l.rehearse(ctx, before, change); err != nil {
			return nil, err
		}
	}
	after := before.clone()
	for _, s := range p.records {
		after.set(s, nil)
	}
	needed := l.needed(before, after)
	releasing := slices.ContainsFunc(after.environments(), func(env string) bool { return before.c.authority.MayRelease(l.who, env) == nil })
	for _, env := range after.environments() {
		if i := before.c.indexes[env]; i == nil || slices.Contains(needed, env) {
			continue
		}
		anew := before.c.indexes[env].statement().Authority != before.c.authority.Number()
		if change == nil && (before.c.authority.MayRelease(l.who, env) == nil || !releasing) {
			if anew, err = l.anew(before, env); err != nil {
				return nil, err
			}
		}
		if anew {
			needed = append(needed, env)
		}
	}
	slices.Sort(needed)
	if len(p.records) == 0 && len(needed) == 0 {
		return nil, fmt.Errorf("a change that changes nothing: %w", trustkeep.ErrEmpty)
	}
	for _, env := range needed {
		entries, err := after.entries(env)
		if err != nil {
			return nil, err
		}
		next, err := l.nextIndex(before, env, entries)
		if err == nil && before.c.authority.MayRelease(l.who, env) == nil {
			next, err = next.Sign(l.o.Rand, l.signer)
		}
		if err != nil {
			return nil, err
		}
		p.indexes = append(p.indexes, next)
	}
	l.fill(p, before, after)
	if _, err := l.inner.Put(ctx, proposalsPrefix+p.ID, p.encode(), 0); err != nil {
		return nil, err
	}
	r.tell(ctx, Event{Action: "change proposed", Object: p.ID, After: p.String()})
	return p, nil
}

// anew tells whether the index of an environment is not what it should be, though nothing
// changes: of an earlier authority, not dated in time, of other versions than there are, or not
// there.
func (l *ledger) anew(v *view, env string) (bool, error) {
	i := v.c.indexes[env].statement()
	if i.Authority != v.c.authority.Number() || v.c.problems[indexKey(env)] != nil || v.c.outdated(env, l.r.now()) {
		return true, nil
	}
	entries, err := v.entries(env)
	return err == nil && !slices.Equal(i.Entries, entries), err
}

// rehearse makes a change on top of the storage and returns the records that it would write.
func (l *ledger) rehearse(ctx context.Context, before *view, change func(context.Context, *Registry) error) ([]*state, error) {
	o := &overlay{Storage: l.inner, written: make(map[string]Record)}
	own := *l.r
	own.o.OnEvent, own.o.Logger = nil, slog.New(slog.DiscardHandler)
	mine := &ledger{inner: o, o: &own.o, r: &own, signer: l.signer, who: l.who, proposing: true, authority: before.c.authority, bases: before.at}
	l.mu.Lock()
	mine.seen = maps.Clone(l.seen)
	l.mu.Unlock()
	own.storage = mine
	if err := change(ctx, &own); err != nil {
		return nil, err
	}
	var out []*state
	for _, key := range slices.Sorted(maps.Keys(o.written)) {
		if _, _, signed := changeOf(key); !signed {
			continue // atoms, which are nobody's to propose
		}
		s := parsed(o.written[key])
		if s.err != nil {
			return nil, s.err
		}
		s.revision = 0
		if was := before.at[key]; was != nil {
			s.revision = was.revision
			if was.signed != nil && !was.deleted() && !s.deleted() && unstamped(was) == unstamped(s) {
				continue // it was taken back
			}
		} else if s.deleted() {
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// unstamped is a document without who wrote it when.
func unstamped(s *state) string {
	var d map[string]json.RawMessage
	if json.Unmarshal(s.signed.Statement().Document, &d) != nil {
		return string(s.signed.Statement().Document)
	}
	delete(d, "actor")
	delete(d, "time")
	text, _ := json.Marshal(d) // of what was unmarshalled
	return string(text)
}

// fill says what is in a proposal.
func (l *ledger) fill(p *PendingChange, before, after *view) {
	h := sha256.New()
	io.WriteString(h, "trustkeep proposal 1\x00")
	p.Changes, p.Environments = nil, nil
	for _, s := range p.records {
		d := s.digest()
		h.Write(d[:])
		r := s.signed.Statement()
		p.Changes = append(p.Changes, ProposedChange{
			Key: s.key, By: after.c.authority.Name(r.Signer), Before: before.inv.describe(s.key), After: after.inv.describe(s.key), Document: r.Document,
		})
	}
	for _, i := range p.indexes {
		d := i.Digest()
		h.Write(d[:])
		env := i.Statement().Environment
		one := ProposedRelease{Environment: env, Needed: after.c.authority.Release(env).Threshold}
		for _, id := range i.Signers() {
			if after.c.authority.MayRelease(id, env) == nil {
				one.Approved = append(one.Approved, after.c.authority.Name(id))
			}
		}
		p.Environments = append(p.Environments, one)
		// What was written before, and no index vouches for yet, or begins to count here, is
		// approved with it: it is to be seen.
		for _, e := range i.Statement().Entries {
			listed := slices.ContainsFunc(p.Changes, func(c ProposedChange) bool { return c.Key == e.Key })
			if s := after.at[e.Key]; s != nil && s.signed != nil && !listed && !before.c.released(env, e) {
				r := s.signed.Statement()
				p.Changes = append(p.Changes, ProposedChange{Key: e.Key, By: after.c.authority.Name(r.Signer), After: after.inv.describe(e.Key), Document: r.Document})
			}
		}
	}
	p.ID = hex.EncodeToString(h.Sum(nil))
}

func (p *PendingChange) encode() []byte {
	d := proposalRecord{Format: formatVersion}
	for _, s := range p.records {
		d.Records = append(d.Records, s.signed.Encode())
	}
	for _, i := range p.indexes {
		d.Indexes = append(d.Indexes, i.Encode())
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // which was JSON before
	}
	return text
}

// String lists what it would change, and who has approved.
func (p *PendingChange) String() string {
	var text []string
	for _, c := range p.Changes {
		what := c.Key + " deleted"
		if c.Document != nil {
			what = c.Key + ": " + c.After
		}
		text = append(text, what)
	}
	for _, e := range p.Environments {
		text = append(text, fmt.Sprintf("environment %s: %d of %d approvals", e.Environment, len(e.Approved), e.Needed))
	}
	return strings.Join(text, "; ")
}

// PendingChanges lists what waits for approvals, by ID. Those that the storage has damaged, or that
// do not follow from what there is any more, are left out and reported in the error.
func (r *Registry) PendingChanges(ctx context.Context) ([]*PendingChange, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, failure("proposals", "", err)
	}
	before, err := l.view(ctx)
	if err != nil {
		return nil, failure("proposals", "", err)
	}
	all, err := l.inner.List(ctx, proposalsPrefix)
	if err != nil {
		return nil, failure("proposals", "", err)
	}
	var out []*PendingChange
	var bad []error
	for _, raw := range all {
		p, _, err := l.proposed(ctx, before, raw)
		if err != nil {
			bad = append(bad, fmt.Errorf("environment: record %s: %w", raw.Key, err))
			continue
		}
		out = append(out, p)
	}
	return out, failure("proposals", "", errors.Join(bad...))
}

// proposed reads a proposal and looks at everything in it: whether it follows from what there
// is, its records are signed by those who may, and its indexes say what there would be.
func (l *ledger) proposed(ctx context.Context, before *view, raw Record) (*PendingChange, *view, error) {
	if raw.Err != nil {
		return nil, nil, raw.Err
	}
	var d proposalRecord
	if json.Unmarshal(raw.Value, &d) != nil || d.Format < 1 {
		return nil, nil, trustkeep.ErrCorrupt
	}
	if d.Format > formatVersion {
		return nil, nil, trustkeep.ErrUnsupported
	}
	stale := &trustkeep.Error{Op: "proposal", Err: trustkeep.ErrConflict, Hint: "what it is based on has changed since: propose it again"}
	p, after := new(PendingChange), before.clone()
	for _, text := range d.Records {
		signed, err := authority.Parse[authority.Record](text)
		if err != nil {
			return nil, nil, err
		}
		s := &state{key: signed.Statement().Key, signed: signed, text: text}
		if err := before.c.authority.VerifyRecord(signed, s.key); err != nil {
			return nil, nil, err
		}
		was := before.at[s.key]
		if was == nil {
			was = &state{key: s.key}
		}
		s.revision = was.revision
		r, at := signed.Statement(), was.vouch()
		if at.Digest != s.digest() && (was.err != nil || r.Number != at.Number+1 || r.Previous != at.Digest) {
			return nil, nil, stale
		}
		p.records = append(p.records, s)
		after.set(s, nil)
	}
	for _, s := range p.records {
		kind, _, _ := changeOf(s.key)
		in := before.within(s.key)
		maps.Copy(in, after.within(s.key))
		if err := before.c.authority.May(s.signed.Statement().Signer, kind, slices.Sorted(maps.Keys(in))...); err != nil {
			return nil, nil, err
		}
	}
	if slices.ContainsFunc(p.records, func(s *state) bool { return after.inv.outsealed(s.key) }) {
		return nil, nil, stale
	}
	needed := l.needed(before, after)
	for _, text := range d.Indexes {
		i, err := authority.Parse[authority.Index](text)
		if err != nil {
			return nil, nil, err
		}
		s, now := i.Statement(), before.c.indexes[i.Statement().Environment]
		entries, err := after.entries(s.Environment)
		if err != nil {
			return nil, nil, err
		}
		done := now != nil && now.signed.Digest() == i.Digest()
		number, previous := before.c.following(s.Environment)
		follows := s.Number == number && s.Previous == previous
		if s.Environment == "" || s.Registry != before.c.authority.Registry() || s.Authority != before.c.authority.Number() || !done && !follows || !slices.Equal(s.Entries, entries) {
			return nil, nil, stale
		}
		if s.Time.After(l.r.now().Add(maxAhead)) {
			return nil, nil, &authority.Error{Key: indexKey(s.Environment), Code: authority.CodeForged, Detail: "of the future"}
		}
		needed = slices.DeleteFunc(needed, func(env string) bool { return env == s.Environment })
		p.indexes = append(p.indexes, i)
	}
	if len(needed) > 0 {
		return nil, nil, stale
	}
	l.fill(p, before, after)
	if raw.Key != proposalsPrefix+p.ID {
		return nil, nil, &authority.Error{Key: raw.Key, Code: authority.CodeSwapped, Detail: "it is proposal " + p.ID}
	}
	return p, after, nil
}

// Approve approves a proposal, by its ID, in the environments that Options.Signer releases. The
// last one who is needed makes the change, and done is true. Look at what PendingChanges returns
// first.
//
// The error wraps trustkeep.ErrConflict if what the proposal is based on has changed since: it
// must be proposed again, approvals are never carried over. It wraps trustkeep.ErrNotFound,
// trustkeep.ErrNotPermitted for a signer who releases none of the environments, and
// trustkeep.ErrUntrusted for a proposal that is not what its ID says.
func (r *Registry) Approve(ctx context.Context, id string) (done bool, err error) {
	for range maxAttempts {
		done, err = r.approve(ctx, id)
		if !errors.Is(err, errAnew) || ctx.Err() != nil {
			break
		}
	}
	return done, failure("approve", id, err)
}

var errAnew = errors.New("others were faster")

func (r *Registry) approve(ctx context.Context, id string) (bool, error) {
	if err := CheckKey(proposalsPrefix + id); err != nil {
		return false, err
	}
	l, err := r.ledger()
	if err != nil {
		return false, err
	}
	raw, err := l.inner.Get(ctx, proposalsPrefix+id)
	if err != nil {
		return false, err
	}
	before, err := l.view(ctx)
	if err != nil {
		return false, err
	}
	p, after, err := l.proposed(ctx, before, raw)
	if err != nil {
		return false, err
	}
	mine := false
	var denied error
	for n, i := range p.indexes {
		if err := before.c.authority.MayRelease(l.who, i.Statement().Environment); err != nil {
			denied = err
			continue
		}
		if p.indexes[n], err = i.Sign(l.o.Rand, l.signer); err != nil {
			return false, err
		}
		mine = true
	}
	if !mine {
		return false, denied
	}
	for _, i := range p.indexes {
		if before.c.authority.VerifyIndex(i, i.Statement().Environment) == nil {
			continue
		}
		if _, err := l.inner.Put(ctx, raw.Key, p.encode(), raw.Revision); err != nil {
			if errors.Is(err, trustkeep.ErrConflict) {
				err = errAnew
			}
			return false, err
		}
		r.tell(ctx, Event{Action: "change approved", Object: id})
		return false, nil
	}
	if err := l.execute(ctx, before, after, p); err != nil {
		return false, err
	}
	err = l.inner.Delete(ctx, raw.Key, raw.Revision)
	if errors.Is(err, trustkeep.ErrConflict) || errors.Is(err, trustkeep.ErrNotFound) {
		err = nil // somebody else has approved at the same moment
	}
	r.tell(ctx, Event{Action: "change made", Object: id, After: p.String()})
	return err == nil, err
}

// execute writes the records of a proposal, and the indexes then.
func (l *ledger) execute(ctx context.Context, before, after *view, p *PendingChange) error {
	// Who is killed in between leaves sealed what the records refer to.
	for _, s := range slices.SortedStableFunc(slices.Values(p.records), func(a, b *state) int { return sealingOrder(a) - sealingOrder(b) }) {
		if was := before.at[s.key]; was != nil && was.digest() == s.digest() {
			continue
		}
		if _, err := l.write(ctx, s.key, s.text, s.revision, after.inv.filesOf(s.key)); err != nil {
			return err
		}
	}
	entries, err := after.entries("")
	if err == nil && !slices.Equal(entries, before.c.indexes[""].statement().Entries) {
		if err = l.writeIndex(ctx, before, "", entries); errors.Is(err, trustkeep.ErrConflict) {
			err = nil // the next writer's has these records too
		}
	}
	for _, i := range p.indexes {
		env := i.Statement().Environment
		if now := before.c.indexes[env]; now != nil && now.signed.Digest() == i.Digest() {
			continue
		}
		if err == nil {
			err = l.putIndex(ctx, before.c, env, i)
		}
	}
	return err
}

// Withdraw removes a proposal. The error wraps trustkeep.ErrNotFound.
func (r *Registry) Withdraw(ctx context.Context, id string) error {
	l, err := r.ledger()
	if err == nil {
		err = CheckKey(proposalsPrefix + id)
	}
	var raw Record
	if err == nil {
		raw, err = l.inner.Get(ctx, proposalsPrefix+id)
	}
	if err == nil {
		err = l.inner.Delete(ctx, raw.Key, raw.Revision)
	}
	return failure("withdraw", id, err)
}

// overlay keeps writes to itself.
type overlay struct {
	Storage
	mu      sync.Mutex
	written map[string]Record
	last    uint64
}

// overlayRevisions begin where no storage comes to.
const overlayRevisions = 1 << 62

func (o *overlay) own(key string) (Record, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.written[key]
	return r, ok
}

func (o *overlay) Get(ctx context.Context, key string) (Record, error) {
	if r, ok := o.own(key); ok {
		return r, nil
	}
	return o.Storage.Get(ctx, key)
}

func (o *overlay) List(ctx context.Context, prefix string) ([]Record, error) {
	all, err := o.Storage.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all = slices.DeleteFunc(all, func(r Record) bool { _, ok := o.written[r.Key]; return ok })
	for key, r := range o.written {
		if strings.HasPrefix(key, prefix) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

func (o *overlay) Versions(ctx context.Context, key string) ([]Record, error) {
	all, err := o.Storage.Versions(ctx, key)
	if r, ok := o.own(key); ok && (err == nil || errors.Is(err, trustkeep.ErrNotFound)) {
		return append(all, r), nil
	}
	return all, err
}

func (o *overlay) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := CheckPut(key, value); err != nil {
		return 0, err
	}
	now, err := o.Get(ctx, key)
	if err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
		return 0, err
	}
	if now.Revision != expected {
		return 0, &ConflictError{Key: key, Expected: expected, Actual: now.Revision}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	r := Record{Key: key, Value: slices.Clone(value), Revision: overlayRevisions + o.last}
	o.written[key] = r
	return r.Revision, nil
}

func (o *overlay) Delete(context.Context, string, uint64) error {
	return fmt.Errorf("environment: a proposal deletes by signing: %w", trustkeep.ErrUnsupported)
}
