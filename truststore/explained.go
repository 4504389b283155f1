package truststore

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
)

// Explain explains why crypto/tls or crypto/x509, with the Pool of this snapshot, refused a
// peer: chain is what the peer sent, o what was asked, err their error. Unlike Verify it builds
// no path: it checks at most 8 signatures, fewer of slow keys such as those on P-521, whatever
// the peer sent. It returns nil if the
// peer would be accepted now, because the trust has changed or o is not what was asked.
func (s *Snapshot) Explain(chain []*x509.Certificate, o VerifyOptions, err error) *VerifyError {
	if s == nil {
		s = newSnapshot(0, nil, nil) // trusts nobody
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if _, code := s.precheck(chain, o); code != "" {
		return s.explain(code, chain, o, err)
	}
	e := s.explain("", chain, o, err)
	if !e.unexplained && len(e.path.certs) > 1 {
		return e
	}
	found, code, ok := s.along(e.path, o, e.checks)
	switch {
	case !ok:
		return e
	case len(found) == 0 && code != "":
		return s.explain(code, chain, o, err)
	case len(found) == 0:
		return e
	}
	o.Revocation = nil // crypto/tls does not ask
	_, err = s.narrow(chain, found, o)
	e, _ = errors.AsType[*VerifyError](err)
	return e
}

// AcceptedBy reports whether another snapshot would have accepted the peer, revocation aside.
// The signatures that are checked for that count towards the 8 of the explanation: it is
// false if they do not suffice to find out.
func (e *VerifyError) AcceptedBy(s *Snapshot) bool {
	o, k := e.asked, e.checks
	if k == nil { // made by hand
		o, k = VerifyOptions{Purpose: e.Purpose, Name: e.Name, Time: e.Time}, newChecks()
	}
	if s == nil {
		return false
	}
	if _, code := s.precheck(e.Chain, o); code != "" {
		return false
	}
	leaf := e.Chain[0]
	p := &path{certs: e.Chain[:1], anchored: true}
	if !s.Contains(leaf) {
		if !o.fitsAny(s.pins, leaf) && len(leafReasons(leaf, o)) > 0 {
			return false // whoever issued it
		}
		p = s.follow(e.Chain, o, k)
	}
	found, _, _ := s.along(p, o, k)
	if len(found) == 0 {
		return false
	}
	_, err := s.narrow(e.Chain, found, o)
	return err == nil
}

// along finds the rules that grant trust if there is no other path than this one, which takes
// as many signature checks as it has links. It returns false if they may not be made.
func (s *Snapshot) along(p *path, o VerifyOptions, k *sigcheck.Budget) (found []*Verdict, code trustkeep.Code, ok bool) {
	alone := &Snapshot{generation: s.generation, pins: s.pins, scopes: s.scopes}
	sent, issuers := p.certs, p.certs[1:]
	switch {
	case p.anchored && len(p.certs) > 1:
		alone.certs, sent = p.certs[len(p.certs)-1:], p.certs[:len(p.certs)-1]
	case p.anchored:
		alone.certs = p.certs
	default: // it may lead to where the platform knows on, or be pinned
		alone.platform = s.platform
		issuers = p.certs // it is not known who may be the last
	}
	if alone.Empty() || !k.Take(issuers...) {
		return nil, "", false
	}
	o.Intermediates = nil
	usage, _ := o.Purpose.usage()
	found, code, _ = alone.candidates(sent, o, usage)
	return found, code, true
}

// newChecks bounds the signatures that an explanation checks, so that it does not cost a multiple
// of the refusal.
func newChecks() *sigcheck.Budget { return sigcheck.NewBudget(8, 80) }
