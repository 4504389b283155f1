package truststore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/given"
)

// RevocationChecker finds out whether certificates were revoked. A *revocation.Checker is
// one. It must be safe for concurrent use.
type RevocationChecker interface {
	// CheckRevocation returns what it found out about each certificate of the chain, in
	// its order, or an error that refuses the chain: one that wraps trustkeep.ErrRevoked
	// for a certificate that was revoked, any other where nothing could be learned. It
	// returns when the context ends, and within a bound of its own. A checker that has
	// nothing to tell may return no results.
	CheckRevocation(ctx context.Context, q RevocationQuestion) ([]RevocationResult, error)
}

// RevocationQuestion asks whether the certificates of a chain, which is trusted otherwise,
// were revoked.
type RevocationQuestion struct {
	// Chain is that of the Verdict: the peer's certificate first, the anchor last. The
	// anchor is not asked about, unless the peer's certificate is the anchor.
	Chain []*x509.Certificate
	// Issuer is set for a Chain of one, a certificate that is trusted for itself: the
	// certificate of the authority that has signed it, or the certificate itself if it is
	// self-signed. If nil, the issuer was not found.
	Issuer *x509.Certificate
	// Exempt lists certificates that are not asked about.
	Exempt []*x509.Certificate
	// Staple is the OCSP response that came with the handshake. If nil, none came.
	Staple []byte
	// At is the time of the decision. If zero, now.
	At time.Time
}

// SelfSigned reports whether the question is about a self-signed certificate, which has no
// issuer that could revoke it.
func (q RevocationQuestion) SelfSigned() bool {
	return len(q.Chain) == 1 && q.Issuer != nil && bytes.Equal(q.Issuer.Raw, q.Chain[0].Raw)
}

// Exempts reports whether a certificate is in Exempt.
func (q RevocationQuestion) Exempts(c *x509.Certificate) bool {
	return slices.ContainsFunc(q.Exempt, func(e *x509.Certificate) bool { return e != nil && c != nil && bytes.Equal(e.Raw, c.Raw) })
}

// RevocationStatus says how the question for the revocation of a certificate was settled.
type RevocationStatus string

// The statuses of certificates that are accepted.
const (
	RevocationGood       RevocationStatus = "good"        // a current answer says that it is not revoked
	RevocationUnknown    RevocationStatus = "unknown"     // there was no answer, and the checker accepts that
	RevocationSelfSigned RevocationStatus = "self-signed" // not asked: it has no issuer to revoke it
	RevocationAnchor     RevocationStatus = "anchor"      // not asked: the store vouches for it
	RevocationSkipped    RevocationStatus = "skipped"     // not asked: the checker leaves it out
	RevocationExempted   RevocationStatus = "exempt"      // not asked: VerifyOptions.RevocationExempt lists it
)

// RevocationResult is what is known about the revocation of one certificate.
type RevocationResult struct {
	Certificate *x509.Certificate
	Status      RevocationStatus
	// Reason is why nothing could be learned, for RevocationUnknown; else nil.
	Reason error
}

// MarshalJSON yields {"certificate","status","reason"}.
func (r RevocationResult) MarshalJSON() ([]byte, error) {
	out := struct {
		Certificate trustkeep.Certificate `json:"certificate"`
		Status      RevocationStatus      `json:"status"`
		Reason      string                `json:"reason,omitempty"`
	}{Certificate: certinfo.Brief(r.Certificate), Status: r.Status}
	if r.Reason != nil {
		out.Reason = cut(trustkeep.Printable(r.Reason.Error()), 512)
	}
	return json.Marshal(out)
}

