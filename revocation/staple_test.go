package revocation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// changing is an identity that can be exchanged.
type changing struct {
	now atomic.Pointer[tls.Certificate]
}

func (c *changing) set(id *testpki.Identity) {
	cert := id.TLSCertificate()
	c.now.Store(&cert)
}

func (c *changing) TLSCertificate() (*tls.Certificate, error) { return c.now.Load(), nil }

// responder answers about the leaf of its world.
type responder struct {
	asked  int
	answer []byte
	err    error
}

func (r *responder) fetch(context.Context, string, []byte) ([]byte, error) {
	r.asked++
	return r.answer, r.err
}

func (w *world) mustStaple() *testpki.Identity {
	return w.pki.Issue(testpki.Request{Names: []string{"must.example"}, Edit: func(c *x509.Certificate) {
		c.OCSPServer = []string{ocspURL}
		c.ExtraExtensions = append(c.ExtraExtensions, extension(tlsFeature, false, 0x30, 3, 2, 1, 5))
	}})
}

// Nothing is stapled but a good and current response about the very certificate, by its
// issuer.
func TestStapledIdentity(t *testing.T) {
	w := newWorld(t)
	plain, must := w.leaf, w.mustStaple()
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other", Now: w.now})
	for name, c := range map[string]struct {
		answer func() []byte
		err    error
		staple bool
		is     error
	}{
		"good":                {func() []byte { return w.response(ocsp.Good, nil, nil) }, nil, true, nil},
		"good, by a delegate": {func() []byte { return w.response(ocsp.Good, w.responder(x509.ExtKeyUsageOCSPSigning), nil) }, nil, true, nil},
		"revoked":             {func() []byte { return w.response(ocsp.Revoked, nil, nil) }, nil, false, trustkeep.ErrRevoked},
		"on hold": {func() []byte {
			return w.response(ocsp.Revoked, nil, func(r *ocsp.Response) { r.RevocationReason = ocsp.CertificateHold })
		}, nil, false, trustkeep.ErrRevoked},
		"unknown": {func() []byte { return w.response(ocsp.Unknown, nil, nil) }, nil, false, nil},
		"stale": {func() []byte {
			return w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.NextUpdate = w.now.Add(-time.Minute) })
		}, nil, false, nil},
		"of the future": {func() []byte {
			return w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.ThisUpdate = w.now.Add(time.Hour) })
		}, nil, false, nil},
		"about another": {func() []byte {
			return w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.SerialNumber = w.pki.Root.Cert.SerialNumber })
		}, nil, false, nil},
		"by somebody else":      {func() []byte { return w.response(ocsp.Good, other.Intermediate, nil) }, nil, false, nil},
		"by one of its clients": {func() []byte { return w.response(ocsp.Good, w.responder(x509.ExtKeyUsageClientAuth), nil) }, nil, false, nil},
		"an error response":     {func() []byte { return ocsp.TryLaterErrorResponse }, nil, false, nil},
		"garbage":               {func() []byte { return []byte("garbage") }, nil, false, nil},
		"no answer":             {func() []byte { return nil }, errors.New("down"), false, nil},
	} {
		for kind, leaf := range map[string]*testpki.Identity{"plain": plain, "must-staple": must} {
			w.leaf = leaf
			var id changing
			id.set(leaf)
			id.now.Load().OCSPStaple = []byte("of somebody")
			r := &responder{answer: c.answer(), err: c.err}
			var told []error
			s, err := NewStapled(t.Context(), &id, StapleOptions{FetchOCSP: r.fetch, Clock: w.pki.Now, OnError: func(err error) { told = append(told, err) }})
			if err != nil {
				t.Fatal(err)
			}
			cert, err := s.TLSCertificate()
			switch {
			case c.staple:
				if err != nil || !bytes.Equal(cert.OCSPStaple, r.answer) || s.Err() != nil || told != nil {
					t.Errorf("%s, %s: %v, reported %v", name, kind, err, told)
				}
			case kind == "plain":
				if err != nil || cert.OCSPStaple != nil {
					t.Errorf("%s, %s: %v", name, kind, err)
				}
			case err == nil || !errors.Is(err, s.Err()):
				t.Errorf("%s, %s: %v", name, kind, err)
			}
			if !c.staple && (len(told) != 1 || s.Err() == nil || c.is != nil && !errors.Is(told[0], c.is)) {
				t.Errorf("%s, %s: reported %v", name, kind, told)
			}
			if string(id.now.Load().OCSPStaple) != "of somebody" {
				t.Error("the identity's own certificate was changed")
			}
			noError(t, s.Close())
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What was good is not stapled once it is out of date, about another certificate, or taken
// back.
func TestStapleEndsInTime(t *testing.T) {
	w := newWorld(t)
	now := w.now
	var id changing
	id.set(w.leaf)
	r := &responder{answer: w.response(ocsp.Good, nil, nil)}
	s, err := NewStapled(t.Context(), &id, StapleOptions{FetchOCSP: r.fetch, Clock: func() time.Time { return now }})
	noError(t, err)
	noError(t, s.Close()) // asked by the test alone
	stapled := func() bool {
		t.Helper()
		cert, err := s.TLSCertificate()
		noError(t, err)
		return cert.OCSPStaple != nil
	}
	if first, _ := s.TLSCertificate(); !stapled() {
		t.Error("a good response is not stapled")
	} else if again, _ := s.TLSCertificate(); again != first {
		t.Error("the same certificate is not the same for a server")
	}
	now = w.now.Add(time.Hour) // nextUpdate
	if stapled() {
		t.Error("a response is stapled after its end")
	}
	now = w.now.Add(-2 * time.Hour)
	if stapled() {
		t.Error("a response is stapled before its beginning")
	}
	now = w.now
	renewed := w.pki.Issue(testpki.Request{Names: []string{"peer.example"}, KeyOf: w.leaf, Edit: func(c *x509.Certificate) { c.OCSPServer = []string{ocspURL} }})
	id.set(renewed)
	if stapled() {
		t.Error("a response about the old certificate is stapled to the new one")
	}
	id.set(w.leaf)
	if !stapled() {
		t.Error("the response is lost")
	}
	if err := s.Refresh(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	s, err = NewStapled(t.Context(), &id, StapleOptions{FetchOCSP: r.fetch, Clock: func() time.Time { return now }})
	noError(t, err)
	defer s.Close()
	newest := r.answer
	r.answer = w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.ThisUpdate = w.now.Add(-3 * time.Hour) })
	noError(t, s.Refresh(t.Context()))
	if cert, _ := s.TLSCertificate(); !bytes.Equal(cert.OCSPStaple, newest) {
		t.Error("an older response took the place of a newer one")
	}
	r.err = errors.New("down")
	if err := s.Refresh(t.Context()); !errors.Is(err, r.err) || !stapled() {
		t.Errorf("while the responder is down: %v", err)
	}
	r.err, r.answer = nil, w.response(ocsp.Revoked, nil, nil)
	if err := s.Refresh(t.Context()); !errors.Is(err, trustkeep.ErrRevoked) || stapled() {
		t.Errorf("revoked: %v", err)
	}
}

// The goroutine refreshes in time, tries again after failures, follows the identity, and
// asks no more often for all the handshakes in between.
func TestStapleIsRefreshed(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		offset := time.Until(w.now)
		clock := func() time.Time { return time.Now().Add(offset) }
		var id changing
		id.set(w.leaf)
		var asked atomic.Int64
		var down atomic.Bool
		fetch := func(_ context.Context, _ string, _ []byte) ([]byte, error) {
			asked.Add(1)
			if down.Load() {
				return nil, errors.New("down")
			}
			return w.response(ocsp.Good, nil, func(r *ocsp.Response) {
				leaf, _ := x509.ParseCertificate(id.now.Load().Certificate[0])
				r.SerialNumber, r.ThisUpdate, r.NextUpdate = leaf.SerialNumber, clock(), clock().Add(24*time.Hour)
			}), nil
		}
		s, err := NewStapled(t.Context(), &id, StapleOptions{FetchOCSP: fetch, Clock: clock})
		noError(t, err)
		defer s.Close()
		expect := func(what string, n int64, staple bool) {
			t.Helper()
			synctest.Wait()
			cert, err := s.TLSCertificate()
			if err != nil || (cert.OCSPStaple != nil) != staple || asked.Load() != n {
				t.Errorf("%s: %v, stapled %t, asked %d times, want %d", what, err, cert.OCSPStaple != nil, asked.Load(), n)
			}
		}
		expect("at first", 1, true)
		<-time.After(10 * time.Hour)
		expect("each hour", 11, true)
		down.Store(true)
		<-time.After(2 * time.Hour) // of failures each minute
		expect("down", 11+61, true)
		<-time.After(24 * time.Hour)
		synctest.Wait()
		n := asked.Load()
		for range 100 {
			expect("out of date", n, false)
		}
		down.Store(false)
		<-time.After(time.Minute)
		expect("up again", n+1, true)
		id.set(w.pki.Issue(testpki.Request{Names: []string{"renewed.example"}, Edit: func(c *x509.Certificate) { c.OCSPServer = []string{ocspURL} }}))
		if cert, err := s.TLSCertificate(); err != nil || cert.OCSPStaple != nil {
			t.Errorf("renewed: %v", err)
		}
		expect("renewed", n+2, true)
	})
}

