package truststore

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// PoolSuffices reports whether every peer that Verify accepts without relaxations is also one
// that crypto/x509 accepts by Pool, so that Judge can decide on what crypto/tls has verified. It
// is false for pins that grant trust, which no pool can hold.
func (s *Snapshot) PoolSuffices() bool { return len(s.pins) == 0 }

// Judge decides what narrows trust, about a peer that crypto/tls has verified: whether it has
// one of VerifyOptions.Pins, the URI and an ID of the TrustDomain, and whether a chain ends in an
// anchor whose scope covers the question, is allowed in FIPS 140-3 mode and passes Revocation. One
// chain that passes all is enough, the shortest first. sent is what the peer presented, verified
// is ConnectionState.VerifiedChains.
//
// Judge assumes that crypto/tls has verified the chains with the Pool of this snapshot, for this
// Purpose and, if it is Server, for the name that was dialled: signatures, names, usages and
// constraints are not looked at again. Dates are, since a session may be resumed long after its
// chains were verified, and so is whether the anchor is in the store, unless Platform. Allow has no
// effect. If Name is empty because it is not known, a scope with names covers nothing.
//
// The path is built again, by Verify, only if no chain has such an anchor: a certificate in
// the store can hide the path that leads on from it to an anchor in scope. Verify also answers
// what crypto/tls has not looked at: the Name of a Client, and other purposes. The errors are those of
// Verify, and ErrInvalid if nothing was verified.
func (s *Snapshot) Judge(sent []*x509.Certificate, verified [][]*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if s == nil {
		return nil, errNil("judge")
	}
	o.Allow = nil
	if _, ok := o.Purpose.usage(); !ok || len(sent) == 0 || sent[0] == nil || s.Empty() {
		return s.Verify(sent, o) // which refuses it
	}
	// crypto/tls has verified servers by name, and clients, but no names of theirs.
	if o.Policy.Validate() != nil || slices.Contains(o.Intermediates, nil) || o.Purpose != Server && (o.Purpose != Client || o.Name != "") {
		return s.Verify(sent, o)
	}
	if len(verified) == 0 {
		return nil, &trustkeep.Error{Op: "truststore: judge", Err: trustkeep.ErrInvalid, Hint: "crypto/tls has verified nothing; with InsecureSkipVerify, use Verify"}
	}
	if o.checkNames() != nil {
		return nil, s.explain(CodeWrongName, sent, o, nil)
	}
	if !o.urisFit(sent[0]) {
		return nil, s.explain("", sent, o, nil)
	}
	var fit [][]*x509.Certificate
	for _, chain := range verified {
		if s.counts(chain, sent[0], o) {
			fit = append(fit, chain)
		}
	}
	if len(fit) == 0 {
		return s.Verify(sent, o)
	}
	return s.narrow(sent, newVerdicts(fit), o)
}

// counts reports whether a verified chain is of that peer, valid at the time and anchored here,
// within the anchor's scope.
func (s *Snapshot) counts(chain []*x509.Certificate, leaf *x509.Certificate, o VerifyOptions) bool {
	if len(chain) == 0 {
		return false
	}
	for _, c := range chain {
		if c == nil || o.Time.Before(c.NotBefore) || o.Time.After(c.NotAfter) {
			return false
		}
	}
	anchor := chain[len(chain)-1]
	return bytes.Equal(chain[0].Raw, leaf.Raw) && (s.Platform() || s.Contains(anchor)) && s.mayAnchor(anchor, chain, o)
}
