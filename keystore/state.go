package keystore

import (
	"crypto"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// state is a store at one moment. It does not change, except that Keystore.publish wipes
// passwords that the next state no longer has.
type state struct {
	format trustkeep.Format
	// source is the codec's record of how the store was written.
	source          any
	profile         trustkeep.Profile // last asked for in Save; empty: that of source
	unauthenticated bool
	// inClear: the store was read without a password from a PEM file with keys in the
	// clear, or saved with NoPassword. Only then may more keys be written that way
	// without NoPassword.
	inClear bool
	closed  bool
	// password, and those of items, are read under Keystore.secrets.
	password *redact.Secret
	items    []*item
	byAlias  map[string]*item // by entry.Fold
	findings []trustkeep.Finding
	file     storefile.Origin
	// limits are those that the store was read with, and reading what reading has left of
	// them.
	limits  trustkeep.Limits
	reading *limits.Budget
	index   atomic.Pointer[entry.Index] // see issuers
}

// item is one entry of a store. It does not change; what is kept in it is what
// unlocking has yielded.
type item struct {
	e *entry.Entry
	// identity is what was set, or what unlocking yielded.
	identity atomic.Pointer[Identity]
	// password of the key alone; nil where it is the store's or not known.
	password *redact.Secret
	// own: the key was found to have a password that is not the store's.
	own atomic.Bool
	// set: the key comes from SetIdentity and not from what was read.
	set bool
	// was is the item of which this one is another form: the same key, chain and alias
	// under another protection. Nil for the first form.
	was *item
	// key is what Signer unlocked; see root.
	key atomic.Pointer[crypto.Signer]
}

// root returns the first form of the item, which stands for the entry while only its
// protection changes.
func (it *item) root() *item {
	if it.was != nil {
		return it.was
	}
	return it
}

// again returns another form of the item.
func (it *item) again() *item {
	next := it.variant(func(*entry.Entry) {})
	next.was = it.root()
	next.identity.Store(it.identity.Load())
	return next
}

// variant returns a copy of the item whose entry change has worked on. The key
// stays as it is stored.
func (it *item) variant(change func(*entry.Entry)) *item {
	e := *it.e
	change(&e)
	next := &item{e: &e, password: it.password, set: it.set}
	next.own.Store(it.own.Load())
	return next
}

// current returns the current state, for the zero Keystore too.
func (k *Keystore) current() *state {
	if s := k.state.Load(); s != nil {
		return s
	}
	k.state.CompareAndSwap(nil, &state{format: trustkeep.PKCS12, limits: k.options.Limits})
	return k.state.Load()
}

// look calls f with the current state, of which no password is wiped meanwhile. f copies
// or compares passwords and does nothing that takes time.
func (k *Keystore) look(f func(*state)) {
	k.secrets.RLock()
	defer k.secrets.RUnlock()
	f(k.current())
}

// edit puts in force what change makes of the current state, unless it fails. Writers
// take turns.
func (k *Keystore) edit(change func(*state) (*state, error)) error {
	release, err := k.turns.Take()
	if err != nil {
		return err
	}
	defer release()
	next, err := change(k.current())
	if err == nil {
		k.publish(next)
	}
	return err
}

// publish puts a state in force and wipes the passwords that are gone with the one
// before. It is the caller's turn.
func (k *Keystore) publish(next *state) {
	k.secrets.Lock()
	defer k.secrets.Unlock()
	old := k.current()
	k.state.Store(next)
	kept := map[*redact.Secret]bool{next.password: true}
	for _, it := range next.items {
		if it.password != nil {
			kept[it.password] = true
		}
	}
	if !kept[old.password] {
		old.password.Wipe()
	}
	for _, it := range old.items {
		if it.password != nil && !kept[it.password] {
			it.password.Wipe()
		}
	}
}

// copy returns the same state, to be changed before it is published.
func (s *state) copy() *state {
	next := &state{
		format: s.format, source: s.source, profile: s.profile, unauthenticated: s.unauthenticated, inClear: s.inClear, closed: s.closed,
		password: s.password, items: s.items, byAlias: s.byAlias, findings: s.findings, file: s.file,
		limits: s.limits, reading: s.reading,
	}
	next.index.Store(s.index.Load())
	return next
}

// with returns the same state with other entries.
func (s *state) with(items []*item) *state {
	next := s.copy()
	next.index.Store(nil)
	next.items = items
	next.byAlias = make(map[string]*item, len(items))
	for _, it := range items {
		if folded := entry.Fold(it.e.Alias); next.byAlias[folded] == nil {
			next.byAlias[folded] = it
		}
	}
	return next
}

// find returns the entry of that alias, or fails with ErrNotFound.
func (s *state) find(op, alias string) (*item, error) {
	if it := s.byAlias[entry.Fold(alias)]; it != nil {
		return it, nil
	}
	return nil, s.fail(op, alias, trustkeep.ErrNotFound, s.aliasHint())
}

// findKey returns the entry of that alias if it is a private key's. An empty alias
// stands for the only one.
func (s *state) findKey(op, alias string) (*item, error) {
	if alias == "" && s.byAlias[""] == nil {
		return s.onlyKey(op)
	}
	it, err := s.find(op, alias)
	if err != nil {
		return nil, err
	}
	if it.e.Kind != entry.Key {
		return nil, s.fail(op, alias, fmt.Errorf("the entry is of kind %s and has no private key: %w", kindOf(it.e.Kind), trustkeep.ErrNotFound), "")
	}
	return it, nil
}

func (s *state) onlyKey(op string) (*item, error) {
	var only *item
	for _, it := range s.items {
		if it.e.Kind != entry.Key {
			continue
		}
		if only != nil {
			return nil, s.fail(op, "", fmt.Errorf("several private keys and no alias: %w", trustkeep.ErrNotFound), s.aliasHint())
		}
		only = it
	}
	if only == nil {
		return nil, s.fail(op, "", fmt.Errorf("no private key: %w", trustkeep.ErrNotFound), s.aliasHint())
	}
	return only, nil
}

// fail describes a failure with an entry, or with the store if alias is empty.
func (s *state) fail(op, alias string, err error, hint string) error {
	return &trustkeep.Error{Op: op, Path: s.file.Path(), Format: string(s.format), Alias: alias, Err: err, Hint: hint}
}

// aliasHint names what there is, since a wrong alias is most often a spelling.
func (s *state) aliasHint() string {
	const most = 8
	if len(s.items) == 0 {
		return "the store is empty"
	}
	hint := "the store has "
	for i, it := range s.items[:min(most, len(s.items))] {
		if i > 0 {
			hint += ", "
		}
		hint += `"` + trustkeep.Printable(it.e.Alias) + `"`
	}
	if len(s.items) > most {
		hint += fmt.Sprintf(" and %d more", len(s.items)-most)
	}
	return hint
}

// passwordOf is the password that the key of an entry is protected by, as far as it is
// known.
func (s *state) passwordOf(it *item) *redact.Secret {
	if it.password != nil {
		return it.password
	}
	return s.password
}

// ownPassword reports whether the key is known to have a password that is not the
// store's. The caller holds Keystore.secrets.
func (s *state) ownPassword(it *item) bool {
	if it.password != nil {
		return !same(it.password, s.password)
	}
	return it.own.Load()
}

// credential returns a copy of the password that opens the key of an entry: the one that
// is given if explicit, else the one that the store knows. It fails with
// ErrIncorrectPassword if the password is wrong and opening the key would not tell. The
// caller holds Keystore.secrets.
func (s *state) credential(it *item, given *redact.Secret, explicit bool) (*redact.Secret, error) {
	switch {
	case explicit && it.held():
		// In memory in the clear, so the password is compared.
		if s.closed || !same(s.passwordOf(it), given) {
			return nil, trustkeep.ErrIncorrectPassword
		}
	case explicit:
	case it.password != nil:
		given, explicit = it.password, true
	default:
		given = s.password
	}
	if explicit && given != nil && it.plain() && (s.unauthenticated || !same(s.password, given)) {
		return nil, fmt.Errorf("a password for a key that has none: %w", trustkeep.ErrIncorrectPassword)
	}
	return redact.NewSecret(given.Bytes()), nil
}

// held reports whether the key is in memory in the clear, so that opening it
// proves no password.
func (it *item) held() bool { return it.set || it.e.Key != nil && it.e.Key.Protected == nil }

// plain reports whether the file that the key was read from holds it in the clear.
func (it *item) plain() bool { return !it.held() && it.e.Key != nil && !it.e.Key.Encrypted }

// learn notes what opening a key with a password, which differs from the store's or not,
// says about the key's own.
func (it *item) learn(differs bool, err error) {
	switch {
	case err == nil:
		it.own.Store(differs)
	case !differs && errors.Is(err, trustkeep.ErrIncorrectPassword):
		it.own.Store(true)
	}
}
