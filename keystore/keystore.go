package keystore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Keystore holds entries, most of them identities. It is safe for concurrent use: readers work
// on immutable states and do not wait for writers; each edit and each save makes a new state
// in one step. It prints as a summary without secrets. The zero Keystore is empty and is
// written as PKCS#12.
type Keystore struct {
	options Options
	turns   storefile.Turns // of writers
	state   atomic.Pointer[state]
	// secrets is locked while passwords that were replaced are wiped, and locked for
	// reading while passwords are copied or compared.
	secrets sync.RWMutex
}

func (o Options) fromStore(store *entry.Store, password *redact.Secret, reading *limits.Budget) (k *Keystore, err error) {
	items := make([]*item, len(store.Entries))
	defer func() {
		for _, it := range items {
			if it.e.Key != nil {
				clear(it.e.Key.Opened)
				it.e.Key.Opened = nil
			}
			if err != nil {
				it.password.Wipe()
			}
		}
	}()
	for i, e := range store.Entries {
		items[i] = &item{e: e}
	}
	s := (&state{format: store.Format, source: store.Source, unauthenticated: store.Unauthenticated, password: password,
		limits: o.Limits, reading: reading}).with(items)
	s.inClear = password == nil && s.format == trustkeep.PEM && slices.ContainsFunc(items, (*item).plain)
	for _, f := range store.Findings {
		s.findings = append(s.findings, finding(f))
	}
	for _, e := range store.Entries {
		if e.Err != nil {
			s.findings = append(s.findings, unusable(CodeUnusableEntry, e.Alias, e.Err))
		}
	}
	for alias, source := range o.KeyPasswords {
		it := s.byAlias[entry.Fold(alias)]
		if it == nil || it.e.Key == nil {
			return nil, fmt.Errorf("password for key %q: %w", trustkeep.Printable(alias), trustkeep.ErrNotFound)
		}
		if it.password != nil {
			return nil, fmt.Errorf("two passwords for key %q: %w", trustkeep.Printable(it.e.Alias), trustkeep.ErrInvalid)
		}
		if it.password, err = storefile.Reveal(source); err != nil {
			return nil, err
		}
	}
	if o.Unlock {
		if err := s.unlockAll(reading); err != nil {
			return nil, err
		}
	}
	if o.Strict {
		if found := append(s.findings, refuseCertificates(items)...); len(found) > 0 {
			return nil, strictError(found)
		}
	}
	k = o.New()
	k.state.Store(s)
	return k, nil
}

// Format returns the format that the store was read in and is saved in.
func (k *Keystore) Format() trustkeep.Format { return k.current().format }

// Path returns the file that the store was loaded from or last saved to. It is empty for a
// store without a file.
func (k *Keystore) Path() string { return k.current().file.Path() }

// Authenticated reports whether a MAC or digest vouched for the content when the store was
// opened.
func (k *Keystore) Authenticated() bool { return !k.current().unauthenticated }

// Findings returns remarks about the store as it was read, none of which kept it from being
// opened. Besides the codes with a constant, such as CodeUnchecked, they are:
//
//   - "weak-mac" (warning): the MAC of the file can be forged.
//   - "unusable-key" (warning): a private key was decrypted and cannot be used.
//   - "unpaired-key" (note): no certificate of a PEM file belongs to the key.
//   - "rejected-certificate" (note): an OpenSSL file rejects the certificate for some use,
//     so it does not count as trusted.
//   - "limited-trust" (note): an OpenSSL file trusts the certificate for some uses only.
//     The restriction is kept but not enforced.
//   - "stray-line" (note): a BEGIN or END line belongs to no PEM block.
//   - "invalid-name" (note): the name of an entry is unreadable; it got another.
//   - "duplicate-alias" (note): two entries have the same alias; one got another.
func (k *Keystore) Findings() []trustkeep.Finding { return slices.Clone(k.current().findings) }

// Len returns the number of entries.
func (k *Keystore) Len() int { return len(k.current().items) }

// Aliases returns the aliases of all entries in the order of the store.
func (k *Keystore) Aliases() []string {
	items := k.current().items
	aliases := make([]string, len(items))
	for i, it := range items {
		aliases[i] = it.e.Alias
	}
	return aliases
}

// Entries describes all entries in the order of the store. It unlocks no key.
func (k *Keystore) Entries() []Entry {
	var certs []*entry.Certificate
	for _, it := range k.current().items {
		certs = append(certs, it.e.Chain...)
	}
	entry.ParseAll(certs)
	var entries []Entry
	k.look(func(s *state) {
		entries = make([]Entry, len(s.items))
		for i, it := range s.items {
			entries[i] = s.describe(k, it)
		}
	})
	return entries
}

// Entry describes the entry with an alias. It unlocks no key. The error wraps ErrNotFound.
func (k *Keystore) Entry(alias string) (e Entry, err error) {
	k.look(func(s *state) {
		var it *item
		if it, err = s.find("keystore: entry", alias); err == nil {
			e = s.describe(k, it)
		}
	})
	return e, err
}

// Certificates returns every certificate of the store that can be parsed, in the order of the
// entries, without duplicates. A Keystore is therefore a source for truststore.FromKeystore.
func (k *Keystore) Certificates() []*x509.Certificate {
	var wrapped []*entry.Certificate
	seen := make(map[string]bool)
	for _, it := range k.current().items {
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

// Close overwrites the passwords that the store holds, as far as Go allows. Identities that
// were returned keep working. Afterwards a locked key can be unlocked only with
// IdentityWithPassword, and saving needs SaveOptions.Password. IdentityWithPassword then
// refuses keys that were set, or that a save has unlocked, because no password is left to
// compare with. The error is always nil.
func (k *Keystore) Close() error {
	return k.edit(func(s *state) (*state, error) {
		items := make([]*item, len(s.items))
		for i, it := range s.items {
			items[i] = it.again()
			items[i].password = nil
		}
		next := s.with(items)
		next.password, next.closed = nil, true
		return next, nil
	})
}

// String summarises the store without secrets: "pkcs12 keystore, 3 entries".
func (k *Keystore) String() string {
	if k == nil {
		return "keystore <nil>"
	}
	s := k.current()
	return fmt.Sprintf("%s keystore, %d entries", s.format, len(s.items))
}

// GoString returns String, for %#v.
func (k *Keystore) GoString() string { return k.String() }

// LogValue implements slog.LogValuer through String.
func (k *Keystore) LogValue() slog.Value { return slog.StringValue(k.String()) }

func hintFor(err error, password *redact.Secret) string {
	if errors.Is(err, trustkeep.ErrIncorrectPassword) && password == nil {
		return "no password was given"
	}
	return ""
}

// keyHint is hintFor a key.
func keyHint(err error, password *redact.Secret) string {
	if errors.Is(err, trustkeep.ErrIncorrectPassword) && password != nil {
		return "the key may have a password of its own"
	}
	return hintFor(err, password)
}
