package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Add trusts a certificate under an alias. An empty alias is made of the
// subject: its common name, else its organisation, in lower case with hyphens
// for all but letters and digits, followed by the first 8 hex digits of the
// certificate's SHA-256 where that name is taken.
//
// It fails with trustkeep.ErrExists when the alias is taken, case not counting,
// by this or another certificate, and with trustkeep.ErrInvalid for a nil certificate.
// The same certificate may have two aliases.
func (t *Truststore) Add(alias string, cert *x509.Certificate) error {
	return t.edit("add", alias, func(b *editor) error {
		if err := parsed(cert); err != nil {
			return err
		}
		if alias == "" {
			alias = b.freeAlias(cert)
		} else if b.old.find(alias) != nil {
			return trustkeep.ErrExists
		}
		b.add(alias, cert, t.now())
		return nil
	})
}

// Replace puts another certificate in the place of the one that has the alias,
// which keeps its spelling. It fails with trustkeep.ErrNotFound.
func (t *Truststore) Replace(alias string, cert *x509.Certificate) error {
	return t.edit("replace", alias, func(b *editor) error {
		if err := parsed(cert); err != nil {
			return err
		}
		old := b.old.find(alias)
		if old == nil || old.Kind != entry.Trusted {
			return trustkeep.ErrNotFound
		}
		b.entries[slices.Index(b.entries, old)] = newEntry(old.Alias, cert, t.now())
		return nil
	})
}

// Remove ends the trust in the certificate of that alias. It fails with
// trustkeep.ErrNotFound. The certificate stays trusted where it is in the store
// under a second alias; see RemoveCertificate.
func (t *Truststore) Remove(alias string) error {
	return t.edit("remove", alias, func(b *editor) error {
		old := b.old.find(alias)
		if old == nil || old.Kind != entry.Trusted {
			return trustkeep.ErrNotFound
		}
		b.entries = slices.Delete(b.entries, slices.Index(b.entries, old), slices.Index(b.entries, old)+1)
		b.dropScope(old.Alias)
		return nil
	})
}

// RemoveCertificate ends the trust in a certificate under all its aliases. It
// fails with trustkeep.ErrNotFound.
func (t *Truststore) RemoveCertificate(cert *x509.Certificate) error {
	return t.edit("remove", "", func(b *editor) error {
		if err := parsed(cert); err != nil {
			return err
		}
		n := len(b.entries)
		b.entries = slices.DeleteFunc(b.entries, func(e *entry.Entry) bool {
			if holds(e, cert) {
				b.dropScope(e.Alias)
				return true
			}
			return false
		})
		if len(b.entries) == n {
			return trustkeep.ErrNotFound
		}
		return nil
	})
}

// Set trusts these certificates in place of all that the store trusts, in one step: no
// handshake sees a part of the change. Certificates that stay keep their aliases and
// scopes; others get an alias as in New, and no scope. Nothing happens where the certificates are
// what the store has, in this order. It fails with trustkeep.ErrInvalid on a nil store.
func (t *Truststore) Set(certs ...*x509.Certificate) error {
	if t == nil {
		return errNil("set")
	}
	release, err := t.turns.Take()
	if err != nil {
		return err
	}
	defer release()
	old := t.current()
	had := make(map[fingerprint][]*entry.Entry)
	for _, e := range old.entries {
		if c := trusted(e); c != nil {
			sum := sha256.Sum256(c.Raw)
			had[sum] = append(had[sum], e)
		}
	}
	b := newEditor(old)
	b.entries, b.aliases, b.certs = nil, make(map[string]bool), make(map[[32]byte]bool)
	stays := make(map[string]bool) // aliases, by entry.Fold
	for _, c := range certs {
		if c != nil {
			for _, e := range had[sha256.Sum256(c.Raw)] {
				stays[entry.Fold(e.Alias)], b.aliases[entry.Fold(e.Alias)] = true, true
			}
		}
	}
	for _, c := range certs {
		if c == nil || b.has(c) {
			continue
		}
		sum := sha256.Sum256(c.Raw)
		if kept := had[sum]; len(kept) > 0 {
			b.entries, b.certs[sum] = append(b.entries, kept...), true
			continue
		}
		b.add(b.freeAlias(c), c, time.Time{})
	}
	for folded := range b.scopes {
		if !stays[folded] {
			b.dropScope(folded)
		}
	}
	next := b.state(old.snapshot.generation + 1)
	if slices.EqualFunc(next.snapshot.certs, old.snapshot.certs, (*x509.Certificate).Equal) {
		return nil
	}
	t.advance(old, next)
	return nil
}

