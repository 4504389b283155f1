package revocation

import (
	"cmp"
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
	// Watched are lists at hand that follow files and folders. See WatchCRLs.
	Watched []*WatchedCRLs
	// FetchCRL gets the list at a URL that a certificate names (RFC 5280
	// section 4.2.1.13), in DER or PEM. It must bound what it reads. If nil, no
	// list is fetched. Several goroutines may call it and FetchOCSP at once, also for
	// one certificate.
	FetchCRL func(ctx context.Context, url string) ([]byte, error)
	// FetchOCSP sends an OCSP request, in DER, to a responder that a
	// certificate names (RFC 5280 section 4.2.2.1) and returns its response. If
	// nil, no responder is asked.
	FetchOCSP func(ctx context.Context, url string, request []byte) ([]byte, error)

	// RequireStaple makes a stapled OCSP answer the only one that counts for
	// the peer's own certificate, whatever the Mode. Certificates that
	// promise one (RFC 7633) are held to it in any case.
	RequireStaple bool

	// Timeout bounds all fetching for one chain. If zero, 10 seconds. Each certificate has an
	// equal share of what is left of it, and all places that it names are asked side by side.
	// Once one has cleared the certificate, the others have a tenth of that share to object.
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

// Checker decides on revocation. It keeps what it has fetched, verified and by the
// issuer that has signed it, for as long as it is valid, and judges it anew for each
// question. It is safe for concurrent use, and several that ask for the same at
// once make one fetch.
type Checker struct {
	o     Options
	lists map[string][]*CRL // supplied, by the raw name of their issuer
	cache *cache
}

// New returns a Checker. It fails with trustkeep.ErrInvalid for a Mode or Coverage out of
// range, for a negative duration or size and for a nil CRL or WatchedCRLs.
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
	if slices.Contains(o.Watched, nil) {
		return nil, &trustkeep.Error{Op: "revocation: nil WatchedCRLs", Err: trustkeep.ErrInvalid, Hint: "was the error of watching checked?"}
	}
	o.Watched = slices.Clone(o.Watched)
	c := &Checker{o: o, lists: map[string][]*CRL{}, cache: newCache(o.MaxCached, o.RetryAfter, o.Clock)}
	for _, l := range o.CRLs {
		if l == nil {
			return nil, &trustkeep.Error{Op: "revocation: nil CRL", Err: trustkeep.ErrInvalid, Hint: "was the error of loading it checked?"}
		}
		issuer := string(l.head.RawIssuer)
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
	if q.At.IsZero() {
		q.At = c.o.Clock()
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errSilent)
	defer cancel()
	results := make([]truststore.RevocationResult, len(q.Chain))
	var subjects []question
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
		}
	}
	// The authorities first: what a revoked one says about others is void.
	for left, one := range slices.Backward(subjects) {
		if q.SelfSigned() {
			if err := c.namedByLists(one); err != nil {
				return nil, newError(one.cert, err)
			}
			results[one.index].Status = truststore.RevocationSelfSigned
			continue
		}
		err := c.checkShare(ctx, left+1, one)
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

// checkShare is checkOne within an equal share of the time that is left.
func (c *Checker) checkShare(ctx context.Context, certificates int, q question) error {
	if certificates == 1 {
		return c.checkOne(ctx, q) // whoever ends the context, ends it for all
	}
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Until(deadline)/time.Duration(certificates), errSilent)
	defer cancel()
	return c.checkOne(ctx, q)
}

// question is about one certificate.
type question struct {
	cert, issuer *x509.Certificate // a nil issuer is not known
	id           issuerID
	at           time.Time
	staple       []byte
	index        int // of the certificate in its chain
}

// finding is what answers mean for a certificate. Bad news comes before good.
type finding struct {
	revoked error // for good
	onHold  error // by the newest answer
	lasting bool  // the hold is that of a current answer, which others are not needed for
	good    bool
	reasons []error // why answers say nothing
}

func (v *finding) because(err error) { v.reasons = append(v.reasons, err) }

// add takes in what other answers mean.
func (v *finding) add(other finding) {
	if v.revoked == nil {
		v.revoked = other.revoked
	}
	if v.onHold == nil || other.lasting {
		v.onHold = cmp.Or(other.onHold, v.onHold)
	}
	v.lasting = v.lasting || other.lasting
	v.good = v.good || other.good
	v.reasons = append(v.reasons, other.reasons...)
}

// bad is the bad news, nil for none.
func (v *finding) bad() error { return cmp.Or(v.revoked, v.onHold) }

// maxReasons bounds how many reasons an error lists.
const maxReasons = 16

// unknown says why there is no answer.
func (v *finding) unknown() error {
	var reasons []error
	seen := map[string]bool{}
	for _, err := range v.reasons {
		if text := err.Error(); !seen[text] && len(reasons) < maxReasons {
			seen[text] = true
			reasons = append(reasons, err)
		}
	}
	if len(reasons) == 0 {
		return errNoSource
	}
	return errors.Join(reasons...)
}

var (
	errNoSource      = errors.New("no list, no stapled answer, and nowhere to ask")
	errStapleMissing = errors.New("no valid OCSP response came with the handshake")
	errNoIssuer      = errors.New("the certificate of its issuer was not found, which no answer can do without")
)

// checkOne asks about a certificate. The error wraps trustkeep.ErrRevoked or says why
// there is no answer.
func (c *Checker) checkOne(ctx context.Context, q question) error {
	if q.issuer == nil {
		return c.checkUnsigned(q)
	}
	q.id = idOf(q.issuer)
	var staple finding
	if q.staple != nil {
		if r, err := readResponse(q.cert, q.issuer, q.staple); err != nil {
			staple.because(err)
		} else {
			staple = c.judgeResponse(q, r)
		}
	}
	// What is at hand comes first. A server can pick an old answer for its staple, which
	// overrules nothing.
	places := c.placesOf(q)
	all := staple
	all.add(c.atHand(q, places, nil))
	switch {
	case all.revoked != nil || all.lasting:
		return all.bad()
	case all.onHold == nil && staple.good:
		return nil
	case !staple.good && q.index == 0 && (c.o.RequireStaple || mustStaple(q.cert)):
		if len(staple.reasons) > 0 {
			return fmt.Errorf("%w: %w", errStapleMissing, staple.unknown())
		}
		return errStapleMissing
	case all.onHold == nil && all.good:
		return nil
	}
	all = staple
	all.add(c.askPlaces(ctx, q, places))
	switch {
	case all.bad() != nil:
		return all.bad()
	case all.good:
		return nil
	}
	return all.unknown()
}

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
	for _, l := range c.held(q) {
		if e := l.find(q.cert.SerialNumber, q.at.Add(c.o.Skew)); e != nil && e.reason != removed && !l.scope.attributes {
			return revoked(e.when, e.reason, "a list of "+l.name())
		}
	}
	return nil
}

// held returns the lists of the caller that are of the issuer's name.
func (c *Checker) held(q question) []*CRL {
	lists := c.lists[string(q.cert.RawIssuer)]
	for _, w := range c.o.Watched {
		lists = slices.Concat(lists, w.of(q.cert.RawIssuer))
	}
	return lists
}
