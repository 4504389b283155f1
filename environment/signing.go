package environment

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// The keys of what vouches for records.
const (
	authorityPrefix = "authority/"
	documentsKey    = "authority/documents" // successors of the Authority that programs are given
	registryIndex   = "authority/registry"
	indexesPrefix   = "authority/indexes/"
	datesPrefix     = "authority/dates/"
	proposalsPrefix = "proposals/"
)

// indexKey is where the index of an environment is; "" is the registry.
func indexKey(environment string) string {
	if environment == "" {
		return registryIndex
	}
	return indexesPrefix + environment
}

func dateKey(environment string) string { return datesPrefix + environment }

// changeOf returns what kind of change a record is one of, and the environment that it is in,
// if it is in one. Atoms write their own records, which nobody trusts: these have no kind.
func changeOf(key string) (kind authority.Kind, environment string, signed bool) {
	part := strings.Split(key, "/")
	switch {
	case key == secretsKey:
		return authority.Secrets, "", true
	case key == ringKey(administrators), strings.HasPrefix(key, ringKey(administrators)+"/"):
		return authority.Secrets, "administrators", true
	case len(part) == 2:
		switch part[0] + "/" {
		case componentsPrefix:
			return authority.Components, "", true
		case connectionsPrefix:
			return authority.Connections, "", true
		case processesPrefix:
			return authority.Processes, "", true
		case partnersPrefix:
			return authority.Partners, "", true
		case environmentPrefix:
			return authority.Deployments, part[1], true
		}
	case len(part) > 2 && part[0]+"/" == environmentPrefix:
		switch part[2] {
		case "processes":
			return authority.Deployments, part[1], true
		case "secrets":
			return authority.Secrets, part[1], true
		}
	}
	return "", "", false
}

// ledger is a Storage whose records are signed: it signs what is written, verifies what is
// read, and keeps the indexes. Watch is that of the storage: see gate.
type ledger struct {
	inner     Storage
	o         *Options
	r         *Registry
	signer    crypto.Signer     // nil for a program that only reads
	who       string            // ID of its key
	proposing bool              // writes go to an overlay, and no index is made
	bases     map[string]*state // what proposed records follow from, by key

	mu        sync.Mutex
	authority *authority.Authority // the newest that was seen
	seen      map[string]*vouched  // the newest indexes that were seen, by environment
	last      *view                // what was read last, so as to verify once
}

// vouched is an index as the storage has it.
type vouched struct {
	signed *authority.Signed[authority.Index]
	text   []byte
}

func (i *vouched) statement() authority.Index {
	if i == nil {
		return authority.Index{}
	}
	return i.signed.Statement()
}

func newLedger(storage Storage, r *Registry) (*ledger, error) {
	l := &ledger{inner: storage, r: r, o: &r.o, authority: r.o.Authority, seen: make(map[string]*vouched)}
	if r.o.Signer == nil {
		return l, nil
	}
	key, err := authority.NewPublicKey(r.o.Signer.Public())
	if err != nil {
		return nil, err
	}
	l.signer, l.who = r.o.Signer, key.ID()
	return l, nil
}

// String names the options without the signer, whose key package fmt would print.
func (o Options) String() string {
	text := "environment.Options"
	if o.Authority != nil {
		text += " of registry " + trustkeep.Printable(o.Authority.Registry())
	}
	return text
}

