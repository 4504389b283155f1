package keystore

import (
	"crypto"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Identity unlocks the private key with an alias and returns it with its chain. It uses the
// key's own password if one was given (Options.KeyPasswords, SetIdentityWithPassword), else
// the store's. An empty alias means the only private key of the store. The result is cached.
//
// Errors: ErrNotFound if there is no such entry or it holds no private key;
// ErrIncorrectPassword; ErrKeyMismatch if key and certificate do not belong together, also for
// a PEM file with other keys' certificates alone; ErrEmpty for a key without a certificate; ErrUnsupported for keys that the standard library does not
// support; ErrCorrupt.
func (k *Keystore) Identity(alias string) (*Identity, error) {
	return k.identity("keystore: identity", alias, nil, false, nil)
}

// IdentityWithPassword is Identity with a password for the key. It checks the password in
// every case, also if the key is unlocked already.
//
// A key that was set, or that a save or a change of passwords has unlocked, has its own
// password or else the store's; without either, its password is nil. A key that its file holds
// in the clear is opened by nil, and by the store's password if that authenticates the file.
// Any other password is ErrIncorrectPassword.
func (k *Keystore) IdentityWithPassword(alias string, password trustkeep.PasswordSource) (*Identity, error) {
	const op = "keystore: identity"
	secret, err := storefile.Reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: k.Path(), Alias: alias, Err: err}
	}
	defer secret.Wipe()
	return k.identity(op, alias, secret, true, nil)
}

// identity asks spend for what it costs. If nil, it is an operation of its own.
func (k *Keystore) identity(op, alias string, given *redact.Secret, explicit bool, spend limits.Spender) (*Identity, error) {
	var (
		s        *state
		it       *item
		id       *Identity
		password *redact.Secret
		differs  bool // from the store's password
		err      error
	)
	k.look(func(now *state) {
		s = now
		if it, err = s.findKey(op, alias); err != nil {
			return
		}
		if id = it.identity.Load(); id != nil && !explicit {
			return
		}
		if password, err = s.credential(it, given, explicit); err != nil {
			err = s.fail(op, it.e.Alias, err, "")
			return
		}
		differs = !same(password, s.password)
	})
	defer password.Wipe()
	switch {
	case err != nil:
		return nil, err
	case id != nil && (!explicit || it.held()):
		return id, nil
	}
	if spend == nil {
		spend = s.operation()
	}
	id, err = unlock(it, password.Bytes(), s.issuers(), spend)
	if it.e.Key != nil && it.e.Key.Encrypted && !it.held() && (password != nil || explicit) {
		it.learn(differs, err)
	}
	if errors.Is(err, trustkeep.ErrEmpty) {
		err = s.unpaired(err)
	}
	if err != nil {
		return nil, s.fail(op, it.e.Alias, err, keyHint(err, password))
	}
	if it.identity.CompareAndSwap(nil, id) {
		return id, nil
	}
	return it.identity.Load(), nil
}

// issuers returns what may complete chains that the store spells out, as
// Java's formats do; codecs that assemble chains have completed them already
// and get nil. Built once until the store changes.
func (s *state) issuers() *entry.Index {
	switch s.format {
	case trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS:
	default:
		return nil
	}
	if x := s.index.Load(); x != nil {
		return x
	}
	var certs []*entry.Certificate
	for _, it := range s.items {
		certs = append(certs, it.e.Chain...)
	}
	s.index.CompareAndSwap(nil, entry.NewIndex(certs))
	return s.index.Load()
}

// unpaired says of a key without a certificate that the PEM file has some, of which none
// is the key's: most likely the file was put together of the wrong parts.
func (s *state) unpaired(err error) error {
	n := 0
	for _, it := range s.items {
		if it.e.Kind != entry.Key && !it.set {
			n += len(it.e.Chain)
		}
	}
	if s.format != trustkeep.PEM || n == 0 {
		return err
	}
	return fmt.Errorf("none of the %d certificates beside the private key belongs to it: %w", n, trustkeep.ErrKeyMismatch)
}

// remaining is what reading has left of its budget, for an operation that both reads and
// unlocks.
func (s *state) remaining() limits.Spender {
	if s.reading == nil {
		return s.operation()
	}
	return s.reading
}

// operation is the budget of one operation on the store.
func (s *state) operation() *limits.Budget { return limits.New(s.limits) }

func unlock(it *item, password []byte, others *entry.Index, spend limits.Spender) (*Identity, error) {
	e := it.e
	if e.Key == nil || e.Key.Unlock == nil {
		return nil, unreadable(e)
	}
	der, err := e.Key.Unlock(password, spend)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return identityOf(e, der, others, spend)
}

// identityOf makes an identity of an opened key and checks that it belongs to
// the entry's certificate.
func identityOf(e *entry.Entry, der []byte, others *entry.Index, spend limits.Spender) (*Identity, error) {
	key, err := parseKey(der, spend)
	if err != nil {
		return nil, err
	}
	if len(e.Chain) == 0 {
		return nil, fmt.Errorf("private key without a certificate: %w", trustkeep.ErrEmpty)
	}
	ordered, err := orderChain(key.Public(), e.Chain, others)
	if err != nil {
		return nil, err
	}
	return identityFrom(e.Alias, key, ordered)
}

func parseKey(der []byte, spend limits.Spender) (crypto.Signer, error) {
	parsed, err := pkcs8.ParseKey(der, spend)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
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
func (s *state) unlockAll(spend limits.Spender) error {
	var keys []*item
	for _, it := range s.items {
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
				errs[i] = s.unlockRead(keys[i], spend)
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case errors.Is(err, trustkeep.ErrIncorrectPassword), errors.Is(err, trustkeep.ErrLimit), errors.Is(err, trustkeep.ErrKeyMismatch):
			return &trustkeep.Error{Op: "unlock", Alias: keys[i].e.Alias, Err: err}
		case err != nil:
			s.findings = append(s.findings, unusable(codeUnusableKey, keys[i].e.Alias, err))
		}
	}
	return nil
}

// unlockRead unlocks a key just read, with what the codec opened already when
// that was with the right password.
func (s *state) unlockRead(it *item, spend limits.Spender) error {
	der, err := it.e.Key.Opened, it.e.Key.OpenErr
	if it.password != nil || der == nil && err == nil {
		password, err := s.credential(it, nil, false)
		if err != nil {
			return err
		}
		defer password.Wipe()
		id, err := unlock(it, password.Bytes(), s.issuers(), spend)
		if err == nil {
			it.identity.Store(id)
		}
		return err
	}
	if err != nil {
		return err
	}
	defer clear(der)
	id, err := identityOf(it.e, der, s.issuers(), spend)
	if err == nil {
		it.identity.Store(id)
	}
	return err
}
