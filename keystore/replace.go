package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Replacement is a new chain for an entry, and optionally a new key. It prints without the
// key.
type Replacement struct {
	// Key is the new private key. If nil, the entry keeps its key; a locked key stays locked.
	Key crypto.Signer
	// Chain is stored in the order given. The first certificate must be the key's own. Of a
	// certificate that crypto/x509 refuses, only Raw must be set.
	Chain []*x509.Certificate
	// As is the alias of another entry, which the result replaces; the entry that was read is
	// removed. Use it for a new key that waited for its certificate beside the old one. If
	// empty, the alias stays.
	As string
	// KeepAs keeps the replaced entry under another alias, which must be free. If empty, the
	// replaced entry is removed.
	KeepAs string
}

// String describes the replacement without the key.
func (r Replacement) String() string {
	what := "the chain"
	if r.Key != nil {
		what = "key and chain"
	}
	return fmt.Sprintf("replacement of %s by %d certificates", what, len(r.Chain))
}

// Format prints String for every verb.
func (r Replacement) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// MarshalText returns String, for JSON and XML.
func (r Replacement) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalBinary returns String, for gob.
func (r Replacement) MarshalBinary() ([]byte, error) { return []byte(r.String()), nil }

// LogValue implements slog.LogValuer through String.
func (r Replacement) LogValue() slog.Value { return slog.StringValue(r.String()) }

// AddIdentity stores an identity under a free alias. Saving protects its key with the store's
// password. The error wraps ErrExists if the alias is taken, and ErrInvalid for a nil
// identity.
func (k *Keystore) AddIdentity(alias string, id *Identity) error {
	const op = "keystore: add identity"
	switch {
	case id.isNone():
		return &trustkeep.Error{Op: op, Alias: alias, Err: fmt.Errorf("nil identity: %w", trustkeep.ErrInvalid)}
	case alias == "":
		return &trustkeep.Error{Op: op, Err: fmt.Errorf("no alias: %w", trustkeep.ErrInvalid)}
	}
	named := *id
	named.alias = alias
	return k.exchange(op, nil, []*item{k.newItem(&named, nil)})
}

// Replace gives the private key of an entry another chain, or replaces the key too, if the
// entry has not changed since Entry or Entries returned old. If it fails, nothing changes.
//
// The entry keeps its own password, its attributes, and the names of certificates that stay.
// Saving the store or changing a password in between does not count as a change of the entry;
// renaming it does.
//
// The result is nil if the key is locked; Identity then unlocks it. Replace leaves a locked
// key locked if its entry records the public key and that matches the new certificate.
//
// Errors: ErrConflict if the entry was changed or deleted; ErrKeyMismatch; ErrNotFound if As
// names no entry; ErrExists if KeepAs is taken; ErrIncorrectPassword for a new key in place of
// one whose own password the store does not know, or has wrong in Options.KeyPasswords;
// ErrUnsupported for one whose own password the format cannot keep; ErrInvalid if old is not
// an entry of this store with a private key, for a chain without certificates, and for a nil
// pointer as a key.
func (k *Keystore) Replace(old Entry, r Replacement) (*Identity, error) {
	const op = "keystore: replace"
	if err := r.check(k, old); err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: old.Alias, Err: err}
	}
	for {
		it := k.form(old.item)
		if it == nil {
			return nil, &trustkeep.Error{Op: op, Alias: old.Alias, Err: trustkeep.ErrConflict, Hint: "the entry was changed in the meantime"}
		}
		target, err := k.target(op, it, r.As)
		if err != nil {
			return nil, err
		}
		next, err := k.successor(it, target, r)
		if err != nil {
			return nil, &trustkeep.Error{Op: op, Alias: old.Alias, Err: err}
		}
		id, err := k.settle(op, it, target, next, r.KeepAs)
		if errors.Is(err, trustkeep.ErrConflict) && k.form(old.item) != nil {
			continue // only the protection changed, or the entry of As
		}
		return id, err
	}
}

func (r *Replacement) check(k *Keystore, old Entry) error {
	switch {
	case old.item == nil || old.store != k:
		return fmt.Errorf("the entry was not read from this store: %w", trustkeep.ErrInvalid)
	case old.item.e.Kind != entry.Key:
		return fmt.Errorf("the entry is of kind %s and has no private key: %w", kindOf(old.item.e.Kind), trustkeep.ErrInvalid)
	case !areCertificates(r.Chain):
		return fmt.Errorf("a chain without certificates: %w", trustkeep.ErrInvalid)
	case r.Key != nil && !isKey(r.Key):
		return fmt.Errorf("nil %T as a key: %w", r.Key, trustkeep.ErrInvalid)
	case r.Key != nil && !certpath.Certifies(r.Chain[0], r.Key.Public()):
		return notFirst(r.Chain[0])
	}
	return nil
}

// notFirst explains a chain that does not begin with the key's certificate.
func notFirst(c *x509.Certificate) error {
	return &trustkeep.Error{Op: "compare", Err: mismatch(c), Hint: "the key's own certificate comes first"}
}

// form returns the present form of an entry, nil if it is no longer in the store.
func (k *Keystore) form(root *item) *item {
	for _, it := range k.current().items {
		if it.root() == root {
			return it
		}
	}
	return nil
}

