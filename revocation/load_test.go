package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// Many ask at once, while lists are exchanged, places fail and the cache is too small: what is
// revoked is never accepted, and what is not is never called revoked.
func TestCheckerUnderLoad(t *testing.T) {
	w := newWorld(t)
	bad := w.leaf
	var good []*testpki.Identity
	for i := range 8 {
		good = append(good, w.pki.Issue(testpki.Request{Names: []string{"good.example"}, Edit: func(c *x509.Certificate) {
			c.CRLDistributionPoints, c.OCSPServer = []string{fmt.Sprintf("http://crl.example/%d", i%3), crlURL}, []string{ocspURL}
		}}))
	}
	path := filepath.Join(t.TempDir(), "list.crl")
	versions := [][]byte{
		w.list(w.pki.Intermediate, nil, bad.Cert.SerialNumber),
		w.listOf(listSpec{9, 0, 1 << 40, []int{1}, nil, nil}),
	}
	putFile(t, path, versions[0])
	f := follow(t, path)
	var fetches atomic.Int64
	list, response := w.list(w.pki.Intermediate, nil, bad.Cert.SerialNumber), w.response(ocsp.Good, nil, nil)
	ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, Watched: []*WatchedCRLs{f.WatchedCRLs}, MaxCached: 4096,
		FetchCRL: func(context.Context, string) ([]byte, error) {
			if fetches.Add(1)%3 == 0 {
				return nil, errors.New("down")
			}
			return list, nil
		},
		FetchOCSP: func(context.Context, string, []byte) ([]byte, error) {
			if fetches.Add(1)%2 == 0 {
				return nil, errors.New("down")
			}
			return response, nil
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	for i := range 8 {
		askers.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				one := good[n%len(good)]
				if err := ch.check(t.Context(), one.Chain, nil, w.now); err != nil {
					t.Errorf("good: %v", err)
				}
				if err := ch.check(t.Context(), bad.Chain, response, w.now); outcome(err) != "revoked" {
					t.Errorf("revoked: %v", err)
				}
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := ch.CheckRevocation(gone, truststore.RevocationQuestion{Chain: bad.Chain, At: w.now}); err == nil {
					t.Error("revoked, and the context has ended: accepted")
				}
			}
		})
	}
	for i := range testtool.Rounds(20, 200) {
		putFile(t, path, versions[i%2])
		if err := f.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	askers.Wait()
}
