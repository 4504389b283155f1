package revocation

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

const (
	crlURL  = "http://crl.example/int.crl"
	ocspURL = "http://ocsp.example/"
)

// world is a PKI with a leaf that names sources of revocation data.
type world struct {
	t    testing.TB
	pki  *testpki.PKI
	leaf *testpki.Identity
	now  time.Time
}

func newWorld(t testing.TB) *world {
	pki := testpki.New(t, testpki.Options{Seed: "revocation", Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	return &world{t: t, pki: pki, now: pki.Now(), leaf: pki.Issue(testpki.Request{Names: []string{"peer.example"}, Edit: func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer = []string{crlURL}, []string{ocspURL}
	}})}
}

func (w *world) chain() []*x509.Certificate { return w.leaf.Chain }

// list signs a list of the issuer over the serial numbers.
func (w *world) list(issuer *testpki.Identity, edit func(*x509.RevocationList), serials ...*big.Int) []byte {
	w.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: w.now.Add(-time.Hour), NextUpdate: w.now.Add(24 * time.Hour)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: w.now.Add(-2 * time.Hour), ReasonCode: 1})
	}
	if edit != nil {
		edit(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, issuer.Cert, issuer.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

func (w *world) parsed(der []byte) *CRL {
	w.t.Helper()
	lists, err := ParseCRLs(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return lists[0]
}

// rootList clears the intermediate, which every chain here needs.
func (w *world) rootList() *CRL { return w.parsed(w.list(w.pki.Root, nil)) }

// response signs an OCSP response about the leaf.
func (w *world) response(status int, responder *testpki.Identity, edit func(*ocsp.Response)) []byte {
	w.t.Helper()
	r := ocsp.Response{Status: status, SerialNumber: w.leaf.Cert.SerialNumber, ThisUpdate: w.now.Add(-time.Hour), NextUpdate: w.now.Add(time.Hour)}
	if fips.Enforced() {
		r.IssuerHash = crypto.SHA256
	}
	if status == ocsp.Revoked {
		r.RevokedAt, r.RevocationReason = w.now.Add(-2*time.Hour), ocsp.KeyCompromise
	}
	if responder == nil {
		responder = w.pki.Intermediate
	} else {
		r.Certificate = responder.Cert
	}
	if edit != nil {
		edit(&r)
	}
	der, err := ocsp.CreateResponse(w.pki.Intermediate.Cert, responder.Cert, r, responder.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

func (w *world) responder(usages ...x509.ExtKeyUsage) *testpki.Identity {
	return w.pki.Issue(testpki.Request{CommonName: "responder", Usages: usages})
}

func (w *world) checker(o Options) *Checker {
	w.t.Helper()
	if o.Clock == nil {
		o.Clock = w.pki.Now
	}
	c, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// check asks about a chain.
func (c *Checker) check(ctx context.Context, chain []*x509.Certificate, staple []byte, at time.Time) error {
	_, err := c.CheckRevocation(ctx, truststore.RevocationQuestion{Chain: chain, Staple: staple, At: at})
	return err
}

// fetcher counts the fetches of one answer.
type fetcher struct {
	n    atomic.Int64
	data []byte
	err  error
}

func (f *fetcher) crl(context.Context, string) ([]byte, error) {
	f.n.Add(1)
	return f.data, f.err
}

func (f *fetcher) ocsp(context.Context, string, []byte) ([]byte, error) {
	f.n.Add(1)
	return f.data, f.err
}

// outcome sums up what CheckRevocation returned.
func outcome(err error) string {
	var e *Error
	switch {
	case err == nil:
		return "good"
	case !errors.As(err, &e):
		return "untyped error"
	case errors.Is(err, trustkeep.ErrRevoked):
		return "revoked"
	}
	return "unknown"
}

func extension(oid []int, critical bool, value ...byte) pkix.Extension {
	return pkix.Extension{Id: oid, Critical: critical, Value: value}
}