// CheckRevocation asks o.Revocation again about a verdict of this snapshot that the caller has
// kept, for instance since a session began. sent is what the peer has sent. Of the options,
// Revocation, RevocationExempt, Staple, Time, Intermediates and Context count. It returns the
// verdict with what was found out, or a *VerifyError like that of Verify, which asks by itself.
// Without a checker it returns the verdict as it is.
func (s *Snapshot) CheckRevocation(v *Verdict, sent []*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if s == nil || v == nil || len(v.Chain) == 0 {
		return nil, errNil("check revocation")
	}
	if o.Revocation == nil {
		return v, nil
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	results, code, err := s.askRevocation(v, sent, o)
	if err != nil {
		if len(sent) == 0 {
			sent = v.Chain
		}
		return nil, s.explain(code, sent, o, err)
	}
	if results == nil && v.Revocation == nil {
		return v, nil
	}
	told := *v // others may hold it
	told.Revocation = results
	return &told, nil
}

// askRevocation asks the checker. The code is that of the refusal.
func (s *Snapshot) askRevocation(v *Verdict, sent []*x509.Certificate, o VerifyOptions) ([]RevocationResult, trustkeep.Code, error) {
	if given.IsNil(o.Revocation) {
		return nil, CodeRevocationUnknown, &trustkeep.Error{Op: "Revocation", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of making it checked?"}
	}
	ctx := cmp.Or[context.Context](o.Context, context.Background())
	q := RevocationQuestion{Chain: v.Chain, Exempt: o.RevocationExempt, Staple: o.Staple, At: o.Time}
	if results := q.allExempt(); results != nil {
		return results, "", nil
	}
	if len(q.Chain) == 1 {
		q.Issuer = s.issuerOf(q.Chain[0], sent, o.Intermediates)
	}
	results, err := o.Revocation.CheckRevocation(ctx, q)
	switch {
	case err == nil:
		return results, "", nil
	case errors.Is(err, trustkeep.ErrRevoked):
		return nil, CodeRevoked, err
	case len(q.Chain) == 1 && q.Issuer == nil && ctx.Err() == nil:
		return nil, CodeRevocationNoIssuer, err
	}
	return nil, CodeRevocationUnknown, err
}

// allExempt returns the results where nothing is left to ask about, else nil.
func (q RevocationQuestion) allExempt() (results []RevocationResult) {
	asked := max(1, len(q.Chain)-1)
	for i, c := range q.Chain {
		switch {
		case i >= asked:
			results = append(results, RevocationResult{Certificate: c, Status: RevocationAnchor})
		case q.Exempts(c):
			results = append(results, RevocationResult{Certificate: c, Status: RevocationExempted})
		default:
			return nil
		}
	}
	return results
}

// maxIssuerChecks bounds the signatures that are checked to find an issuer among what the peer
// has sent, which may be many certificates of its name, and as many among one's own.
const maxIssuerChecks = 8

// issuerOf finds the authority that has signed a certificate which is trusted for itself, or
// returns the certificate if it is self-signed. The store comes first and the peer last, so
// that what a peer sends takes the place of nothing.
func (s *Snapshot) issuerOf(leaf *x509.Certificate, sent, intermediates []*x509.Certificate) *x509.Certificate {
	if selfSigned(leaf) {
		return leaf
	}
	if len(sent) > 0 {
		sent = sent[1:]
	}
	if c := signerAmong(leaf, s.named(leaf.RawIssuer), intermediates); c != nil {
		return c
	}
	return signerAmong(leaf, sent)
}

// signerAmong looks at those first that the key identifier means.
func signerAmong(leaf *x509.Certificate, groups ...[]*x509.Certificate) *x509.Certificate {
	checks := maxIssuerChecks
	for _, byKeyID := range []bool{true, false} {
		for _, group := range groups {
			for _, c := range group {
				if checks == 0 {
					return nil
				}
				if c == nil || !bytes.Equal(c.RawSubject, leaf.RawIssuer) || byKeyID != sameKeyID(leaf, c) || hugeKey(c) {
					continue
				}
				checks--
				if leaf.CheckSignatureFrom(c) == nil {
					return c
				}
			}
		}
	}
	return nil
}

func sameKeyID(c, issuer *x509.Certificate) bool {
	return len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId)
}

// hugeKey reports whether checking signatures by the key costs more than it is worth.
func hugeKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > trustkeep.Limits{}.WithDefaults().MaxKeyBits
}

// selfSigned reports whether the certificate is its own issuer. Where the algorithm no longer
// proves anything, or is not known, names and key identifiers tell.
func selfSigned(c *x509.Certificate) bool {
	if !selfIssued(c) || hugeKey(c) {
		return false
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	if _, weak := errors.AsType[x509.InsecureAlgorithmError](err); weak || errors.Is(err, x509.ErrUnsupportedAlgorithm) {
		return len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId)
	}
	return err == nil
}
