package truststore

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Purpose is what a peer's certificate may be used for. The zero Purpose is
// Server, the strictest.
type Purpose uint8

// The purposes.
const (
	// Server: a TLS server, under the name that was dialled.
	Server Purpose = iota
	// Client: a TLS client.
	Client
	// Email: S/MIME, and signatures or encryption between partners as in AS2.
	Email
	// Any: whatever the certificate says about its use.
	Any
)

// String returns "server", "client", "email", "any" or "invalid".
func (p Purpose) String() string {
	switch p {
	case Server:
		return "server"
	case Client:
		return "client"
	case Email:
		return "email"
	case Any:
		return "any"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// usage returns the extended key usage that the purpose asks for.
func (p Purpose) usage() (u x509.ExtKeyUsage, ok bool) {
	switch p {
	case Server:
		return x509.ExtKeyUsageServerAuth, true
	case Client:
		return x509.ExtKeyUsageClientAuth, true
	case Email:
		return x509.ExtKeyUsageEmailProtection, true
	case Any:
		return x509.ExtKeyUsageAny, true
	}
	return 0, false
}

// VerifyOptions is the question about a peer. The zero value asks about a server and is
// refused, since a server needs a name.
type VerifyOptions struct {
	// Purpose of the certificate. If zero, Server.
	Purpose Purpose
	// Name that the certificate must have as a subject alternative name: an address
	// for Email, else a host name or IP address. It must be set for Server, unless URI
	// or TrustDomain is; for other purposes, an empty Name asks for none.
	Name string
	// URI that the certificate must have as a subject alternative name, for Server and
	// Client: "spiffe://domain.example/path" or any other. Octets are compared; nothing
	// is normalised. If empty, none is asked for.
	URI string
	// TrustDomain is the SPIFFE trust domain, such as "domain.example", that the
	// certificate must have an ID in, for Server and Client. If empty, none is asked
	// for. Of Name, URI and TrustDomain, all that are set must fit. A certificate has a
	// SPIFFE ID if that is its only URI (X509-SVID section 2) and it is no authority's (section
	// 5.2), whichever of the two asks.
	TrustDomain string
	// Time of the decision. If zero, now.
	Time time.Time
	// Intermediates are certificates that may complete the chain besides
	// those that the peer sent. They are not trusted by themselves.
	Intermediates []*x509.Certificate

	// Allow accepts what crypto/x509 would refuse of a certificate that is itself in
	// the store or pinned.
	Allow []Relaxation
	// Policy refuses more than crypto/x509 does; see Strict. If zero, nothing more is refused.
	Policy Policy
	// Pins narrow what is trusted: the peer must also have one of these certificates
	// or keys. If nil, nothing is pinned; an empty list fits nobody. See Pinned for pins that grant trust.
	Pins []Pin
	// Revocation, if set, has the last word on whatever is trusted otherwise, by a
	// chain or exactly. Staple is the OCSP response that came with the handshake. If
	// nil, nothing is asked.
	Revocation RevocationChecker
	Staple     []byte
	// RevocationExempt lists certificates that Revocation is not asked about, byte for
	// byte: those that are trusted although nothing can be learned. If nil, none is exempt.
	RevocationExempt []*x509.Certificate
	// Context ends the waiting of Revocation, which is all that Verify may wait for.
	// If nil, the checker's own bound does.
	Context context.Context
}

// Verify decides whether a peer is trusted by this store now. See
// Snapshot.Verify. A nil *Truststore trusts nobody: the error
// is trustkeep.ErrInvalid.
func (t *Truststore) Verify(chain []*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if t == nil {
		return nil, errNil("verify")
	}
	return t.current().snapshot.Verify(chain, o)
}

// Verify decides whether a peer is trusted: chain is what it sent, its own
// certificate first, the rest in any order. It is the one trust decision of
// this module, for TLS, S/MIME and whatever else has a certificate and needs to
// know.
//
// crypto/x509 builds and checks the path, and what it refuses is refused here,
// unless the peer's own certificate is in the store or pinned and a relaxation of
// VerifyOptions.Allow names what is wrong with it.
// The error is a *VerifyError, which explains the refusal. It wraps
// trustkeep.ErrExpired, ErrRevoked or ErrUnsupported where one of them is the reason,
// ErrEmpty for an empty store or a peer without certificate, and ErrInvalid for options
// that cannot be meant. A nil *Snapshot is ErrInvalid, without a *VerifyError.
func (s *Snapshot) Verify(chain []*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if s == nil {
		return nil, errNil("verify")
	}
	usage, code := s.precheck(chain, o)
	if code != "" {
		return nil, s.explain(code, chain, o, nil)
	}
	verdicts, code, err := s.candidates(chain, o, usage)
	if len(verdicts) == 0 {
		return nil, s.explain(code, chain, o, err)
	}
	return s.narrow(chain, verdicts, o)
}

// candidates finds the rules that grant trust: the chains of crypto/x509, the shortest
// first, and then what only a pin or a relaxation grants. Without any, code or err says
// why; both are empty where only a name is wrong.
func (s *Snapshot) candidates(chain []*x509.Certificate, o VerifyOptions, usage x509.ExtKeyUsage) (found []*Verdict, code trustkeep.Code, err error) {
	chains, code, err := s.byPath(chain, o, usage)
	found = newVerdicts(chains)
	leaf := chain[0]
	rule := Rule(0)
	switch {
	case len(found) == 0 && s.Contains(leaf) && s.inScope(leaf, chain, o):
		rule = RuleExact
	case o.fitsAny(s.pins, leaf):
		rule = RulePin
	default:
		if len(found) == 0 && err != nil && slices.Contains(o.Allow, AllowExpiredAnchor) {
			if found = s.byExpiredAnchor(chain, usage, o); len(found) > 0 {
				return found, "", nil
			}
		}
		return found, code, err
	}
	// An empty list makes the pin's rule strict, and repeats what byPath has
	// found of the exact one.
	if with, ok := relaxed(leaf, o, usage); ok {
		return append(found, &Verdict{Chain: []*x509.Certificate{leaf}, Anchor: leaf, Rule: rule, Relaxations: with}), "", nil
	}
	if len(found) == 0 && o.Purpose == Server && !o.named() {
		return nil, CodeNoName, nil
	}
	return found, code, err
}

// byPath asks crypto/x509.
func (s *Snapshot) byPath(chain []*x509.Certificate, o VerifyOptions, usage x509.ExtKeyUsage) ([][]*x509.Certificate, trustkeep.Code, error) {
	if o.Purpose == Server && !o.named() {
		return nil, CodeNoName, nil // "any name" to crypto/x509
	}
	if !o.ownNamesFit(chain[0]) {
		return nil, "", nil
	}
	options := o.forPath(chain, usage)
	options.Roots = s.shared()
	chains, err := chain[0].Verify(options)
	if err == nil && len(chains) == 0 {
		err = errors.New("no chain") // cannot happen; trusts nobody if it does
	}
	if err != nil || len(s.scopes) == 0 && !o.Policy.rootsOnly() {
		return chains, "", err
	}
	// Of several paths, one may end in an anchor that counts; and a certificate that is in
	// the store itself hides the path that leads on from it.
	if in := s.anchored(chains, chain, o); len(in) > 0 {
		return in, "", nil
	}
	s.withoutBounded(&options, chain, o)
	if longer, err := chain[0].Verify(options); err == nil {
		if in := s.anchored(longer, chain, o); len(in) > 0 {
			return in, "", nil
		}
	}
	for _, c := range chains {
		if s.inScope(c[len(c)-1], chain, o) {
			refused := o.Policy.check(c)
			return nil, refused.code, refused
		}
	}
	return nil, CodeOutOfScope, s.outOfScope(chains[0][len(chains[0])-1])
}

// forPath returns the question as crypto/x509 takes it, without roots.
func (o VerifyOptions) forPath(chain []*x509.Certificate, usage x509.ExtKeyUsage) x509.VerifyOptions {
	options := x509.VerifyOptions{CurrentTime: o.Time, KeyUsages: []x509.ExtKeyUsage{usage}}
	if len(chain)+len(o.Intermediates) > 1 {
		options.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			options.Intermediates.AddCert(c)
		}
		for _, c := range o.Intermediates {
			options.Intermediates.AddCert(c)
		}
	}
	if o.Purpose != Email {
		options.DNSName = o.Name
	}
	return options
}

// anchored returns the chains whose anchor counts for the question.
func (s *Snapshot) anchored(chains [][]*x509.Certificate, sent []*x509.Certificate, o VerifyOptions) (in [][]*x509.Certificate) {
	for _, c := range chains {
		if s.mayAnchor(c[len(c)-1], sent, o) {
			in = append(in, c)
		}
	}
	return in
}

// precheck refuses what must not get as far as crypto/x509, where an empty name
// means "any name" and an empty pool can be mistaken for the system's.
func (s *Snapshot) precheck(chain []*x509.Certificate, o VerifyOptions) (x509.ExtKeyUsage, trustkeep.Code) {
	usage, ok := o.Purpose.usage()
	switch {
	case !ok:
		return 0, CodeWrongPurpose
	case s.Empty():
		return 0, CodeEmptyStore
	case len(chain) == 0:
		return 0, CodeNoCertificate
	case o.Purpose == Server && !o.named() && !slices.Contains(o.Allow, AllowAnyName):
		return 0, CodeNoName
	case o.checkNames() != nil:
		return 0, CodeWrongName
	case o.Policy.Validate() != nil:
		return 0, CodeWrongPolicy
	}
	for _, certs := range [][]*x509.Certificate{chain, o.Intermediates} {
		for _, c := range certs {
			if c == nil || len(c.Raw) == 0 {
				return 0, CodeNoCertificate
			}
		}
	}
	return usage, ""
}
