package entry

import (
	"bytes"

	"github.com/trustkeep/trustkeep/internal/sigcheck"
)

// maxChain bounds a chain; crypto/x509 gives up far earlier.
const maxChain = 32

// What a hostile file full of certificates of one subject may cost: how many of
// them are looked at for one link, how many signatures are checked in all, and how many
// tenths of a millisecond that takes.
const (
	maxCandidates = 1000
	maxSignatures = 4096
	maxTenths     = 5000
)

// Index finds issuers among a set of certificates. Build it once per store:
// building is linear, each chain costs its own length.
type Index struct {
	bySubject  map[string][]*Certificate
	signatures *sigcheck.Budget
}

// NewIndex indexes the certificates by subject. Certificates without a
// readable subject are left out.
func NewIndex(certs []*Certificate) *Index {
	x := &Index{bySubject: make(map[string][]*Certificate, len(certs)), signatures: sigcheck.NewBudget(maxSignatures, maxTenths)}
	for _, c := range certs {
		if o, ok := c.Outline(); ok {
			x.bySubject[string(o.Subject)] = append(x.bySubject[string(o.Subject)], c)
		}
	}
	return x
}

// Chain returns leaf and, in order, the issuers that the index has, up to a
// self-issued certificate or the first gap.
func (x *Index) Chain(leaf *Certificate) []*Certificate {
	chain := []*Certificate{leaf}
	for len(chain) < maxChain {
		next := x.Issuer(chain[len(chain)-1])
		if next == nil || contains(chain, next) {
			break
		}
		chain = append(chain, next)
	}
	return chain
}

// Issuer returns the certificate that signed c, or nil where c is self-issued
// or the index lacks the issuer. A nil Index has none. Several certificates of one
// subject are told apart by key identifiers and then by the signature itself,
// so that a renewed or cross-signed CA leads to the right one.
func (x *Index) Issuer(c *Certificate) *Certificate {
	if x == nil {
		return nil
	}
	o, ok := c.Outline()
	if !ok || bytes.Equal(o.Issuer, o.Subject) {
		return nil
	}
	candidates := x.bySubject[string(o.Issuer)]
	if len(candidates) < 2 {
		if len(candidates) == 1 {
			return candidates[0]
		}
		return nil
	}
	candidates = candidates[:min(len(candidates), maxCandidates)]
	child, err := c.X509()
	if err != nil {
		return candidates[0]
	}
	otherwise := candidates[0]
	for _, byKeyID := range []bool{true, false} {
		for _, candidate := range candidates {
			parent, err := candidate.X509()
			if err != nil {
				otherwise = candidate // more likely than one whose key did not sign
				continue
			}
			if byKeyID && !sigcheck.Meant(child, parent) {
				continue
			}
			if found, ok := x.signatures.Ask(child, parent); !ok || found.Err == nil {
				return candidate
			}
		}
	}
	return otherwise
}

func contains(chain []*Certificate, c *Certificate) bool {
	for _, have := range chain {
		if have == c || bytes.Equal(have.Raw, c.Raw) {
			return true
		}
	}
	return false
}
