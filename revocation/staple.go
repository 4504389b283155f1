package revocation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// StapleOptions configures a Stapled identity. FetchOCSP must be set, the rest has defaults.
type StapleOptions struct {
	// FetchOCSP is as in Options: HTTP{}.FetchOCSP, for instance. It must be set.
	FetchOCSP func(ctx context.Context, url string, request []byte) ([]byte, error)
	// Issuer of the identity's certificate. If nil, the next one in its chain.
	Issuer *x509.Certificate
	// Refresh is how often the responder is asked, at most. If zero, each hour. A response
	// that ends earlier is replaced at half of its time.
	Refresh time.Duration
	// Timeout bounds one asking. If zero, 10 seconds.
	Timeout time.Duration
	// RetryAfter is how long to wait after a failure. If zero, 1 minute.
	RetryAfter time.Duration
	// MaxAge is for how long a response is stapled from when it was given. If zero, as in
	// Options: until the end that it names, and 1 day for one that names none.
	MaxAge time.Duration
	// OnError is called with each failure once, and with nil when it has passed. It wraps
	// trustkeep.ErrRevoked if the identity's own certificate was revoked. It must not call
	// methods of the identity. If nil, nobody is told.
	OnError func(error)
	// Clock tells the time. If nil, time.Now.
	Clock func() time.Time
}

// Stapled is an identity of a server that presents the current OCSP response about itself
// with its certificate (RFC 6066 section 8). One goroutine asks the responder, until
// Close. It is safe for concurrent use.
//
// A response is stapled only if it is about the certificate that is presented, signed by its
// issuer or for it, good, and not out of date at that moment. Without one, the certificate is
// presented alone, unless it promises a staple (RFC 7633): then TLSCertificate fails.
type Stapled struct {
	identity func() trustkeep.Identity // see redact.Hidden
	o        StapleOptions
	judge    *Checker
	now      atomic.Pointer[staple]
	last     atomic.Pointer[attempt]
	shown    atomic.Pointer[shown]
	turn     chan struct{} // held by who asks the responder
	wake     chan struct{}
	cancel   context.CancelFunc
	ctx      context.Context
	done     chan struct{}
	told     string // under turn
}

// staple is a response and the certificate that it is about.
type staple struct {
	leaf     []byte
	der      []byte
	response *ocsp.Response
	question question
	until    time.Time
}

// attempt is how the responder was last asked.
type attempt struct {
	err  error
	leaf []byte
	at   time.Time
}

// shown is a certificate as it was presented, for the next handshake.
type shown struct {
	from, with *tls.Certificate
	staple     *staple
}

