package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep/internal/testpki"
)

// Responders that hang hide no list that can be reached, however slow, fetched or kept.
func TestHangingRespondersHideNoList(t *testing.T) {
	w := newWorld(t)
	leaf := w.pki.Issue(testpki.Request{Names: []string{"peer.example"}, Edit: func(c *x509.Certificate) {
		c.OCSPServer, c.CRLDistributionPoints = []string{"http://a.example/", "http://b.example/", "http://c.example/"}, []string{crlURL}
	}})
	list := w.list(w.pki.Intermediate, nil, leaf.Cert.SerialNumber)
	for _, slow := range []time.Duration{0, 4 * time.Second, 8 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly,
				FetchCRL: func(c context.Context, _ string) ([]byte, error) {
					select {
					case <-time.After(slow):
						return list, nil
					case <-c.Done():
						return nil, c.Err()
					}
				},
				FetchOCSP: func(c context.Context, _ string, _ []byte) ([]byte, error) { <-c.Done(); return nil, c.Err() },
			})
			for i := range 2 {
				begin := time.Now()
				if err := ch.check(t.Context(), leaf.Chain, nil, w.now); outcome(err) != "revoked" {
					t.Errorf("%s, %d: %v", slow, i, err)
				}
				if took := time.Since(begin); took > slow || i > 0 && took > 0 {
					t.Errorf("%s, %d: took %s", slow, i, took)
				}
			}
		})
	}
}

// A certificate that was never asked about does not wait for a responder that is known to
// hang, and one that does not end with its context is not waited for either.
func TestSilenceOfAResponderIsRemembered(t *testing.T) {
	w := newWorld(t)
	second := w.pki.Issue(testpki.Request{Names: []string{"second.example"}, Edit: func(c *x509.Certificate) { c.OCSPServer = []string{ocspURL} }})
	for _, obeys := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			forever := make(chan struct{})
			defer close(forever)
			var asked atomic.Int64
			ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, FetchOCSP: func(c context.Context, _ string, _ []byte) ([]byte, error) {
				asked.Add(1)
				if obeys {
					<-c.Done()
				} else {
					<-forever
				}
				return nil, errors.New("the end")
			}})
			begin := time.Now()
			for range 3 {
				for _, chain := range [][]*x509.Certificate{w.chain(), second.Chain} {
					if err := ch.check(t.Context(), chain, nil, w.now); err != nil {
						t.Error(err)
					}
				}
			}
			if asked.Load() != 1 || time.Since(begin) != 10*time.Second {
				t.Errorf("asked %d times, %s", asked.Load(), time.Since(begin))
			}
		})
	}
}

// The checker returns when its context ends, whatever the hooks do, and an answer that comes
// late is taken for the next.
func TestHooksThatDoNotEnd(t *testing.T) {
	w := newWorld(t)
	list := w.list(w.pki.Intermediate, nil)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int64
		ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: func(context.Context, string) ([]byte, error) { asked.Add(1); <-release; return list, nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := ch.check(ctx, w.chain(), nil, w.now); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "unknown" || time.Since(begin) != 11*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(release)
		synctest.Wait()
		if err := ch.check(t.Context(), w.chain(), nil, w.now); err != nil || asked.Load() != 2 {
			t.Errorf("%v, asked %d times", err, asked.Load())
		}
	})
}

// Who answers second may still say that the certificate is revoked, within a tenth of the
// time; who hangs does not delay a good answer longer than that.
func TestOthersMayObject(t *testing.T) {
	w := newWorld(t)
	good, list := w.response(ocsp.Good, nil, nil), w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	for _, c := range []struct {
		delay time.Duration
		want  string
		took  time.Duration
	}{{0, "revoked", 0}, {900 * time.Millisecond, "revoked", 900 * time.Millisecond}, {time.Hour, "good", time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			ch := w.checker(Options{Coverage: LeafOnly,
				FetchOCSP: func(context.Context, string, []byte) ([]byte, error) { return good, nil },
				FetchCRL: func(ctx context.Context, _ string) ([]byte, error) {
					select {
					case <-time.After(c.delay):
						return list, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}})
			begin := time.Now()
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want || time.Since(begin) != c.took {
				t.Errorf("%s: %v after %s", c.delay, err, time.Since(begin))
			}
		})
	}
}

// What a place has revoked stays so when it can no longer be reached, or has an older list.
func TestRevocationOutlivesItsSource(t *testing.T) {
	w := newWorld(t)
	bad := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	old := w.listOf(listSpec{0, 30 * time.Hour, 100 * time.Hour, nil, nil, nil})
	response := w.response(ocsp.Revoked, nil, nil)
	for name, then := range map[string]func() ([]byte, error){
		"down":      func() ([]byte, error) { return nil, errors.New("down") },
		"old again": func() ([]byte, error) { return old, nil },
	} {
		now, down := w.now, false
		ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, Clock: func() time.Time { return now }, FetchCRL: func(context.Context, string) ([]byte, error) {
			if down {
				return then()
			}
			return bad, nil
		}})
		for range 3 {
			if err := ch.check(t.Context(), w.chain(), nil, now); outcome(err) != "revoked" {
				t.Errorf("%s at %s: %v", name, now, err)
			}
			now, down = now.Add(40*time.Hour), true
		}
	}
	now, n := w.now, 0
	ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, Clock: func() time.Time { return now }, FetchOCSP: func(context.Context, string, []byte) ([]byte, error) {
		if n++; n > 1 {
			return nil, errors.New("down")
		}
		return response, nil
	}})
	for range 3 {
		if err := ch.check(t.Context(), w.chain(), nil, now); outcome(err) != "revoked" {
			t.Errorf("responder at %s: %v", now, err)
		}
		now = now.Add(40 * time.Hour)
	}
}

// A certificate with any number of URLs causes a bounded number of fetches.
func TestPlacesAreBounded(t *testing.T) {
	w := newWorld(t)
	leaf := w.pki.Issue(testpki.Request{Names: []string{"many.example"}, Edit: func(c *x509.Certificate) {
		for i := range 500 {
			c.CRLDistributionPoints = append(c.CRLDistributionPoints, fmt.Sprintf("http://crl.example/%d", i/2))
			c.OCSPServer = append(c.OCSPServer, fmt.Sprintf("http://ocsp.example/%d", i/2))
		}
	}})
	f := &fetcher{err: errors.New("down")}
	if err := w.checker(Options{Coverage: LeafOnly, FetchCRL: f.crl, FetchOCSP: f.ocsp}).check(t.Context(), leaf.Chain, nil, w.now); outcome(err) != "unknown" || f.n.Load() != 2*maxPlaces {
		t.Errorf("%v, %d fetches", err, f.n.Load())
	}
}
