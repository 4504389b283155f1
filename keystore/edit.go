package keystore

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// SetIdentity puts an identity under an alias, replacing the entry of exactly
// that alias. Its key is protected by the store's password when the store is
// saved. ErrExists: another entry has an alias that differs only in case.
func (k *Keystore) SetIdentity(alias string, id *Identity) error {
	return k.setIdentity(alias, id, nil)
}

// SetIdentityWithPassword is SetIdentity with a password for this key alone,
// which JKS, JCEKS, BouncyCastle's formats and PEM support. A PKCS#12 store refuses it with
// ErrUnsupported, since its consumers expect the store's password.
func (k *Keystore) SetIdentityWithPassword(alias string, id *Identity, password trustkeep.PasswordSource) error {
	secret, err := reveal(password)
	if err == nil && secret == nil {
		err = fmt.Errorf("key without a password: %w", trustkeep.ErrUnsupported)
	}
	if err == nil && !hasKeyPasswords(k.Format()) {
		err = fmt.Errorf("a key password of its own in %s: %w", k.Format(), trustkeep.ErrUnsupported)
	}
	if err != nil {
		return &trustkeep.Error{Op: "keystore: set identity", Alias: alias, Err: err}
	}
	return k.setIdentity(alias, id, secret)
}

func (k *Keystore) setIdentity(alias string, id *Identity, password *redact.Secret) error {
	const op = "keystore: set identity"
	if id == nil {
		return &trustkeep.Error{Op: op, Alias: alias, Err: trustkeep.ErrEmpty}
	}
	named := *id
	named.alias = alias
	it := &item{e: &entry.Entry{Alias: alias, Kind: entry.Key, Key: &entry.PrivateKey{}, Chain: wrap(id)}, password: password, set: true}
	it.identity.Store(&named)
	return k.put(op, it)
}

func wrap(id *Identity) []*entry.Certificate {
	chain := make([]*entry.Certificate, len(id.chain))
	for i, c := range id.chain {
		chain[i] = entry.FromX509(c)
	}
	return chain
}

// SetTrusted puts a certificate under an alias as a trusted entry, replacing
// the entry of exactly that alias. ErrExists: another entry has an alias that
// differs only in case.
func (k *Keystore) SetTrusted(alias string, cert *x509.Certificate) error {
	const op = "keystore: set trusted"
	if cert == nil {
		return &trustkeep.Error{Op: op, Alias: alias, Err: trustkeep.ErrEmpty}
	}
	return k.put(op, &item{e: &entry.Entry{Alias: alias, Kind: entry.Trusted, Marked: true, Chain: []*entry.Certificate{entry.FromX509(cert)}}})
}

func (k *Keystore) put(op string, it *item) error {
	if it.e.Alias == "" {
		return &trustkeep.Error{Op: op, Err: fmt.Errorf("alias: %w", trustkeep.ErrEmpty)}
	}
	it.e.Created = k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	folded := entry.Fold(it.e.Alias)
	old := k.byAlias[folded]
	if old != nil && old.e.Alias != it.e.Alias {
		return exists(op, it.e.Alias, old.e.Alias)
	}
	k.byAlias[folded] = it
	k.index.Store(nil)
	if old == nil {
		k.items = append(k.items, it)
		return nil
	}
	k.items = slices.Clone(k.items)
	k.items[slices.Index(k.items, old)] = it
	return nil
}

func exists(op, alias, other string) error {
	return &trustkeep.Error{Op: op, Alias: alias, Err: trustkeep.ErrExists,
		Hint: fmt.Sprintf("aliases are compared without regard to case, and there is %q", trustkeep.Printable(other))}
}

// Rename gives an entry another alias. Changing only the spelling is allowed.
// ErrNotFound, or ErrExists when the new alias is taken.
func (k *Keystore) Rename(from, to string) error {
	const op = "keystore: rename"
	if to == "" {
		return &trustkeep.Error{Op: op, Alias: from, Err: fmt.Errorf("new alias: %w", trustkeep.ErrEmpty)}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	it := k.byAlias[entry.Fold(from)]
	if it == nil {
		return k.notFound(op, from)
	}
	if other := k.byAlias[entry.Fold(to)]; other != nil && other != it {
		return exists(op, to, other.e.Alias)
	}
	renamed := *it.e
	renamed.Alias, renamed.Unnamed = to, false
	next := &item{e: &renamed, password: it.password, set: it.set}
	if id := it.identity.Load(); id != nil {
		named := *id
		named.alias = to
		next.identity.Store(&named)
	}
	delete(k.byAlias, entry.Fold(it.e.Alias))
	k.byAlias[entry.Fold(to)] = next
	k.items = slices.Clone(k.items)
	k.items[slices.Index(k.items, it)] = next
	return nil
}

// Delete removes an entry. ErrNotFound when there is none.
func (k *Keystore) Delete(alias string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	it := k.byAlias[entry.Fold(alias)]
	if it == nil {
		return k.notFound("keystore: delete", alias)
	}
	delete(k.byAlias, entry.Fold(it.e.Alias))
	k.index.Store(nil)
	i := slices.Index(k.items, it)
	k.items = append(slices.Clone(k.items[:i]), k.items[i+1:]...)
	return nil
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
