package truststore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/bits"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
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
func (s *Snapshot) along(p *path, o VerifyOptions, k *checks) (found []*Verdict, code trustkeep.Code, ok bool) {
	alone := &Snapshot{generation: s.generation, pins: s.pins, scopes: s.scopes}
	sent := p.certs
	switch {
	case p.anchored && len(p.certs) > 1:
		alone.certs, sent = p.certs[len(p.certs)-1:], p.certs[:len(p.certs)-1]
	case p.anchored:
		alone.certs = p.certs
	default: // it may lead to where the platform knows on, or be pinned
		alone.platform = s.platform
	}
	if alone.Empty() || !k.takeAll(p.certs, p.anchored) {
		return nil, "", false
	}
	o.Intermediates = nil
	usage, _ := o.Purpose.usage()
	found, code, _ = alone.candidates(sent, o, usage)
	return found, code, true
}

// maxExplainChecks bounds the signatures that an explanation checks, so that it does not cost a
// multiple of the refusal. Those of slow keys count as several.
const maxExplainChecks = 8

// priceOf returns for how many signatures one of that key counts: about its milliseconds.
func priceOf(key any) int {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Params().BitSize > 384 {
			return 4
		}
	case *rsa.PublicKey:
		k := key.N.BitLen() / 1024
		return 1 + k*k*bits.Len(uint(key.E))/640
	}
	return 1
}

// checks are the signatures that were checked for an explanation. It is safe for concurrent
// use.
type checks struct {
	mu   sync.Mutex
	left int
	done map[[2]*x509.Certificate]checked
}

// checked is whether a certificate was signed by another.
type checked struct {
	err    error // of Certificate.CheckSignatureFrom
	signed bool  // with its key, whether or not it may
}

func newChecks() *checks {
	return &checks{left: maxExplainChecks, done: make(map[[2]*x509.Certificate]checked)}
}

// ask checks the signature of an issuer. It returns false if no more may be checked.
func (k *checks) ask(c, issuer *x509.Certificate) (checked, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	link := [2]*x509.Certificate{c, issuer}
	if found, ok := k.done[link]; ok {
		return found, true
	}
	if !k.take(issuer) {
		return checked{}, false
	}
	found := checked{err: c.CheckSignatureFrom(issuer)}
	var constraint x509.ConstraintViolationError
	if found.signed = found.err == nil; errors.As(found.err, &constraint) { // then it was not looked at
		found.signed = issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
	}
	k.done[link] = found
	return found, true
}

// takeAll accounts for the signatures of a path that crypto/x509 checks, of which the last
// certificate may be checked by an issuer that is not known.
func (k *checks) takeAll(certs []*x509.Certificate, anchored bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, issuer := range certs[1:] {
		if !k.take(issuer) {
			return false
		}
	}
	return anchored || k.take(certs[0])
}

// take accounts for one signature of an issuer.
func (k *checks) take(issuer *x509.Certificate) bool {
	price := priceOf(issuer.PublicKey)
	if price > k.left {
		return false
	}
	k.left -= price
	return true
}

// meant reports whether a certificate says by key identifier that it was issued by the other.
func meant(c, issuer *x509.Certificate) bool {
	return len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId)
}
