package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"slices"

	"github.com/trustkeep/trustkeep/internal/entry"
)

// maxChain bounds a completed chain; crypto/x509 gives up far earlier.
const maxChain = 32

// orderChain returns the certificate of the key and, in order, its issuers
// from chain and, where chain has a gap or ends early, from more. Whatever of
// chain is no issuer of the leaf stays, behind the rest, since somebody put it
// there to be sent.
func orderChain(pub crypto.PublicKey, chain []*x509.Certificate, more *entry.Index) ([]*x509.Certificate, error) {
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return matches(c, pub) })
	if at < 0 {
		return nil, mismatch(chain[0])
	}
	wrapped := make([]*entry.Certificate, len(chain))
	for i, c := range chain {
		wrapped[i] = entry.FromX509(c)
	}
	near := entry.NewIndex(wrapped)
	ordered := []*x509.Certificate{chain[at]}
	for last := wrapped[at]; last != nil && len(ordered) < maxChain; {
		next := near.Issuer(last)
		if next == nil {
			next = more.Issuer(last)
		}
		if next == nil {
			break
		}
		c, err := next.X509()
		if err != nil || has(ordered, c) {
			break // a gap or a loop, not a reason to lose the identity
		}
		ordered = append(ordered, c)
		last = next
	}
	for _, c := range chain {
		if !has(ordered, c) {
			ordered = append(ordered, c)
		}
	}
	return ordered, nil
}

func has(chain []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(chain, func(o *x509.Certificate) bool { return o == c || bytes.Equal(o.Raw, c.Raw) })
}
