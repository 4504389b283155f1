package keystore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// SetChain replaces the chain of a private key. The first certificate must be the key's own;
// the rest is stored in the order given. Certificates that stay keep their names and
// attributes. A locked key stays locked if its entry records the public key and that matches
// the certificate.
//
// Errors: ErrKeyMismatch; ErrInvalid without certificates; those of Signer.
func (k *Keystore) SetChain(alias string, chain ...*x509.Certificate) error {
	const op = "keystore: set chain"
	if !areCertificates(chain) {
		return &trustkeep.Error{Op: op, Alias: alias, Err: fmt.Errorf("a chain without certificates: %w", trustkeep.ErrInvalid)}
	}
	s, it, password, err := k.privateKey(op, alias)
	if err != nil {
		return err
	}
	defer password.Wipe()
	key, err := it.keyFor(chain[0], password.Bytes())
	if err != nil {
		hint := keyHint(err, password)
		if errors.Is(err, trustkeep.ErrKeyMismatch) {
			hint = "the key's own certificate comes first"
		}
		return s.fail(op, it.e.Alias, err, hint)
	}
	next := it.variant(func(e *entry.Entry) { e.Chain, e.Err = rewrap(chain, it.e.Chain), nil })
	if key != nil {
		id, err := identityFrom(it.e.Alias, key, next.e.Chain)
		if err != nil {
			return s.fail(op, it.e.Alias, err, "")
		}
		next.identity.Store(id)
	}
	return k.exchange(op, []*item{it}, []*item{next})
}

// CompleteChain orders the chain of a private key and adds missing issuers, up to a
// self-signed root, from the store and from the holders. It removes certificates that are not
// part of the chain. The key stays locked. If an issuer is missing, nothing changes, and the
// error wraps ErrNotFound and names the issuer.
func (k *Keystore) CompleteChain(alias string, from ...trustkeep.CertificateHolder) error {
	const op = "keystore: complete chain"
	var others []*entry.Certificate
	for _, it := range k.current().items {
		others = append(others, it.e.Chain...)
	}
	for _, source := range from {
		certs, err := certpath.Of(source)
		if err != nil {
			return &trustkeep.Error{Op: op, Alias: alias, Err: err}
		}
		for _, c := range certs {
			if c != nil {
				others = append(others, entry.FromX509(c))
			}
		}
	}
	return k.editChain(op, alias, func(chain []*entry.Certificate) ([]*entry.Certificate, error) {
		candidates := slices.Clone(chain) // these first: they keep their attributes
		candidates = append(candidates, others...)
		complete := entry.NewIndex(candidates).Chain(chain[0])
		for i, wrapped := range complete {
			c, err := wrapped.X509()
			if err != nil {
				return nil, err
			}
			if i == len(complete)-1 {
				if certpath.SignedBy(c, c) != nil {
					return nil, certpath.MissingIssuer(c)
				}
				break
			}
			parent, err := complete[i+1].X509()
			if err != nil {
				return nil, err
			}
			if err := certpath.Link(c, parent); err != nil {
				return nil, err
			}
		}
		return complete, nil
	})
}

// editChain gives a private key the chain that change makes of the present one,
// which has at least one certificate.
func (k *Keystore) editChain(op, alias string, change func([]*entry.Certificate) ([]*entry.Certificate, error)) error {
	it, err := k.current().findKey(op, alias)
	if err != nil {
		return err
	}
	if len(it.e.Chain) == 0 {
		return &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: fmt.Errorf("private key without a certificate: %w", trustkeep.ErrEmpty)}
	}
	chain, err := change(slices.Clone(it.e.Chain))
	if err != nil {
		return &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
	}
	next := it.variant(func(e *entry.Entry) { e.Chain = chain })
	if id := it.identity.Load(); id != nil {
		edited, err := identityFrom(id.alias, id.signer, chain)
		if err != nil {
			return &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
		}
		next.identity.Store(edited)
	}
	return k.exchange(op, []*item{it}, []*item{next})
}