// target returns the item whose alias the replacement of an item gets.
func (k *Keystore) target(op string, it *item, as string) (*item, error) {
	if as == "" {
		return it, nil
	}
	return k.current().find(op, as)
}

// successor makes what takes the place of an item, under the alias of target.
func (k *Keystore) successor(it, target *item, r Replacement) (*item, error) {
	var (
		password *redact.Secret
		format   trustkeep.Format
		err      error
	)
	k.look(func(s *state) {
		format = s.format
		password, err = s.credential(it, nil, false)
	})
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	next := it.variant(func(e *entry.Entry) {
		e.Chain, e.Err, e.Created = rewrap(r.Chain, target.e.Chain, it.e.Chain), nil, k.now()
		if target != it {
			e.Alias, e.Unnamed = target.e.Alias, false
		}
	})
	key := r.Key
	if key == nil {
		if key, err = it.keyFor(r.Chain[0], password.Bytes()); err != nil {
			return nil, err
		}
	} else {
		if err := it.knowsPassword(next.password, password.Bytes(), format); err != nil {
			return nil, err
		}
		next.e.Key, next.e.LocalKeyID, next.set = &entry.PrivateKey{}, nil, true
	}
	if key != nil {
		id, err := identityFrom(next.e.Alias, key, next.e.Chain)
		if err != nil {
			return nil, err
		}
		next.identity.Store(id)
	}
	return next, nil
}

// keyFor returns the key if it is unlocked, and fails with ErrKeyMismatch unless it is
// that of the certificate. What the entry says of a locked key is believed where it
// agrees: whoever unlocks the key compares again.
func (it *item) keyFor(leaf *x509.Certificate, password []byte) (crypto.Signer, error) {
	key := it.signer()
	if key == nil {
		if it.claims(leaf.RawSubjectPublicKeyInfo) {
			return nil, nil
		}
		var err error
		if key, err = openKey(it.e, password, limits.New(it.e.Key.Limits)); err != nil {
			return nil, fmt.Errorf("compare with the certificate: %w", err)
		}
	}
	if !certpath.Certifies(leaf, key.Public()) {
		return nil, notFirst(leaf)
	}
	return key, nil
}

// claims reports whether the entry says that its key has this SubjectPublicKeyInfo.
func (it *item) claims(public []byte) bool {
	if len(it.e.Chain) > 0 {
		o, ok := it.e.Chain[0].Outline()
		return ok && bytes.Equal(o.PublicKey, public)
	}
	return it.e.Key != nil && bytes.Equal(it.e.Key.PublicKeyInfo, public)
}

// knowsPassword fails if a new key would not get the password that the key has, which
// password should be. own is the known password of the key alone.
func (it *item) knowsPassword(own *redact.Secret, password []byte, f trustkeep.Format) error {
	switch {
	case own != nil && !hasKeyPasswords(f):
		return &trustkeep.Error{Op: "new key", Err: fmt.Errorf("a key password of its own in %s: %w", f, trustkeep.ErrUnsupported),
			Hint: "give the key the store's password first, by ChangeKeyPassword"}
	case it.held() || it.e.Key == nil || !it.e.Key.Encrypted || it.e.Key.Unlock == nil:
		return nil
	}
	der, err := it.e.Key.Open(password)
	clear(der)
	switch {
	case !errors.Is(err, trustkeep.ErrIncorrectPassword):
	case own != nil:
		return &trustkeep.Error{Op: "new key", Err: err, Hint: "that of Options.KeyPasswords does not open the old key"}
	default:
		return &trustkeep.Error{Op: "new key", Err: fmt.Errorf("the key has a password of its own: %w", err),
			Hint: "give it in Options.KeyPasswords"}
	}
	return nil // a key that cannot be opened at all has nothing to keep
}

// rewrap wraps certificates. Those that were in one of the chains before keep what the
// store says about them, and the key's own certificate the name of the first before.
func rewrap(chain []*x509.Certificate, before ...[]*entry.Certificate) []*entry.Certificate {
	known := slices.Concat(before...)
	wrapped := make([]*entry.Certificate, len(chain))
	for i, c := range chain {
		if at := slices.IndexFunc(known, func(b *entry.Certificate) bool { return bytes.Equal(b.Raw, c.Raw) }); at >= 0 {
			wrapped[i] = known[at]
			continue
		}
		wrapped[i] = entry.FromX509(c)
		if i == 0 && len(before[0]) > 0 {
			wrapped[i].Label = before[0][0].Label
		}
	}
	return wrapped
}

// settle puts next, the successor of it, in the place of target.
func (k *Keystore) settle(op string, it, target, next *item, keepAs string) (*Identity, error) {
	removed, added := []*item{target}, []*item{next}
	if target != it {
		removed = append(removed, it)
	}
	if keepAs != "" {
		added = append(added, target.renamed(keepAs))
	}
	if err := k.exchange(op, removed, added); err != nil {
		return nil, err
	}
	return next.identity.Load(), nil
}

// renamed returns a copy of the item under another alias.
func (it *item) renamed(alias string) *item {
	next := it.variant(func(e *entry.Entry) { e.Alias, e.Unnamed = alias, false })
	if id := it.identity.Load(); id != nil {
		named := *id
		named.alias = alias
		next.identity.Store(&named)
	}
	return next
}
