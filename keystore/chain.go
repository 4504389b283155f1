package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"slices"

	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// maxChain bounds a completed chain; crypto/x509 gives up far earlier.
const maxChain = 32

// orderChain returns the certificate of the key and, in order, its issuers
// from chain and, where chain has a gap or ends early, from more. Names decide, so an
// issuer that crypto/x509 refuses is a link like any other. Whatever of
// chain is no issuer of the leaf stays, behind the rest, since somebody put it
// there to be sent.
func orderChain(pub crypto.PublicKey, chain []*entry.Certificate, more *entry.Index) ([]*entry.Certificate, error) {
	at := slices.IndexFunc(chain, func(w *entry.Certificate) bool {
		c, err := w.X509()
		return err == nil && certpath.Certifies(c, pub)
	})
	if at < 0 {
		c, err := chain[0].X509()
		if err != nil {
			return nil, err
		}
		return nil, mismatch(c)
	}
	near := entry.NewIndex(chain)
	ordered := []*entry.Certificate{chain[at]}
	for len(ordered) < maxChain {
		last := ordered[len(ordered)-1]
		next := near.Issuer(last)
		if next == nil {
			next = more.Issuer(last)
		}
		if next == nil || contains(ordered, next.Raw) {
			break // a gap or a loop, not a reason to lose the identity
		}
		ordered = append(ordered, next)
	}
	for _, c := range chain {
		if !contains(ordered, c.Raw) {
			ordered = append(ordered, c)
		}
	}
	return ordered, nil
}

// areCertificates reports whether there are certificates, and all of them are: of each at
// least Raw is set.
func areCertificates(certs []*x509.Certificate) bool {
	return len(certs) > 0 && !slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return c == nil || len(c.Raw) == 0 })
}

// wrapCertificates is nil unless areCertificates.
func wrapCertificates(certs []*x509.Certificate) []*entry.Certificate {
	if !areCertificates(certs) {
		return nil
	}
	wrapped := make([]*entry.Certificate, len(certs))
	for i, c := range certs {
		wrapped[i] = entry.FromX509(c)
	}
	return wrapped
}

// identityFrom makes an identity of a chain in the order in which it is to be sent. Only
// the key's own certificate must be one that crypto/x509 understands.
func identityFrom(alias string, key crypto.Signer, chain []*entry.Certificate) (*Identity, error) {
	id := &Identity{alias: alias, signer: redact.Key(key)}
	for i, w := range chain {
		c, err := w.X509()
		switch {
		case err == nil:
			id.chain = append(id.chain, c)
		case i == 0:
			return nil, err
		}
		id.raw = append(id.raw, w.Raw)
	}
	return id, nil
}

// wrap returns the whole chain of an identity for an entry.
func wrap(id *Identity) []*entry.Certificate {
	chain := make([]*entry.Certificate, len(id.raw))
	parsed := id.chain
	for i, der := range id.raw {
		if len(parsed) > 0 && bytes.Equal(parsed[0].Raw, der) {
			chain[i], parsed = entry.FromX509(parsed[0]), parsed[1:]
		} else {
			chain[i] = entry.NewCertificate(der)
		}
	}
	return chain
}

func contains(chain []*entry.Certificate, raw []byte) bool {
	return slices.ContainsFunc(chain, func(c *entry.Certificate) bool { return bytes.Equal(c.Raw, raw) })
}