// NewStapled returns an identity that staples. It asks the responder once before it returns,
// while ctx lasts; a failure to answer is reported to OnError and tried again.
//
// It fails with trustkeep.ErrInvalid for a nil identity, no FetchOCSP and negative durations, and with
// trustkeep.ErrUnsupported for a certificate that names no responder or whose issuer is not
// known. Errors of the identity are passed on.
func NewStapled(ctx context.Context, identity trustkeep.Identity, o StapleOptions) (*Stapled, error) {
	if given.IsNil(identity) || o.FetchOCSP == nil || min(o.Refresh, o.Timeout, o.RetryAfter, o.MaxAge) < 0 {
		return nil, &trustkeep.Error{Op: "revocation: staple", Err: trustkeep.ErrInvalid, Hint: "an identity and FetchOCSP are needed, and no duration may be negative"}
	}
	setDefault(&o.Refresh, time.Hour)
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.RetryAfter, time.Minute)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	judge, err := New(Options{MaxAge: o.MaxAge, Clock: o.Clock})
	if err != nil {
		return nil, err
	}
	s := &Stapled{identity: redact.Hidden(identity), o: o, judge: judge, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), done: make(chan struct{})}
	cert, err := identity.TLSCertificate()
	if err == nil {
		_, err = s.questionOf(cert)
	}
	if err != nil {
		return nil, fmt.Errorf("revocation: staple: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	_ = s.Refresh(ctx) // it was reported
	go s.run()
	return s, nil
}

// TLSCertificate returns that of the identity, with a current response. It never waits for
// the responder. For a certificate that promises a staple (RFC 7633), it fails while there is
// none, with the reason, or with trustkeep.ErrNotFound.
func (s *Stapled) TLSCertificate() (*tls.Certificate, error) {
	cert, err := s.identity().TLSCertificate()
	if err != nil || cert == nil || len(cert.Certificate) == 0 {
		return cert, err
	}
	st := s.now.Load()
	if st != nil && !s.current(st, cert.Certificate[0], s.o.Clock()) {
		st = nil
	}
	if st == nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if last := s.shown.Load(); last != nil && last.from == cert && last.staple == st {
		return last.with, nil
	}
	if st == nil {
		if err := s.promised(cert); err != nil {
			return nil, err
		}
	}
	with := *cert
	if with.OCSPStaple = nil; st != nil {
		with.OCSPStaple = st.der
	}
	s.shown.Store(&shown{from: cert, with: &with, staple: st})
	return &with, nil
}

// promised is the error of a certificate that must not be presented alone.
func (s *Stapled) promised(cert *tls.Certificate) error {
	leaf, err := leafOf(cert)
	if err != nil || !mustStaple(leaf) {
		return err
	}
	err = fmt.Errorf("no current OCSP response: %w", trustkeep.ErrNotFound)
	if last := s.last.Load(); last != nil && last.err != nil && bytes.Equal(last.leaf, leaf.Raw) {
		err = last.err
	}
	return &trustkeep.Error{Op: "revocation: staple", Err: err, Hint: "the certificate promises a stapled response, so clients would refuse it without one"}
}

// Err is why there is no current response, or why it could not be replaced at the last attempt;
// nil if it was. It never waits.
func (s *Stapled) Err() error {
	if last := s.last.Load(); last != nil {
		return last.err
	}
	return nil
}

// Refresh asks the responder now. The error says why there is no new response; it is that of
// the context when it ends, and fs.ErrClosed after Close.
func (s *Stapled) Refresh(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return fs.ErrClosed
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return fs.ErrClosed
	}
	defer func() { <-s.turn }()
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.Timeout, errSilent)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	leaf, err := s.renew(ctx)
	if err != nil && s.ctx.Err() != nil {
		return fs.ErrClosed
	}
	if err != nil {
		err = fmt.Errorf("revocation: staple: %w", err)
	}
	s.last.Store(&attempt{err, leaf, s.o.Clock()})
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.told {
		s.told = text
		if s.o.OnError != nil {
			s.o.OnError(err)
		}
	}
	return err
}

// Close ends the asking and waits for the goroutine, save for a FetchOCSP that does not end
// with its context. The identity goes on to present what it has, while that is current.
func (s *Stapled) Close() error {
	s.cancel()
	<-s.done
	return nil
}

// run asks the responder when the time has come.
func (s *Stapled) run() {
	defer close(s.done)
	timer := time.NewTimer(s.next())
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
			if s.tooSoon() {
				continue
			}
		}
		_ = s.Refresh(s.ctx) // it was reported
		timer.Reset(s.next())
	}
}

// tooSoon reports whether the responder has just been asked about the certificate of now:
// every handshake without a response wants one.
func (s *Stapled) tooSoon() bool {
	last := s.last.Load()
	if last == nil {
		return false
	}
	cert, err := s.identity().TLSCertificate()
	same := err == nil && cert != nil && len(cert.Certificate) > 0 && bytes.Equal(cert.Certificate[0], last.leaf)
	return same && s.o.Clock().Sub(last.at) < s.next()
}

// next is how long to wait before the responder is asked again.
func (s *Stapled) next() time.Duration {
	st, err := s.now.Load(), s.Err()
	switch {
	case errors.Is(err, trustkeep.ErrRevoked):
		return s.o.Refresh
	case st == nil || err != nil:
		return s.o.RetryAfter
	}
	return max(min(s.o.Refresh, st.until.Sub(s.o.Clock())/2), s.o.RetryAfter)
}