// String says whether the registry is signed, and under which Authority.
func (r *Registry) String() string {
	l, ok := r.storage.(*ledger)
	if !ok {
		return "registry that is not signed: whoever can write to the storage decides what is trusted"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("registry %s, signed, authority %d", trustkeep.Printable(l.authority.Registry()), l.authority.Number())
}

// Format implements fmt.Formatter as String.
func (r *Registry) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// String names the atom, its environment, and says whether it applies signed states alone.
func (a *Atom) String() string {
	text := "atom " + a.id + " of environment " + a.env
	if a.gate == nil {
		return text + ", not signed: whoever can write to the storage decides what is trusted"
	}
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	text += fmt.Sprintf(", signed, authority %d", a.gate.authority.Number())
	if a.gate.index != nil {
		text += fmt.Sprintf(", index %d", a.gate.index.statement().Number)
	}
	return text
}

// Format implements fmt.Formatter as String.
func (a *Atom) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// Format implements fmt.Formatter as String.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, o.String()) }

// LogValue implements slog.LogValuer as String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText implements encoding.TextMarshaler as String.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Get implements Storage.
func (l *ledger) Get(ctx context.Context, key string) (Record, error) {
	if _, _, signed := changeOf(key); !signed {
		return l.inner.Get(ctx, key)
	}
	// First what vouches for records, since records are written before it: what is read
	// then is at least as new.
	c, err := l.control(ctx)
	if err != nil {
		return Record{}, err
	}
	raw, err := l.inner.Get(ctx, key)
	if errors.Is(err, trustkeep.ErrNotFound) {
		return Record{}, c.absent(key, err)
	}
	if err != nil {
		return Record{}, err
	}
	s := c.examine(ctx, l, raw)
	if s.err == nil && s.deleted() {
		return Record{}, fmt.Errorf("record %s was deleted: %w", key, trustkeep.ErrNotFound)
	}
	if s.err != nil {
		return Record{}, s.err
	}
	return s.record(raw), nil
}

// absent is the error of a record that is not there.
func (c *control) absent(key string, err error) error {
	if e, ok := c.known(key); ok && !e.Deleted {
		return withheld(key, e)
	}
	return cmpOr(c.unread(), err)
}

func withheld(key string, e authority.Entry) error {
	return &authority.Error{Key: key, Code: authority.CodeWithheld, Detail: fmt.Sprintf("number %d is not there", e.Number), Hint: "restore it in the storage"}
}

// List implements Storage.
func (l *ledger) List(ctx context.Context, prefix string) ([]Record, error) {
	c, err := l.control(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.inner.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var out []Record
	there := make(map[string]bool)
	for _, raw := range all {
		if strings.HasPrefix(raw.Key, authorityPrefix) || strings.HasPrefix(raw.Key, proposalsPrefix) {
			continue
		}
		there[raw.Key] = true
		if _, _, signed := changeOf(raw.Key); !signed || raw.Err != nil {
			out = append(out, raw)
			continue
		}
		s := c.examine(ctx, l, raw)
		switch {
		case s.err != nil:
			out = append(out, Record{Key: raw.Key, Revision: raw.Revision, Time: raw.Time, Err: s.err})
		case !s.deleted():
			out = append(out, s.record(raw))
		}
	}
	for key, e := range c.all() {
		if strings.HasPrefix(key, prefix) && !e.Deleted && !there[key] {
			out = append(out, Record{Key: key, Revision: 1, Err: withheld(key, e)})
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return out, c.unread()
}

// Versions implements Storage. The versions that the current one follows from, by digest, are
// vouched for by it. Others, such as those from before signing was switched on, have Err set.
func (l *ledger) Versions(ctx context.Context, key string) ([]Record, error) {
	if _, _, signed := changeOf(key); !signed {
		return l.inner.Versions(ctx, key)
	}
	c, err := l.control(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.inner.Versions(ctx, key)
	if err != nil {
		return nil, err
	}
	out := make([]Record, len(all))
	var wanted authority.Digest
	found := false
	for i, raw := range slices.Backward(all) {
		out[i] = Record{Key: key, Revision: raw.Revision, Time: raw.Time, Deleted: raw.Deleted, Err: raw.Err}
		if raw.Deleted || raw.Err != nil {
			continue
		}
		var s *state
		if !found {
			s = c.examine(ctx, l, raw)
		} else if s = parsed(raw); s.err == nil && s.digest() != wanted {
			s.err = &authority.Error{Key: key, Code: authority.CodeForked, Detail: "the current version does not follow from it"}
		}
		if s.err != nil {
			out[i].Err = s.err
			continue
		}
		found, wanted = true, s.signed.Statement().Previous
		out[i] = s.record(raw)
	}
	return out, nil
}

// Watch implements Storage. What it reports is not verified; Atom looks at it with a gate.
func (l *ledger) Watch(ctx context.Context, paths ...string) (<-chan Update, error) {
	return l.inner.Watch(ctx, paths...)
}

// Put implements Storage.
func (l *ledger) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	return l.PutFiles(ctx, key, value, expected, nil)
}

// PutFiles implements FileStorage, whether or not the storage shows files.
func (l *ledger) PutFiles(ctx context.Context, key string, value []byte, expected uint64, files []File) (uint64, error) {
	return l.change(ctx, key, value, expected, files)
}

// Delete implements Storage: it writes a version that says so.
func (l *ledger) Delete(ctx context.Context, key string, expected uint64) error {
	if _, _, signed := changeOf(key); !signed {
		return l.inner.Delete(ctx, key, expected)
	}
	if expected == 0 {
		return fmt.Errorf("environment: record %s: %w", key, trustkeep.ErrNotFound)
	}
	_, err := l.change(ctx, key, nil, expected, nil)
	return err
}

// write is Put of the storage.
func (l *ledger) write(ctx context.Context, key string, value []byte, expected uint64, files []File) (uint64, error) {
	if shown, ok := l.inner.(FileStorage); ok {
		return shown.PutFiles(ctx, key, value, expected, files)
	}
	return l.inner.Put(ctx, key, value, expected)
}

// state is what a storage has under a key.
type state struct {
	key      string
	signed   *authority.Signed[authority.Record] // nil if there is none to trust
	revision uint64                              // of the storage's current version, whatever that is
	text     []byte
	entry    authority.Entry // in the place of signed, for a deletion that was cleaned up
	err      error           // why the current version is not to be trusted
	verified bool            // its signature was, under the authority of the view
}

func (s *state) record(raw Record) Record {
	return Record{Key: s.key, Revision: raw.Revision, Time: raw.Time, Value: s.signed.Statement().Document}
}

func (s *state) deleted() bool {
	if s.signed == nil {
		return s.entry.Deleted
	}
	return s.signed.Statement().Deleted
}

// vouch is the entry of an index for it; zero where there is nothing to vouch for.
func (s *state) vouch() authority.Entry {
	if s.signed == nil {
		return s.entry
	}
	r := s.signed.Statement()
	return authority.Entry{Key: s.key, Number: r.Number, Digest: s.signed.Digest(), Deleted: r.Deleted}
}

func (s *state) digest() authority.Digest { return s.vouch().Digest }

// parsed reads a record without looking at its signature.
func parsed(raw Record) *state {
	s := &state{key: raw.Key, revision: raw.Revision, text: raw.Value, err: raw.Err}
	if s.err != nil {
		return s
	}
	signed, err := authority.Parse[authority.Record](raw.Value)
	if err != nil {
		s.err = inRecord(raw.Key, err)
		return s
	}
	s.signed = signed
	return s
}

// inRecord says of an error of package authority which record it is about.
func inRecord(key string, err error) error {
	if e, ok := errors.AsType[*authority.Error](err); ok && e.Key == "" {
		own := *e
		own.Key = key
		if own.Code == authority.CodeUnsigned && own.Hint == "" {
			own.Hint = "if it is from before signing, see Registry.PlanSigning"
		}
		return &own
	}
	return fmt.Errorf("environment: record %s: %w", key, err)
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chain is the record of successors of the authority.
type chain struct {
	Documents []json.RawMessage `json:"documents"`
}

// follow goes on from an authority by the successors that the storage has, and returns the
// newest that it could verify.
func follow(a *authority.Authority, text []byte) (*authority.Authority, error) {
	var c chain
	if err := json.Unmarshal(text, &c); err != nil {
		return a, fmt.Errorf("environment: record %s: %w", documentsKey, trustkeep.ErrCorrupt)
	}
	last := uint64(0)
	for _, text := range c.Documents {
		d, err := authority.Parse[authority.Document](text)
		if err != nil {
			return a, inRecord(documentsKey, err)
		}
		n := d.Statement().Number
		last = n
		switch {
		case n < a.Number():
			continue
		case n == a.Number():
			if d.Digest() != a.Digest() {
				return a, &authority.Error{Key: documentsKey, Code: authority.CodeForked, Detail: fmt.Sprintf("another authority of number %d", n)}
			}
			continue
		}
		next, err := a.Follow(text)
		if err != nil {
			return a, inRecord(documentsKey, err)
		}
		a = next
	}
	if last < a.Number() {
		return a, &authority.Error{Key: documentsKey, Code: authority.CodeRolledBack, Detail: fmt.Sprintf("authority %d is known, number %d the last", a.Number(), last)}
	}
	return a, nil
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
		if e := cmpOr(r.Err, err); e != nil {
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

// verify checks the signature of a record, once for each text.
func (l *ledger) verify(c *control, s *state) error {
	if s.verified {
		return nil
	}
	err := c.authority.VerifyRecord(s.signed, s.key)
	s.verified = err == nil
	return err
}

// linked tells whether a record follows from the version that is known, step by step.
func (l *ledger) linked(ctx context.Context, s *state, known authority.Entry) error {
	r := s.signed.Statement()
	gap := &authority.Error{Key: s.key, Code: authority.CodeForked, Detail: fmt.Sprintf("number %d does not follow from number %d", r.Number, known.Number),
		Hint: "Registry.Discard puts back what the index lists"}
	if r.Number == known.Number+1 {
		if r.Previous != known.Digest {
			return gap
		}
		return nil
	}
	versions, err := l.inner.Versions(ctx, s.key)
	if err != nil {
		return err
	}
	by := make(map[authority.Digest]authority.Record)
	for _, raw := range versions {
		if raw.Deleted || raw.Err != nil {
			continue
		}
		if v := parsed(raw); v.err == nil {
			by[v.digest()] = v.signed.Statement()
		}
	}
	at := r
	for at.Number > known.Number+1 {
		before, ok := by[at.Previous]
		if !ok || before.Number != at.Number-1 {
			return gap
		}
		at = before
	}
	if at.Previous != known.Digest {
		return gap
	}
	return nil
}
