package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Mode decides about a certificate about which nothing could be learned.
type Mode uint8

// The modes.
const (
	// HardFail refuses it. The zero Mode.
	HardFail Mode = iota
	// SoftFail accepts it, unless it was the caller's context that ended.
	SoftFail
)

// String returns "hard-fail", "soft-fail" or "invalid".
func (m Mode) String() string {
	switch m {
	case HardFail:
		return "hard-fail"
	case SoftFail:
		return "soft-fail"
	}
	return "invalid"
}

// Coverage selects the certificates of a chain that are checked.
type Coverage uint8

// The coverages.
const (
	// WholeChain checks all but the anchor. The zero Coverage.
	WholeChain Coverage = iota
	// LeafOnly checks the peer's own certificate.
	LeafOnly
)

// Options configures a Checker. The zero value checks the whole chain against
// nothing but stapled answers, and refuses what has none.
type Options struct {
	Mode     Mode
	Coverage Coverage

	// CRLs are lists at hand. See LoadCRLs.
	CRLs []*CRL
	// FetchCRL gets the list at a URL that a certificate names (RFC 5280
	// section 4.2.1.13), in DER or PEM. It must bound what it reads. If nil, no
	// list is fetched.
	FetchCRL func(ctx context.Context, url string) ([]byte, error)
	// FetchOCSP sends an OCSP request, in DER, to a responder that a
	// certificate names (RFC 5280 section 4.2.2.1) and returns its response. If
	// nil, no responder is asked.
	FetchOCSP func(ctx context.Context, url string, request []byte) ([]byte, error)

	// RequireStaple makes a stapled OCSP answer the only one that counts for
	// the peer's own certificate, whatever the Mode. Certificates that
	// promise one (RFC 7633) are held to it in any case.
	RequireStaple bool

	// Timeout bounds all fetching for one chain. If zero, 10 seconds. Each place that can
	// still be asked has an equal share of what is left of it.
	Timeout time.Duration
	// MaxAge is for how long an answer counts from when it was given, even if
	// it names a later end. If zero, until the end that it names, and 1 day
	// for one that names none.
	MaxAge time.Duration
	// Skew is by how much the clocks of issuers may differ. If zero, 5 minutes.
	Skew time.Duration
	// RetryAfter is for how long a fetch that failed is not tried again.
	// If zero, 1 minute.
	RetryAfter time.Duration
	// MaxCached is how many bytes of fetched lists and answers are kept.
	// If zero, 64 MiB.
	MaxCached int64

	// OnUnknown is told of each certificate that SoftFail accepted without
	// an answer, and why there was none. It is called during the handshake,
	// possibly by several goroutines at once. If nil, nobody is told.
	OnUnknown func(cert *x509.Certificate, err error)
	// Clock tells when fetched answers are kept and dropped. If nil, time.Now. The time
	// of a decision is an argument of CheckRevocation.
	Clock func() time.Time
}

// Checker decides on revocation. It keeps what it has fetched for as long as it
// is valid. It is safe for concurrent use, and several that ask for the same at
// once make one fetch.
type Checker struct {
	o     Options
	lists map[string][]*CRL // supplied, by the raw name of their issuer
	cache *cache
}

