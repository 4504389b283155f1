package keystore

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Identity unlocks the key of that alias with its own password where one was
// given (Options.KeyPasswords, SetIdentityWithPassword), else with the
// store's. An empty alias stands for the only key of a store that has just
// one. The result is kept, so asking again costs nothing.
//
// Errors: ErrNotFound when there is no such entry or it holds no private key,
// ErrIncorrectPassword, ErrKeyMismatch when key and certificate do not belong
// together, ErrEmpty for a key without any certificate, ErrUnsupported for
// keys that the standard library does not know, ErrCorrupt.
func (k *Keystore) Identity(alias string) (*Identity, error) {
	return k.identity("keystore: identity", alias, nil, false)
}

// IdentityWithPassword unlocks the key of that alias with this password, also
// when it is unlocked already. Errors are those of Identity.
func (k *Keystore) IdentityWithPassword(alias string, password trustkeep.PasswordSource) (*Identity, error) {
	const op = "keystore: identity"
	secret, err := reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: k.origin.path, Alias: alias, Err: err}
	}
	defer secret.Wipe()
	return k.identity(op, alias, secret, true)
}

func (k *Keystore) identity(op, alias string, password *redact.Secret, explicit bool) (*Identity, error) {
	k.mu.RLock()
	it, err := k.keyItem(op, alias)
	if err != nil {
		k.mu.RUnlock()
		return nil, err
	}
	if id := it.identity.Load(); id != nil && (!explicit || it.set) {
		own := it.password
		k.mu.RUnlock()
		if explicit && own != nil && !own.Equal(password) {
			return nil, &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: trustkeep.ErrIncorrectPassword}
		}
		return id, nil
	}
	if !explicit {
		// A copy, since Close may wipe the original while the key is
		// being derived.
		password = redact.NewSecret(k.passwordOf(it).Bytes())
		defer password.Wipe()
	}
	others := k.issuers()
	path, format := k.origin.path, k.format
	k.mu.RUnlock()

	id, err := unlock(it, password.Bytes(), others)
	if err != nil {
		e := &trustkeep.Error{Op: op, Path: path, Format: string(format), Alias: it.e.Alias, Err: err}
		if errors.Is(err, trustkeep.ErrIncorrectPassword) {
			e.Hint = "the key may have a password of its own"
			if password == nil {
				e.Hint = "no password was given"
			}
		}
		return nil, e
	}
	if it.identity.CompareAndSwap(nil, id) {
		return id, nil
	}
	return it.identity.Load(), nil
}

// keyItem finds the entry of a private key. The caller holds the lock.
func (k *Keystore) keyItem(op, alias string) (*item, error) {
	if alias == "" && k.byAlias[""] == nil {
		var only *item
		for _, it := range k.items {
			if it.e.Kind != entry.Key {
				continue
			}
			if only != nil {
				return nil, &trustkeep.Error{Op: op, Path: k.origin.path, Format: string(k.format),
					Err: fmt.Errorf("several private keys and no alias: %w", trustkeep.ErrNotFound), Hint: k.aliasHint()}
			}
			only = it
		}
		if only == nil {
			return nil, &trustkeep.Error{Op: op, Path: k.origin.path, Format: string(k.format),
				Err: fmt.Errorf("no private key: %w", trustkeep.ErrNotFound), Hint: k.aliasHint()}
		}
		return only, nil
	}
	it := k.byAlias[entry.Fold(alias)]
	if it == nil {
		return nil, k.notFound(op, alias)
	}
	if it.e.Kind != entry.Key {
		return nil, &trustkeep.Error{Op: op, Path: k.origin.path, Format: string(k.format), Alias: alias,
			Err: fmt.Errorf("the entry is of kind %s and has no private key: %w", kindOf(it.e.Kind), trustkeep.ErrNotFound)}
	}
	return it, nil
}

func (k *Keystore) passwordOf(it *item) *redact.Secret {
	if it.password != nil {
		return it.password
	}
	return k.password
}

// issuers returns what may complete chains that the store spells out, as
// Java's formats do; codecs that assemble chains have completed them already
// and get nil. Built once until the store changes.
func (k *Keystore) issuers() *entry.Index {
	switch k.format {
	case trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS:
	default:
		return nil
	}
	if x := k.index.Load(); x != nil {
		return x
	}
	var certs []*entry.Certificate
	for _, it := range k.items {
		certs = append(certs, it.e.Chain...)
	}
	x := entry.NewIndex(certs)
	k.index.Store(x)
	return x
}

func unlock(it *item, password []byte, others *entry.Index) (*Identity, error) {
	e := it.e
	if e.Key == nil || e.Key.Open == nil {
		return nil, unreadable(e)
	}
	der, err := e.Key.Open(password)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return identityOf(e, der, others)
}

// identityOf makes an identity of an opened key and checks that it belongs to
// the entry's certificate.
func identityOf(e *entry.Entry, der []byte, others *entry.Index) (*Identity, error) {
	key, err := parseKey(der)
	if err != nil {
		return nil, err
	}
	if len(e.Chain) == 0 {
		return nil, fmt.Errorf("private key without a certificate: %w", trustkeep.ErrEmpty)
	}
	var chain []*x509.Certificate
	for i, c := range e.Chain {
		parsed, err := c.X509()
		if err != nil {
			if i == 0 {
				return nil, err
			}
			break
		}
		chain = append(chain, parsed)
	}
	ordered, err := orderChain(key.Public(), chain, others)
	if err != nil {
		return nil, err
	}
	return newIdentity(e.Alias, key, ordered), nil
}

func parseKey(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, keyError(der, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T cannot sign: %w", parsed, trustkeep.ErrUnsupported)
	}
	return key, nil
}

// unlockAll makes identities of the keys that the codec opened, on the cores
// there are. A key that cannot be used for another reason than its password is
// reported and does not hide the rest.
func (k *Keystore) unlockAll() error {
	var keys []*item
	for _, it := range k.items {
		if it.e.Kind == entry.Key {
			keys = append(keys, it)
		}
	}
	errs := make([]error, len(keys))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(keys)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				errs[i] = k.unlockRead(keys[i])
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case errors.Is(err, trustkeep.ErrIncorrectPassword), errors.Is(err, trustkeep.ErrLimit), errors.Is(err, trustkeep.ErrKeyMismatch):
			return &trustkeep.Error{Op: "unlock", Alias: keys[i].e.Alias, Err: err}
		case err != nil:
			k.findings = append(k.findings, Finding{keys[i].e.Alias, "unusable-key", err.Error()})
		}
	}
	return nil
}

// unlockRead unlocks a key just read, with what the codec opened already when
// that was with the right password.
func (k *Keystore) unlockRead(it *item) error {
	der, err := it.e.Key.Opened, it.e.Key.OpenErr
	if it.password != nil || der == nil && err == nil {
		id, err := unlock(it, k.passwordOf(it).Bytes(), k.issuers())
		if err == nil {
			it.identity.Store(id)
		}
		return err
	}
	if err != nil {
		return err
	}
	defer clear(der)
	id, err := identityOf(it.e, der, k.issuers())
	if err == nil {
		it.identity.Store(id)
	}
	return err
}