// renew fetches a response about the certificate of now.
func (s *Stapled) renew(ctx context.Context) (leaf []byte, err error) {
	cert, err := s.identity().TLSCertificate()
	if err != nil {
		return nil, err
	}
	q, err := s.questionOf(cert)
	if err != nil {
		return nil, err
	}
	var errs []error
	urls := q.cert.OCSPServer[:min(len(q.cert.OCSPServer), maxPlaces)]
	deadline, _ := ctx.Deadline()
	for i, url := range urls {
		one, cancel := ctx, context.CancelFunc(func() {})
		if left := len(urls) - i; left > 1 {
			one, cancel = context.WithTimeoutCause(ctx, time.Until(deadline)/time.Duration(left), errSilent)
		}
		err := s.renewFrom(one, q, url)
		if cancel(); err == nil || errors.Is(err, trustkeep.ErrRevoked) {
			return q.cert.Raw, err
		}
		errs = append(errs, err)
	}
	return q.cert.Raw, errors.Join(errs...)
}

func (s *Stapled) renewFrom(ctx context.Context, q question, url string) error {
	type answer struct {
		r   *ocsp.Response
		err error
	}
	answers := make(chan answer, 1)
	go func() { // a hook may not end with its context
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("FetchOCSP panicked: %s", trustkeep.Printable(fmt.Sprint(p)))
			}
			answers <- a
		}()
		a.r, a.err = fetchResponse(func(request []byte) ([]byte, error) { return s.o.FetchOCSP(ctx, url, request) }, q.cert, q.issuer)
	}()
	var r *ocsp.Response
	select {
	case a := <-answers:
		if a.err != nil {
			return a.err
		}
		r = a.r
	case <-ctx.Done():
		return fmt.Errorf("OCSP: %w", context.Cause(ctx))
	}
	q.at = s.o.Clock()
	v := s.judge.judgeResponse(q, r)
	old := s.now.Load()
	if old != nil && !bytes.Equal(old.leaf, q.cert.Raw) {
		old = nil
	}
	switch {
	case v.bad() != nil:
		s.now.Store(nil)
		return v.bad()
	case !v.good:
		return v.unknown()
	case old != nil && r.ThisUpdate.Before(old.response.ThisUpdate) && s.current(old, q.cert.Raw, q.at):
		return nil // an older one, of a responder behind the others
	}
	until, err := s.judge.fresh(r.ThisUpdate, r.NextUpdate, q.at)
	if err != nil || !until.After(q.at) {
		return errors.New("the OCSP response is out of date")
	}
	s.now.Store(&staple{leaf: q.cert.Raw, der: bytes.Clone(r.Raw), response: r, question: q, until: until})
	return nil
}

// current reports whether a response can be stapled to a certificate now.
func (s *Stapled) current(st *staple, leaf []byte, now time.Time) bool {
	q := st.question
	q.at = now
	return bytes.Equal(st.leaf, leaf) && now.Before(st.until) && s.judge.judgeResponse(q, st.response).good
}

// questionOf asks about the certificate of an identity.
func (s *Stapled) questionOf(cert *tls.Certificate) (q question, err error) {
	if q.cert, err = leafOf(cert); err != nil {
		return q, err
	}
	if len(q.cert.OCSPServer) == 0 {
		return q, fmt.Errorf("the certificate names no OCSP responder: %w", trustkeep.ErrUnsupported)
	}
	q.issuer = s.o.Issuer
	if q.issuer == nil && len(cert.Certificate) > 1 {
		if q.issuer, err = x509.ParseCertificate(cert.Certificate[1]); err != nil {
			return q, fmt.Errorf("issuer: %w: %w", trustkeep.ErrCorrupt, errtext.Bound(err))
		}
	}
	if q.issuer == nil || q.cert.CheckSignatureFrom(q.issuer) != nil {
		return q, fmt.Errorf("the issuer of the certificate is not known: %w", trustkeep.ErrUnsupported)
	}
	q.id = idOf(q.issuer)
	return q, nil
}

func leafOf(cert *tls.Certificate) (*x509.Certificate, error) {
	switch {
	case cert == nil || len(cert.Certificate) == 0:
		return nil, fmt.Errorf("certificate is missing: %w", trustkeep.ErrEmpty)
	case cert.Leaf != nil:
		return cert.Leaf, nil
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: %w", trustkeep.ErrCorrupt, errtext.Bound(err))
	}
	return leaf, nil
}
