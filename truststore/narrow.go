package truststore

import (
	"crypto/x509"

	"github.com/trustkeep/trustkeep"
)

// maxJudged bounds for how many chains revocation is asked. A peer can make crypto/x509 find many.
const maxJudged = 8

// narrow decides what is decided on top of chains that are trusted otherwise: the pins, the keys
// that FIPS 140-3 mode allows, the policy and revocation. One chain that passes all is enough;
// verdicts has the shortest first. The error explains what the first chain fails at that came the
// furthest.
func (s *Snapshot) narrow(chain []*x509.Certificate, verdicts []*Verdict, o VerifyOptions) (*Verdict, error) {
	if o.Pins != nil && !o.fitsAny(o.Pins, chain[0]) {
		return nil, s.explain(CodePinMismatch, chain, o, nil)
	}
	allowed, code, err := admit(verdicts, o.Policy)
	if len(allowed) == 0 {
		return nil, s.explain(code, chain, o, err)
	}
	var first error
	for _, v := range allowed[:min(len(allowed), maxJudged)] {
		v, err := s.CheckRevocation(v, chain, o)
		if err == nil {
			return v, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// admit returns the verdicts that nothing is held against, and, without any, what is held
// against the first. Pins, which know no issuer that could have revoked, count only where
// there is no chain.
func admit(verdicts []*Verdict, p Policy) (allowed []*Verdict, code trustkeep.Code, err error) {
	for _, v := range verdicts {
		if v.Rule == RulePin && len(allowed) > 0 {
			break
		}
		if refused := fipsAllows(v.Chain); refused != nil {
			if err == nil {
				code, err = CodeFIPS, refused
			}
		} else if refused := p.check(v.Chain); refused != nil {
			if err == nil {
				code, err = refused.code, refused
			}
		} else {
			allowed = append(allowed, v)
		}
	}
	return allowed, code, err
}
