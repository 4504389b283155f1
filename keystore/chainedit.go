package keystore

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/entry"
)

// SetChain gives a private key another chain. The first certificate must be the key's own,
// the rest is stored in the order given. Errors are those of Signer and Replace.
func (k *Keystore) SetChain(alias string, chain ...*x509.Certificate) error {
	const op = "keystore: set chain"
	it, err := k.current().findKey(op, alias)
	if err != nil {
		return err
	}
	if _, err := k.Signer(it.e.Alias); err != nil {
		return err
	}
	_, err = k.Replace(Entry{Alias: it.e.Alias, store: k, item: it.root()}, Replacement{Chain: chain})
	return err
}

// AppendToChain adds certificates to the end of a private key's chain. The key
// stays locked. Errors: ErrExists for a certificate that the chain has already,
// ErrNotFound, ErrEmpty when the key has no certificate of its own yet.
func (k *Keystore) AppendToChain(alias string, certs ...*x509.Certificate) error {
	return k.editChain("keystore: append to chain", alias, func(chain []*entry.Certificate) ([]*entry.Certificate, error) {
		for _, c := range certs {
			if c == nil {
				return nil, fmt.Errorf("certificate: %w", trustkeep.ErrEmpty)
			}
			if contains(chain, c.Raw) {
				return nil, fmt.Errorf("certificate of %s: %w", certpath.Subject(c), trustkeep.ErrExists)
			}
			chain = append(chain, entry.FromX509(c))
		}
		return chain, nil
	})
}

// RemoveFromChain takes a certificate out of a private key's chain. The key
// stays locked. Errors: ErrNotFound when there is no such entry or the chain
// does not have the certificate; ErrKeyMismatch for the key's own certificate,
// which cannot be removed.
func (k *Keystore) RemoveFromChain(alias string, cert *x509.Certificate) error {
	return k.editChain("keystore: remove from chain", alias, func(chain []*entry.Certificate) ([]*entry.Certificate, error) {
		if cert == nil {
			return nil, fmt.Errorf("certificate: %w", trustkeep.ErrEmpty)
		}
		if bytes.Equal(chain[0].Raw, cert.Raw) {
			return nil, fmt.Errorf("a key without its own certificate: %w", trustkeep.ErrKeyMismatch)
		}
		n := len(chain)
		chain = slices.DeleteFunc(chain, func(c *entry.Certificate) bool { return bytes.Equal(c.Raw, cert.Raw) })
		if len(chain) == n {
			return nil, fmt.Errorf("certificate of %s: %w", certpath.Subject(cert), trustkeep.ErrNotFound)
		}
		return chain, nil
	})
}

// OrderChain puts a private key's chain in order: after the key's own
// certificate, each is followed by the one that signed it. Certificates that
// belong to no link come last. The key stays locked. ErrNotFound, and ErrEmpty
// when the key has no certificate.
func (k *Keystore) OrderChain(alias string) error {
	return k.editChain("keystore: order chain", alias, func(chain []*entry.Certificate) ([]*entry.Certificate, error) {
		ordered := entry.NewIndex(chain).Chain(chain[0])
		for _, c := range chain {
			if !contains(ordered, c.Raw) {
				ordered = append(ordered, c)
			}
		}
		return ordered, nil
	})
}

// CompleteChain orders a private key's chain and adds what is missing up to a
// self-signed root, from the store and the sources. When an issuer cannot be
// found, nothing changes and the error, ErrNotFound, names it. The key stays
// locked.
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
		others = append(others, wrapCertificates(certs)...)
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
