package environment

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
