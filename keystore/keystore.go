package keystore

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Keystore holds entries, most of them identities. It is safe for concurrent
// use. It prints as a summary without secrets.
type Keystore struct {
	options Options
	// source is the codec's record of how the store was written.
	source          any
	profile         trustkeep.Profile // last asked for in Save; empty: that of source
	unauthenticated bool

	mu       sync.RWMutex
	format   trustkeep.Format
	password *redact.Secret
	items    []*item
	byAlias  map[string]*item // by entry.Fold
	findings []Finding
	origin   origin
	index    atomic.Pointer[entry.Index] // see issuers
}

// origin is the file that a store was loaded from or saved to.
type origin struct {
	path string
	sum  [32]byte // SHA-256 of its content then
}

// item is one entry of a store.
type item struct {
	e *entry.Entry
	// identity is what was set, or what unlocking yielded.
	identity atomic.Pointer[Identity]
	// password of the key alone; nil where it is the store's. Guarded by
	// Keystore.mu.
	password *redact.Secret
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

// Finding is a remark about a store or one of its entries that did not keep it
// from being opened.
type Finding struct {
	Alias string // empty: about the store
	Code  string // stable, for programs: "unpaired-key"
	Text  string // for people
}

func (o Options) fromStore(store *entry.Store, password *redact.Secret) (*Keystore, error) {
	k := o.New()
	k.format, k.source, k.unauthenticated = store.Format, store.Source, store.Unauthenticated
	k.password = password
	k.items = make([]*item, 0, len(store.Entries))
	k.byAlias = make(map[string]*item, len(store.Entries))
	for _, f := range store.Findings {
		k.findings = append(k.findings, Finding(f))
	}
	for _, e := range store.Entries {
		it := &item{e: e}
		k.items = append(k.items, it)
		folded := entry.Fold(e.Alias)
		if _, taken := k.byAlias[folded]; !taken {
			k.byAlias[folded] = it
		}
		if e.Err != nil {
			k.findings = append(k.findings, Finding{e.Alias, "unusable-entry", e.Err.Error()})
		}
	}
	for alias, source := range o.KeyPasswords {
		it := k.byAlias[entry.Fold(alias)]
		if it == nil || it.e.Key == nil {
			return nil, fmt.Errorf("password for key %q: %w", trustkeep.Printable(alias), trustkeep.ErrNotFound)
		}
		secret, err := reveal(source)
		if err != nil {
			return nil, err
		}
		it.password = secret
	}
	if o.Unlock {
		if err := k.unlockAll(); err != nil {
			return nil, err
		}
	}
	if o.Strict && len(k.findings) > 0 {
		return nil, strictError(store, k.findings)
	}
	return k, nil
}

func strictError(store *entry.Store, findings []Finding) error {
	for _, e := range store.Entries {
		if e.Err != nil {
			return &trustkeep.Error{Op: "strict", Alias: e.Alias, Err: e.Err}
		}
	}
	return &trustkeep.Error{Op: "strict", Alias: findings[0].Alias, Err: fmt.Errorf("%w: %s", trustkeep.ErrCorrupt, findings[0].Text)}
}

// Format is the format that the store was read in and will be saved in.
func (k *Keystore) Format() trustkeep.Format {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.format
}

// Path is the file that the store was loaded from or last saved to, and empty
// where there is none.
func (k *Keystore) Path() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.origin.path
}

// Authenticated reports whether a MAC or digest vouched for the content when
// the store was opened.
func (k *Keystore) Authenticated() bool { return !k.unauthenticated }

// Findings returns what was remarkable about the store as it was read.
func (k *Keystore) Findings() []Finding {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.findings)
}

// Len is the number of entries.
func (k *Keystore) Len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.items)
}

// Aliases returns the aliases of all entries in the order of the store.
func (k *Keystore) Aliases() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	aliases := make([]string, len(k.items))
	for i, it := range k.items {
		aliases[i] = it.e.Alias
	}
	return aliases
}

// Entries describes all entries in the order of the store. No key is unlocked.
func (k *Keystore) Entries() []Entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var certs []*entry.Certificate
	for _, it := range k.items {
		certs = append(certs, it.e.Chain...)
	}
	entry.ParseAll(certs)
	entries := make([]Entry, len(k.items))
	for i, it := range k.items {
		entries[i] = k.describe(it)
	}
	return entries
}

// Entry describes the entry of that alias, or fails with ErrNotFound.
func (k *Keystore) Entry(alias string) (Entry, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	it := k.byAlias[entry.Fold(alias)]
	if it == nil {
		return Entry{}, k.notFound("keystore: entry", alias)
	}
	return k.describe(it), nil
}

// Certificates returns every certificate of the store that can be parsed, in
// the order of the entries, each once. It makes a Keystore a source for
// truststore.FromKeystore.
func (k *Keystore) Certificates() []*x509.Certificate {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var wrapped []*entry.Certificate
	seen := make(map[string]bool)
	for _, it := range k.items {
		for _, c := range it.e.Chain {
			if !seen[string(c.Raw)] {
				seen[string(c.Raw)] = true
				wrapped = append(wrapped, c)
			}
		}
	}
	entry.ParseAll(wrapped)
	certs := make([]*x509.Certificate, 0, len(wrapped))
	for _, w := range wrapped {
		if c, err := w.X509(); err == nil {
			certs = append(certs, c)
		}
	}
	return certs
}

// Close overwrites the passwords that the store holds, as far as Go lets a
// program do that. Identities that were handed out go on working; locked keys
// can no longer be unlocked without IdentityWithPassword, and the store can no
// longer be saved with its own password.
func (k *Keystore) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.password.Wipe()
	k.password = nil
	for _, it := range k.items {
		it.password.Wipe()
		it.password = nil
		if it.e.Key != nil {
			clear(it.e.Key.Opened)
			it.e.Key.Opened = nil
		}
	}
	return nil
}

// String summarises the store without secrets: "pkcs12 keystore, 3 entries".
func (k *Keystore) String() string {
	if k == nil {
		return "keystore <nil>"
	}
	return fmt.Sprintf("%s keystore, %d entries", k.Format(), k.Len())
}

// GoString is String, so that %#v shows no more.
func (k *Keystore) GoString() string { return k.String() }

// LogValue implements slog.LogValuer through String.
func (k *Keystore) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k *Keystore) notFound(op, alias string) error {
	return &trustkeep.Error{Op: op, Path: k.origin.path, Format: string(k.format), Alias: alias,
		Err: trustkeep.ErrNotFound, Hint: k.aliasHint()}
}

// aliasHint names what there is, since a wrong alias is most often a spelling.
func (k *Keystore) aliasHint() string {
	const most = 8
	if len(k.items) == 0 {
		return "the store is empty"
	}
	hint := "the store has "
	for i, it := range k.items[:min(most, len(k.items))] {
		if i > 0 {
			hint += ", "
		}
		hint += `"` + trustkeep.Printable(it.e.Alias) + `"`
	}
	if len(k.items) > most {
		hint += fmt.Sprintf(" and %d more", len(k.items)-most)
	}
	return hint
}

func hintFor(err error, password *redact.Secret) string {
	if errors.Is(err, trustkeep.ErrIncorrectPassword) && password == nil {
		return "no password was given"
	}
	return ""
}