// A responder that hangs, panics or does not heed its context keeps nobody waiting.
func TestStapleDoesNotWaitForResponders(t *testing.T) {
	w := newWorld(t)
	for name, fetch := range map[string]func(ctx context.Context, forever chan struct{}){
		"hangs":   func(ctx context.Context, _ chan struct{}) { <-ctx.Done() },
		"ignores": func(_ context.Context, forever chan struct{}) { <-forever },
		"panics":  func(context.Context, chan struct{}) { panic("a hook of the caller's") },
	} {
		synctest.Test(t, func(t *testing.T) {
			forever := make(chan struct{})
			defer close(forever)
			var id changing
			id.set(w.leaf)
			begin := time.Now()
			s, err := NewStapled(t.Context(), &id, StapleOptions{Clock: w.pki.Now, FetchOCSP: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				fetch(ctx, forever)
				return nil, errors.New("the end")
			}})
			noError(t, err)
			if cert, err := s.TLSCertificate(); err != nil || cert.OCSPStaple != nil || s.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
			noError(t, s.Close())
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("%s: %s", name, took)
			}
		})
	}
}

func TestStapledMistakes(t *testing.T) {
	w := newWorld(t)
	var id, alone, silent changing
	id.set(w.leaf)
	cert := w.leaf.TLSCertificate()
	cert.Certificate = cert.Certificate[:1]
	alone.now.Store(&cert)
	silent.set(w.pki.Server("silent.example"))
	r := &responder{answer: w.response(ocsp.Good, nil, nil)}
	for name, c := range map[string]struct {
		id  trustkeep.Identity
		o   StapleOptions
		err error
	}{
		"no identity":         {nil, StapleOptions{FetchOCSP: r.fetch}, trustkeep.ErrInvalid},
		"nil identity":        {(*changing)(nil), StapleOptions{FetchOCSP: r.fetch}, trustkeep.ErrInvalid},
		"no FetchOCSP":        {&id, StapleOptions{}, trustkeep.ErrInvalid},
		"negative":            {&id, StapleOptions{FetchOCSP: r.fetch, Refresh: -1}, trustkeep.ErrInvalid},
		"no responder":        {&silent, StapleOptions{FetchOCSP: r.fetch}, trustkeep.ErrUnsupported},
		"no issuer":           {&alone, StapleOptions{FetchOCSP: r.fetch}, trustkeep.ErrUnsupported},
		"the issuer of other": {&alone, StapleOptions{FetchOCSP: r.fetch, Issuer: w.pki.Root.Cert}, trustkeep.ErrUnsupported},
		"a given issuer":      {&alone, StapleOptions{FetchOCSP: r.fetch, Issuer: w.pki.Intermediate.Cert, Clock: w.pki.Now}, nil},
	} {
		s, err := NewStapled(t.Context(), c.id, c.o)
		if !errors.Is(err, c.err) || (s == nil) != (c.err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if s != nil {
			testleak.Check(t, s, w.leaf.PKCS8())
			noError(t, s.Close())
		}
	}
}
