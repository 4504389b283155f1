package truststore

import (
	"crypto/x509"
	"encoding/json"
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
)

// String returns "exact", "chain" or "invalid".
func (r Rule) String() string {
	switch r {
	case RuleExact:
		return "exact"
	case RuleChain:
		return "chain"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Relaxation names something that crypto/x509 would have refused and that was
// accepted because the caller asked for that by name. Nothing is relaxed unless
// it is listed in a Verdict.
type Relaxation string

// Verdict says why a peer is trusted.
type Verdict struct {
	// Chain leads from the peer's certificate to the anchor. Under RuleExact
	// it is that one certificate.
	Chain []*x509.Certificate
	// Anchor is the certificate of the store that granted trust.
	Anchor *x509.Certificate
	// Rule that granted it.
	Rule Rule
	// Relaxations that were needed; empty when crypto/x509 accepted the
	// chain as it is.
	Relaxations []Relaxation
}

// newVerdict reports the shortest of the chains that crypto/x509 accepted.
func newVerdict(chains [][]*x509.Certificate) *Verdict {
	chain := chains[0]
	for _, c := range chains[1:] {
		if len(c) < len(chain) {
			chain = c
		}
	}
	v := &Verdict{Chain: chain, Anchor: chain[len(chain)-1], Rule: RuleChain}
	if len(chain) == 1 {
		v.Rule = RuleExact
	}
	return v
}

// String describes the verdict in one line.
func (v *Verdict) String() string {
	if v.Rule == RuleExact {
		return "trusted: the store holds the peer's own certificate " + quoteSubject(v.Anchor)
	}
	return "trusted: the chain of " + quoteSubject(v.Chain[0]) + " leads to " + quoteSubject(v.Anchor) + " in the store"
}

// MarshalJSON yields {"rule","anchor","relaxations","chain"}.
func (v *Verdict) MarshalJSON() ([]byte, error) {
	out := struct {
		Rule        Rule         `json:"rule"`
		Anchor      Summary      `json:"anchor"`
		Relaxations []Relaxation `json:"relaxations"`
		Chain       []Summary    `json:"chain"`
	}{v.Rule, Summarize(v.Anchor), append([]Relaxation{}, v.Relaxations...), summarizeAll(v.Chain)}
	return json.Marshal(out)
}
