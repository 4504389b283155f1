package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
)

// A caller who gives up takes neither the answer nor the refusal from others who wait for the same.
func TestOneCallersEndIsNotThatOfOthers(t *testing.T) {
	w := newWorld(t)
	list := w.list(w.pki.Intermediate, nil)
	for name, end := range map[string]func(c context.Context) ([]byte, error){
		"given up": func(c context.Context) ([]byte, error) { <-c.Done(); return nil, c.Err() },
		"panic":    func(c context.Context) ([]byte, error) { <-c.Done(); panic("a hook of the caller's") },
	} {
		synctest.Test(t, func(t *testing.T) {
			first, giveUp := context.WithCancel(t.Context())
			calls := 0
			ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: func(c context.Context, _ string) ([]byte, error) {
				if calls++; calls == 1 {
					return end(c)
				}
				return list, nil
			}})
			go func() {
				defer func() { _ = recover() }()
				_ = ch.check(first, w.chain(), nil, w.now)
			}()
			synctest.Wait()
			others := make(chan error, 3)
			for range cap(others) {
				go func() { others <- ch.check(t.Context(), w.chain(), nil, w.now) }()
			}
			synctest.Wait()
			giveUp()
			for range cap(others) {
				if err := <-others; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if calls != 2 {
				t.Errorf("%s: %d fetches", name, calls)
			}
		})
	}
}

// Nothing learned because the caller's context has ended is no reason to accept, whatever the
// mode; nothing learned within the checker's own bound is.
func TestSoftFailDoesNotOutliveTheContext(t *testing.T) {
	w := newWorld(t)
	hang := func(c context.Context, _ string) ([]byte, error) { <-c.Done(); return nil, c.Err() }
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, ctx := range []context.Context{ended, short} {
			told := 0
			ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, FetchCRL: hang, OnUnknown: func(_ *x509.Certificate, _ error) { told++ }})
			if err := ch.check(ctx, w.chain(), nil, w.now); !errors.Is(err, ctx.Err()) || err == nil || told != 0 {
				t.Errorf("%v, told %d times", err, told)
			}
			if err := ch.check(t.Context(), w.chain(), nil, w.now); err != nil || told != 1 {
				t.Errorf("own bound: %v, told %d times", err, told)
			}
		}
	})
}

// A certificate of another issuer that names the same list does not keep it from those whose
// list it is.
func TestListOfAnotherIssuer(t *testing.T) {
	w := newWorld(t)
	other := testpki.New(t, testpki.Options{Seed: "another issuer", Now: w.now})
	stranger := other.Issue(testpki.Request{Names: []string{"stranger.example"}, Edit: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{crlURL} }})
	f := &fetcher{data: w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)}
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: f.crl})
	if err := ch.check(t.Context(), stranger.Chain, nil, w.now); outcome(err) != "unknown" {
		t.Errorf("stranger: %v", err)
	}
	if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" {
		t.Errorf("revoked, and a stranger came before: %v", err)
	}
}

// A responder that does not answer leaves time for the list, which may know better, and is not
// waited for by the next who asks.
func TestSilentResponderLeavesTimeForTheList(t *testing.T) {
	w := newWorld(t)
	list := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, FetchCRL: func(c context.Context, _ string) ([]byte, error) { return list, c.Err() },
			FetchOCSP: func(c context.Context, _ string, _ []byte) ([]byte, error) {
				asked.Add(1)
				<-c.Done()
				return nil, c.Err()
			}})
		begin := time.Now()
		for i := range 2 {
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" {
				t.Errorf("%d: %v", i, err)
			}
		}
		if asked.Load() > 1 || time.Since(begin) >= 10*time.Second {
			t.Errorf("asked %d times, %s", asked.Load(), time.Since(begin))
		}
	})
}

// One place alone that does not answer is waited for once, and not by each who asks.
func TestSilentPlaceIsNotAskedAgainAtOnce(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		now := w.now
		var asked atomic.Int64
		ch := w.checker(Options{Coverage: LeafOnly, Clock: func() time.Time { return now }, FetchCRL: func(c context.Context, _ string) ([]byte, error) { asked.Add(1); <-c.Done(); return nil, c.Err() }})
		begin := time.Now()
		for range 100 {
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "unknown" {
				t.Fatal(err)
			}
		}
		if asked.Load() != 1 || time.Since(begin) != 10*time.Second {
			t.Errorf("asked %d times, %s", asked.Load(), time.Since(begin))
		}
		now = now.Add(time.Minute)
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "unknown" || asked.Load() != 2 {
			t.Errorf("%v, asked %d times", err, asked.Load())
		}
	})
}
