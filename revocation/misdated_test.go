package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// A list that is out names what is revoked, whatever date it gives to the revocation: some
// authorities write local time. A list of later says nothing about the time before.
func TestRevocationsOfTheFutureCount(t *testing.T) {
	w := newWorld(t)
	dated := func(reason int, issued, when time.Time) *CRL {
		return w.parsed(w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
			l.ThisUpdate = issued
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: w.leaf.Cert.SerialNumber, RevocationTime: when, ReasonCode: reason}}
		}))
	}
	for name, c := range map[string]struct {
		list *CRL
		want string
	}{
		"a current list, for good":   {dated(1, w.now.Add(-time.Hour), w.now.Add(9*time.Hour)), "revoked"},
		"a current list, on hold":    {dated(hold, w.now.Add(-time.Hour), w.now.Add(9*time.Hour)), "revoked"},
		"an expired list":            {dated(1, w.now.Add(-90*24*time.Hour), w.now.Add(9*time.Hour)), "revoked"},
		"a list of later":            {dated(1, w.now.Add(time.Hour), w.now.Add(30*time.Minute)), "unknown"},
		"a list of later, of before": {dated(1, w.now.Add(time.Hour), w.now.Add(-time.Minute)), "revoked"},
	} {
		ch := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{c.list}})
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if c.want == "revoked" {
			self := w.checker(Options{CRLs: []*CRL{c.list}})
			if err := self.checkUnsigned(question{cert: w.leaf.Cert, at: w.now}); !errors.Is(err, trustkeep.ErrRevoked) {
				t.Errorf("%s, without an issuer: %v", name, err)
			}
		}
	}
}

// Whoever is on the way to a place of lists can send many that nobody has signed: it costs
// little more than what was sent.
func TestManyListsOfAStrangerAreCheap(t *testing.T) {
	w := newWorld(t)
	other := testpki.New(t, testpki.Options{Seed: "stranger", Now: w.now})
	der := w.list(other.Intermediate, func(l *x509.RevocationList) { l.Number = big.NewInt(1) })
	one := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	data := bytes.Repeat(one, 8<<20/len(one))
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: func(context.Context, string) ([]byte, error) { return data, nil }})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "unknown" {
		t.Error(err)
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	spent := int64(after.TotalAlloc - before.TotalAlloc)
	t.Logf("%d lists in %d bytes: %d allocated, %s", len(data)/len(one), len(data), spent, took)
	if spent > 2*int64(len(data)) {
		t.Errorf("%d bytes of lists allocate %d", len(data), spent)
	}
}
