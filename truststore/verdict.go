package truststore

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
)

// Rule is a way in which a store grants trust.
type Rule uint8

// The rules. The zero Rule is invalid.
const (
	// RuleExact: the peer's own certificate is in the store.
	RuleExact Rule = iota + 1
	// RuleChain: a certificate that the peer's chain leads to, root or
	// intermediate, is in the store.
	RuleChain
	// RulePin: the peer's own certificate or key is pinned by Pinned.
	RulePin
)

// String returns "exact", "chain", "pin" or "invalid".
func (r Rule) String() string {
	switch r {
	case RuleExact:
		return "exact"
	case RuleChain:
		return "chain"
	case RulePin:
		return "pin"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Verdict explains why a peer is trusted.
type Verdict struct {
	// Chain leads from the peer's certificate to the anchor. Under RuleExact
	// it is that one certificate.
	Chain []*x509.Certificate
	// Anchor is the certificate of the store that granted trust; under
	// RulePin it is the peer's own.
	Anchor *x509.Certificate
	// Rule that granted it.
	Rule Rule
	// Relaxations that were needed. If empty, crypto/x509 accepted the chain.
	Relaxations []Relaxation
	// Revocation is what the RevocationChecker found out, for each certificate of Chain.
	// If nil, none was asked, or it told nothing.
	Revocation []RevocationResult
}

// newVerdicts reports the chains that crypto/x509 accepted, the shortest first.
func newVerdicts(chains [][]*x509.Certificate) []*Verdict {
	var out []*Verdict
	for _, chain := range chains {
		v := &Verdict{Chain: chain, Anchor: chain[len(chain)-1], Rule: RuleChain}
		if len(chain) == 1 {
			v.Rule = RuleExact
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b *Verdict) int { return len(a.Chain) - len(b.Chain) })
	return out
}

// String describes the verdict in one line.
func (v *Verdict) String() string {
	with := ""
	if len(v.Relaxations) > 0 {
		with = fmt.Sprintf(", although crypto/x509 would refuse it (relaxed: %v)", v.Relaxations)
	}
	if slices.ContainsFunc(v.Revocation, func(r RevocationResult) bool { return r.Status == RevocationUnknown }) {
		with += "; whether it was revoked could not be found out"
	}
	switch v.Rule {
	case RuleExact:
		return "trusted: the store holds the peer's own certificate " + quoteSubject(v.Anchor) + with
	case RulePin:
		return "trusted: the peer's own certificate " + quoteSubject(v.Anchor) + " is pinned" + with
	}
	return "trusted: the chain of " + quoteSubject(v.Chain[0]) + " leads to " + quoteSubject(v.Anchor) + " in the store" + with
}

// MarshalJSON yields {"rule","anchor","relaxations","chain","revocation"}.
func (v *Verdict) MarshalJSON() ([]byte, error) {
	out := struct {
		Rule        Rule                    `json:"rule"`
		Anchor      trustkeep.Certificate   `json:"anchor"`
		Relaxations []Relaxation            `json:"relaxations"`
		Chain       []trustkeep.Certificate `json:"chain"`
		Revocation  []RevocationResult      `json:"revocation,omitempty"`
	}{v.Rule, certinfo.Brief(v.Anchor), append([]Relaxation{}, v.Relaxations...), summarizeAll(v.Chain), v.Revocation}
	return json.Marshal(out)
}
