package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
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

// CheckRevocation decides on a chain that is trusted otherwise: the peer's
// certificate first, the anchor last. staple is the OCSP response that came with
// the handshake, nil for none; at is the time of the decision. The context and
// Options.Timeout end the fetching. What the end of the context has kept from being learned is
// refused in every Mode.
//
// The error is an *Error. It wraps trustkeep.ErrRevoked for a certificate that
// was revoked; any other means that nothing could be learned.
func (c *Checker) CheckRevocation(ctx context.Context, chain []*x509.Certificate, staple []byte, at time.Time) error {
	if c == nil || len(chain) == 0 {
		return &trustkeep.Error{Op: "revocation: nothing to check", Err: trustkeep.ErrInvalid}
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errSilent)
	defer cancel()
	if len(chain) == 1 {
		return c.checkExact(chain[0], staple, at)
	}
	n := len(chain) - 1
	if c.o.Coverage == LeafOnly {
		n = 1
	}
	left := 0 // places where something can be fetched
	for _, cert := range chain[:n] {
		left += c.places(cert)
	}
	// The authorities first: what a revoked one says about others is void.
	for i := n - 1; i >= 0; i-- {
		q := question{cert: chain[i], issuer: chain[i+1], at: at, left: left}
		left -= c.places(chain[i])
		var s []byte
		if i == 0 {
			s = staple
		}
		err := c.checkOne(ctx, q, s, i == 0)
		if err == nil {
			continue
		}
		if caller.Err() != nil && !errors.Is(err, caller.Err()) {
			err = fmt.Errorf("%w: %w", caller.Err(), err)
		}
		if !errors.Is(err, trustkeep.ErrRevoked) && c.o.Mode == SoftFail && !errors.Is(err, errStapleMissing) && caller.Err() == nil {
			if c.o.OnUnknown != nil {
				c.o.OnUnknown(chain[i], err)
			}
			continue
		}
		return newError(chain[i], err)
	}
	return nil
}

// question is about one certificate.
type question struct {
	cert, issuer *x509.Certificate
	at           time.Time
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
func (c *Checker) checkOne(ctx context.Context, q question, staple []byte, leaf bool) error {
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

// checkExact looks at a certificate whose issuer is not known: it is trusted for
// itself. A list of the caller that names it counts, although its signature
// cannot be checked; everything else is silence, which is no reason to refuse
// what the caller trusts by name. A self-signed certificate is its own issuer.
func (c *Checker) checkExact(cert *x509.Certificate, staple []byte, at time.Time) error {
	selfIssued := bytes.Equal(cert.RawIssuer, cert.RawSubject)
	for _, l := range c.lists[string(cert.RawIssuer)] {
		if e := l.find(cert.SerialNumber); e != nil && !e.RevocationTime.After(at.Add(c.o.Skew)) {
			return newError(cert, revoked(e.RevocationTime, e.ReasonCode, "a list of "+l.name()))
		}
	}
	if staple != nil && selfIssued {
		if err := c.ocspAnswer(question{cert: cert, issuer: cert, at: at}, staple); errors.Is(err, trustkeep.ErrRevoked) {
			return newError(cert, err)
		}
	}
	return nil
}