// New returns a Checker. It fails with trustkeep.ErrInvalid for a Mode or Coverage out of
// range, for a negative duration or size and for a nil CRL.
func New(o Options) (*Checker, error) {
	if min(o.Timeout, o.MaxAge, o.Skew, o.RetryAfter) < 0 || o.MaxCached < 0 {
		return nil, fmt.Errorf("revocation: negative bound: %w", trustkeep.ErrInvalid)
	}
	if o.Mode > SoftFail || o.Coverage > LeafOnly {
		return nil, fmt.Errorf("revocation: mode %d, coverage %d: %w", o.Mode, o.Coverage, trustkeep.ErrInvalid)
	}
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.Skew, 5*time.Minute)
	setDefault(&o.RetryAfter, time.Minute)
	if o.MaxCached == 0 {
		o.MaxCached = 64 << 20
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Checker{o: o, lists: map[string][]*CRL{}, cache: newCache(o.MaxCached, o.RetryAfter, o.Clock)}
	for _, l := range o.CRLs {
		if l == nil {
			return nil, &trustkeep.Error{Op: "revocation: nil CRL", Err: trustkeep.ErrInvalid, Hint: "was the error of loading it checked?"}
		}
		issuer := string(l.list.RawIssuer)
		c.lists[issuer] = append(c.lists[issuer], l)
	}
	return c, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// CheckRevocation decides on a chain that is trusted otherwise; see
// truststore.RevocationChecker. The context and Options.Timeout end the fetching. What the end
// of the context has kept from being learned is refused in every Mode.
//
// About a self-signed certificate nothing is asked. One whose issuer was not found is refused
// by HardFail, by RequireStaple and where it promises a staple. In both cases, and before
// everything else, a list of Options.CRLs that names the certificate counts.
//
// The error is an *Error. It wraps trustkeep.ErrRevoked for a certificate that
// was revoked; any other means that nothing could be learned. A question without a chain is
// trustkeep.ErrInvalid.
func (c *Checker) CheckRevocation(ctx context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	if c == nil || len(q.Chain) == 0 || slices.Contains(q.Chain, nil) {
		return nil, &trustkeep.Error{Op: "revocation: nothing to check", Err: trustkeep.ErrInvalid}
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errSilent)
	defer cancel()
	results := make([]truststore.RevocationResult, len(q.Chain))
	var subjects []question
	left := 0 // places where something can be fetched
	for i, cert := range q.Chain {
		results[i] = truststore.RevocationResult{Certificate: cert, Status: truststore.RevocationGood}
		switch {
		case i > 0 && i == len(q.Chain)-1:
			results[i].Status = truststore.RevocationAnchor
		case q.Exempts(cert):
			results[i].Status = truststore.RevocationExempted
		case i > 0 && c.o.Coverage == LeafOnly:
			results[i].Status = truststore.RevocationSkipped
		default:
			one := question{cert: cert, issuer: q.Issuer, at: q.At, index: i}
			if len(q.Chain) > 1 {
				one.issuer = q.Chain[i+1]
			}
			if i == 0 {
				one.staple = q.Staple
			}
			subjects = append(subjects, one)
			left += c.places(cert)
		}
	}
	// The authorities first: what a revoked one says about others is void.
	for _, one := range slices.Backward(subjects) {
		one.left = left
		left -= c.places(one.cert)
		if q.SelfSigned() {
			if err := c.namedByLists(one); err != nil {
				return nil, newError(one.cert, err)
			}
			results[one.index].Status = truststore.RevocationSelfSigned
			continue
		}
		err := c.checkOne(ctx, one)
		if err == nil {
			continue
		}
		if caller.Err() != nil && !errors.Is(err, caller.Err()) {
			err = fmt.Errorf("%w: %w", caller.Err(), err)
		}
		if errors.Is(err, trustkeep.ErrRevoked) || c.o.Mode != SoftFail || errors.Is(err, errStapleMissing) || caller.Err() != nil {
			return nil, newError(one.cert, err)
		}
		results[one.index] = truststore.RevocationResult{Certificate: one.cert, Status: truststore.RevocationUnknown, Reason: err}
		if c.o.OnUnknown != nil {
			c.o.OnUnknown(one.cert, err)
		}
	}
	return results, nil
}

// question is about one certificate.
type question struct {
	cert, issuer *x509.Certificate // a nil issuer is not known
	at           time.Time
	staple       []byte
	index        int // of the certificate in its chain
	left         int // places to fetch from, those of the certificates that come later included
}

// places counts where an answer about a certificate can be fetched.
func (c *Checker) places(cert *x509.Certificate) (n int) {
	if c.o.FetchOCSP != nil {
		n += len(cert.OCSPServer)
	}
	if c.o.FetchCRL != nil {
		n += len(cert.CRLDistributionPoints)
	}
	return n
}

// errSilent is the cause of the end of a context whose place has had its time.
var errSilent = errors.New("no answer in time")

// share is a context for fetching from one place, which leaves time for those that are left:
// a responder that is kept from answering would otherwise keep the lists from being asked.
func (q *question) share(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	part := time.Until(deadline) / time.Duration(max(1, q.left))
	q.left--
	return context.WithTimeoutCause(ctx, part, errSilent)
}

var errStapleMissing = errors.New("no valid OCSP response came with the handshake")

// checkOne asks every source until one answers. The error wraps
// trustkeep.ErrRevoked or says why there is no answer.
func (c *Checker) checkOne(ctx context.Context, q question) error {
	if q.issuer == nil {
		return c.checkUnsigned(q)
	}
	staple, leaf := q.staple, q.index == 0
	var reasons []error
	// answered takes what a source says: nil is a clean answer.
	answered := func(err error) bool {
		if err == nil || errors.Is(err, trustkeep.ErrRevoked) {
			reasons = []error{err}
			return true
		}
		reasons = append(reasons, err)
		return false
	}
	if staple != nil && answered(c.ocspAnswer(q, staple)) {
		// A server can pick an old answer for its staple; a list at hand
		// that says otherwise is not overruled by it.
		if err := c.revokedByLists(q); err != nil {
			return err
		}
		return reasons[0]
	}
	if leaf && (c.o.RequireStaple || mustStaple(q.cert)) {
		if err := c.revokedByLists(q); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", errStapleMissing, errors.Join(reasons...))
	}
	for _, l := range c.lists[string(q.cert.RawIssuer)] {
		if answered(c.listAnswer(q, l)) {
			return reasons[0]
		}
	}
	if c.o.FetchOCSP != nil {
		for _, url := range q.cert.OCSPServer {
			of, cancel := q.share(ctx)
			err := c.askResponder(of, q, url)
			if cancel(); answered(err) {
				return reasons[0]
			}
		}
	}
	if c.o.FetchCRL != nil {
		for _, url := range q.cert.CRLDistributionPoints {
			of, cancel := q.share(ctx)
			err := c.askList(of, q, url)
			if cancel(); answered(err) {
				return reasons[0]
			}
		}
	}
	if len(reasons) == 0 {
		return errNoSource
	}
	return errors.Join(reasons...)
}

var errNoSource = errors.New("no list, no stapled answer, and nowhere to ask")

// revokedByLists reports only bad news.
func (c *Checker) revokedByLists(q question) error {
	for _, l := range c.lists[string(q.cert.RawIssuer)] {
		if err := c.listAnswer(q, l); errors.Is(err, trustkeep.ErrRevoked) {
			return err
		}
	}
	return nil
}

var errNoIssuer = errors.New("the certificate of its issuer was not found, which no answer can do without")

// checkUnsigned looks at a certificate whose issuer is not known, so that no answer about it
// can be verified. A list of the caller that names it counts all the same.
func (c *Checker) checkUnsigned(q question) error {
	if err := c.namedByLists(q); err != nil {
		return err
	}
	if c.o.RequireStaple || mustStaple(q.cert) {
		return fmt.Errorf("%w: %w", errStapleMissing, errNoIssuer)
	}
	return errNoIssuer
}

// namedByLists looks for the certificate in the lists of the caller, whose signatures
// it cannot check.
func (c *Checker) namedByLists(q question) error {
	for _, l := range c.lists[string(q.cert.RawIssuer)] {
		if e := l.find(q.cert.SerialNumber); e != nil && !e.RevocationTime.After(q.at.Add(c.o.Skew)) {
			return revoked(e.RevocationTime, e.ReasonCode, "a list of "+l.name())
		}
	}
	return nil
}