// edit makes the next generation of the store, unless change fails.
func (t *Truststore) edit(op, alias string, change func(*editor) error) error {
	if t == nil {
		return errNil(op)
	}
	release, err := t.turns.Take()
	if err != nil {
		return err
	}
	defer release()
	old := t.current()
	b := newEditor(old)
	if err := change(b); err != nil {
		return &trustkeep.Error{Op: "truststore: " + op, Path: old.origin.file.Path(), Alias: alias, Err: err}
	}
	t.advance(old, b.state(old.snapshot.generation+1))
	return nil
}

// parsed refuses a certificate that the caller has made up.
func parsed(c *x509.Certificate) error {
	if c == nil || len(c.Raw) == 0 {
		return fmt.Errorf("certificates come from x509.ParseCertificate: %w", trustkeep.ErrInvalid)
	}
	return nil
}

func (t *Truststore) now() time.Time {
	if t.clock != nil {
		return t.clock()
	}
	return time.Now()
}

// editor makes a state out of another.
type editor struct {
	old     *state
	entries []*entry.Entry
	scopes  map[string]Scope // by entry.Fold of the alias; copied before it is changed
	aliases map[string]bool  // of entries, by entry.Fold; nil until needed
	certs   map[[32]byte]bool
}

func newEditor(old *state) *editor {
	return &editor{old: old, entries: slices.Clone(old.entries), scopes: old.scopes}
}

func (b *editor) state(generation uint64) *state {
	s := &state{entries: b.entries, scopes: b.scopes, findings: b.old.findings, origin: b.old.origin}
	s.snapshot = newSnapshot(generation, trustedOf(b.entries), b.old.snapshot.platform)
	s.snapshot.scopes = scopesOf(b.entries, b.scopes)
	return s
}

func trustedOf(entries []*entry.Entry) []*x509.Certificate {
	certs := make([]*x509.Certificate, 0, len(entries))
	for _, e := range entries {
		if c := trusted(e); c != nil {
			certs = append(certs, c)
		}
	}
	return certs
}

func newEntry(alias string, c *x509.Certificate, created time.Time) *entry.Entry {
	return &entry.Entry{
		Alias: alias, Kind: entry.Trusted, Marked: true, Created: created,
		Chain: []*entry.Certificate{entry.FromX509(c)},
	}
}

// dropScope keeps a scope from applying to whatever gets the alias next.
func (b *editor) dropScope(alias string) {
	if _, ok := b.scopes[entry.Fold(alias)]; ok {
		b.scopes = cloneScopes(b.scopes)
		delete(b.scopes, entry.Fold(alias))
	}
}

func (b *editor) add(alias string, c *x509.Certificate, created time.Time) {
	b.entries = append(b.entries, newEntry(alias, c, created))
	if b.aliases != nil {
		b.aliases[entry.Fold(alias)] = true
	}
	if b.certs != nil {
		b.certs[sha256.Sum256(c.Raw)] = true
	}
}

func (b *editor) has(c *x509.Certificate) bool {
	if b.certs == nil {
		b.certs = make(map[[32]byte]bool)
		for _, have := range trustedOf(b.entries) {
			b.certs[sha256.Sum256(have.Raw)] = true
		}
	}
	return b.certs[sha256.Sum256(c.Raw)]
}

func (b *editor) taken(alias string) bool {
	if b.aliases == nil {
		b.aliases = make(map[string]bool, len(b.entries))
		for _, e := range b.entries {
			b.aliases[entry.Fold(e.Alias)] = true
		}
	}
	return b.aliases[entry.Fold(alias)]
}

// freeAlias names a certificate that came without a name; the rule is in the
// documentation of Add.
func (b *editor) freeAlias(c *x509.Certificate) string {
	base := slug(c)
	if !b.taken(base) {
		return base
	}
	sum := sha256.Sum256(c.Raw)
	alias := base + "-" + hex.EncodeToString(sum[:4])
	for n := 2; b.taken(alias); n++ {
		alias = fmt.Sprintf("%s-%x-%d", base, sum[:4], n)
	}
	return alias
}

// maxSlug keeps aliases short enough to type.
const maxSlug = 64

func slug(c *x509.Certificate) string {
	name := c.Subject.CommonName
	if name == "" && len(c.Subject.Organization) > 0 {
		name = c.Subject.Organization[0]
	}
	var out strings.Builder
	gap := false
	for _, r := range strings.ToLower(name) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) || r == unicode.ReplacementChar {
			gap = out.Len() > 0
			continue
		}
		if out.Len() >= maxSlug {
			break
		}
		if gap {
			out.WriteByte('-')
			gap = false
		}
		out.WriteRune(r)
	}
	if out.Len() == 0 {
		return "certificate"
	}
	return out.String()
}

func holds(e *entry.Entry, c *x509.Certificate) bool {
	return e.Kind == entry.Trusted && len(e.Chain) == 1 && string(e.Chain[0].Raw) == string(c.Raw)
}
