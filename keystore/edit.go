package keystore

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// SetIdentity stores an identity under an alias and replaces the entry with exactly that
// alias. Saving protects its key with the store's password. The error wraps ErrExists if the
// alias of another entry differs only in case, and ErrInvalid for a nil identity.
func (k *Keystore) SetIdentity(alias string, id *Identity) error {
	return k.setIdentity(alias, id, nil)
}

// SetIdentityWithPassword is SetIdentity with a password for this key alone. JKS, JCEKS,
// BouncyCastle's formats and PEM support that. PKCS#12 does not (ErrUnsupported), since its
// consumers expect the store's password. A nil or empty password is ErrInvalid.
func (k *Keystore) SetIdentityWithPassword(alias string, id *Identity, password trustkeep.PasswordSource) error {
	secret, err := storefile.Reveal(password)
	if err == nil && secret == nil {
		err = fmt.Errorf("key without a password: %w", trustkeep.ErrInvalid)
	}
	if err == nil && len(secret.Bytes()) == 0 {
		err = errEmptyPassword()
	}
	if err == nil && !hasKeyPasswords(k.Format()) {
		err = fmt.Errorf("a key password of its own in %s: %w", k.Format(), trustkeep.ErrUnsupported)
	}
	if err != nil {
		err = &trustkeep.Error{Op: "keystore: set identity", Alias: alias, Err: err}
	} else {
		err = k.setIdentity(alias, id, secret)
	}
	if err != nil {
		secret.Wipe()
	}
	return err
}

func (k *Keystore) setIdentity(alias string, id *Identity, password *redact.Secret) error {
	const op = "keystore: set identity"
	if id.isNone() {
		return &trustkeep.Error{Op: op, Alias: alias, Err: fmt.Errorf("nil identity: %w", trustkeep.ErrInvalid)}
	}
	named := *id
	named.alias = alias
	it := k.newItem(&named, password)
	return k.put(op, it)
}

// SetTrusted stores a certificate under an alias as a trusted entry and replaces the entry
// with exactly that alias. The error wraps ErrExists if the alias of another entry differs
// only in case.
func (k *Keystore) SetTrusted(alias string, cert *x509.Certificate) error {
	const op = "keystore: set trusted"
	if !areCertificates([]*x509.Certificate{cert}) {
		return &trustkeep.Error{Op: op, Alias: alias, Err: fmt.Errorf("nil certificate: %w", trustkeep.ErrInvalid)}
	}
	return k.put(op, &item{e: &entry.Entry{Alias: alias, Kind: entry.Trusted, Marked: true, Chain: []*entry.Certificate{entry.FromX509(cert)}}})
}

func (k *Keystore) put(op string, it *item) error {
	if it.e.Alias == "" {
		return &trustkeep.Error{Op: op, Err: fmt.Errorf("no alias: %w", trustkeep.ErrInvalid)}
	}
	it.e.Created = k.now()
	return k.edit(func(s *state) (*state, error) {
		folded := entry.Fold(it.e.Alias)
		old := s.byAlias[folded]
		if old != nil && old.e.Alias != it.e.Alias {
			return nil, exists(op, it.e.Alias, old.e.Alias)
		}
		next := s.copy()
		next.index.Store(nil)
		if next.byAlias = maps.Clone(s.byAlias); next.byAlias == nil {
			next.byAlias = make(map[string]*item)
		}
		next.byAlias[folded] = it
		if old == nil {
			next.items = append(s.items[:len(s.items):len(s.items)], it)
			return next, nil
		}
		next.items = slices.Clone(s.items)
		next.items[slices.Index(next.items, old)] = it
		return next, nil
	})
}

func exists(op, alias, other string) error {
	return &trustkeep.Error{Op: op, Alias: alias, Err: trustkeep.ErrExists,
		Hint: fmt.Sprintf("aliases are compared without regard to case, and there is %q", trustkeep.Printable(other))}
}

// Rename gives an entry another alias, which may differ only in spelling. The error wraps
// ErrNotFound, or ErrExists if the new alias is taken.
func (k *Keystore) Rename(from, to string) error {
	const op = "keystore: rename"
	if to == "" {
		return &trustkeep.Error{Op: op, Alias: from, Err: fmt.Errorf("no new alias: %w", trustkeep.ErrInvalid)}
	}
	return k.edit(func(s *state) (*state, error) {
		it, err := s.find(op, from)
		if err != nil {
			return nil, err
		}
		if other := s.byAlias[entry.Fold(to)]; other != nil && other != it {
			return nil, exists(op, to, other.e.Alias)
		}
		items := slices.Clone(s.items)
		items[slices.Index(items, it)] = it.renamed(to)
		return s.with(items), nil
	})
}

// Delete removes an entry. The error wraps ErrNotFound.
func (k *Keystore) Delete(alias string) error {
	return k.edit(func(s *state) (*state, error) {
		it, err := s.find("keystore: delete", alias)
		if err != nil {
			return nil, err
		}
		i := slices.Index(s.items, it)
		return s.with(slices.Delete(slices.Clone(s.items), i, i+1)), nil
	})
}

func (k *Keystore) now() time.Time {
	if k.options.Clock != nil {
		return k.options.Clock()
	}
	return time.Now()
}

// hasKeyPasswords reports whether a format lets each key have a password of
// its own and its consumers expect that.
func hasKeyPasswords(f trustkeep.Format) bool {
	switch f {
	case trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM:
		return true
	}
	return false
}
