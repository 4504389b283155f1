package revocation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// longSigner claims an RSA key and signs with anything.
type longSigner struct {
	key  *rsa.PublicKey
	size int
}

func (s longSigner) Public() crypto.PublicKey { return s.key }
func (s longSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return bytes.Repeat([]byte{1}, s.size), nil
}

// Anybody can send a response with a certificate of a huge key, which must not be computed
// with before it is known whose it is.
func TestResponsesWithHugeKeysAreCheap(t *testing.T) {
	w := newWorld(t)
	const bits = 200_000
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	n.SetBit(n, 0, 1)
	huge := &rsa.PublicKey{N: n, E: 1<<31 - 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "huge"}, NotBefore: w.now, NotAfter: w.now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, w.pki.Intermediate.Cert, huge, w.pki.Intermediate.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	response, err := ocsp.CreateResponse(w.pki.Intermediate.Cert, cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: w.leaf.Cert.SerialNumber, IssuerHash: crypto.SHA256, ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour), Certificate: cert,
	}, longSigner{huge, bits / 8})
	if err != nil {
		t.Fatal(err)
	}
	before := testcpu.Used()
	_, err = readResponse(w.leaf.Cert, w.pki.Intermediate.Cert, response)
	if took := testcpu.Since(before); !errors.Is(err, trustkeep.ErrLimit) || took > 100*time.Millisecond {
		t.Errorf("%v, after %s", err, took)
	}
}

// A serial number that is listed any number of times is found as fast as one that is listed
// once, and what counts of its entries is not lost.
func TestSerialListedManyTimes(t *testing.T) {
	w := newWorld(t)
	serial := w.leaf.Cert.SerialNumber
	der := w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
		for i := range 5000 {
			reason, when := []int{8, 6, 8}[i%3], w.now.Add(-time.Duration(i)*time.Minute)
			if i == 2500 {
				reason, when = 1, w.now.Add(-time.Hour)
			}
			if i == 2600 {
				reason, when = 4, w.now.Add(time.Hour) // not yet
			}
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: when, ReasonCode: reason})
		}
	})
	l := w.parsed(der)
	if len(l.index) != 3 || l.Len() != 1 {
		t.Errorf("%d entries are kept, %d listed", len(l.index), l.Len())
	}
	for at, reason := range map[time.Time]int{w.now: 1, w.now.Add(-2 * time.Hour): hold, w.now.Add(-1000 * time.Hour): -1} {
		if e := l.find(serial, at); e == nil && reason != -1 || e != nil && e.reason != reason {
			t.Errorf("at %s: %+v", at, e)
		}
	}
}

// Everything that is handed to the checker by mistake is a wrong call or no answer, and never
// an acceptance or a panic.
func TestOddQuestions(t *testing.T) {
	w := newWorld(t)
	revoking := []*CRL{w.parsed(w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber))}
	ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, CRLs: revoking})
	leaf := w.leaf.Cert
	for name, c := range map[string]struct {
		q    truststore.RevocationQuestion
		want string
	}{
		"no time":                 {truststore.RevocationQuestion{Chain: w.chain()}, "revoked"},
		"another issuer":          {truststore.RevocationQuestion{Chain: []*x509.Certificate{leaf}, Issuer: w.pki.Root.Cert, At: w.now}, "good"}, // its list is not that issuer's
		"issuer beside a chain":   {truststore.RevocationQuestion{Chain: w.chain(), Issuer: leaf, At: w.now}, "revoked"},
		"called self-signed":      {truststore.RevocationQuestion{Chain: []*x509.Certificate{leaf}, Issuer: leaf, At: w.now}, "revoked"},
		"exempt is somebody else": {truststore.RevocationQuestion{Chain: w.chain(), Exempt: []*x509.Certificate{nil, w.pki.Intermediate.Cert}, At: w.now}, "revoked"},
	} {
		if _, err := ch.CheckRevocation(t.Context(), c.q); outcome(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, chain := range map[string][]*x509.Certificate{"no chain": nil, "nil certificate": {nil}, "nil issuer": {leaf, nil}} {
		if _, err := ch.CheckRevocation(t.Context(), truststore.RevocationQuestion{Chain: chain, At: w.now}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A list with two authorities' entries revokes for the one that it is of, and not for the
// other, whose numbers are the same.
func TestEntriesOfOtherIssuers(t *testing.T) {
	w := newWorld(t)
	name := func(raw []byte) pkix.Extension {
		inner := append([]byte{0xa4, byte(len(raw))}, raw...)
		return extension([]int{2, 5, 29, 29}, true, append([]byte{0x30, byte(len(inner))}, inner...)...)
	}
	own, other := w.pki.Intermediate.Cert.RawSubject, w.pki.Root.Cert.RawSubject
	if len(own) > 100 || len(other) > 100 {
		t.Fatal("names are too long for this test")
	}
	serial, clean := w.leaf.Cert.SerialNumber, w.parsed(w.list(w.pki.Intermediate, nil))
	for what, c := range map[string]struct {
		before [][]byte // issuers of the entries before that of the leaf
		at     []byte   // issuer in the entry of the leaf
		want   string
	}{
		"its own":              {nil, nil, "revoked"},
		"named":                {nil, own, "revoked"},
		"another":              {nil, other, "good"},
		"another, by default":  {[][]byte{other}, nil, "good"},
		"its own again":        {[][]byte{other}, own, "revoked"},
		"its own, by default":  {[][]byte{other, own}, nil, "revoked"},
		"another since before": {[][]byte{own, other}, nil, "good"},
	} {
		der := w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{extension(oidDistribution, true, 0x30, 3, 0x84, 1, 0xff)}
			for i, raw := range append(c.before, c.at) {
				e := x509.RevocationListEntry{SerialNumber: big.NewInt(int64(i + 1)), RevocationTime: w.now.Add(-time.Hour), ReasonCode: 1}
				if i == len(c.before) {
					e.SerialNumber = serial
				}
				if raw != nil {
					e.ExtraExtensions = []pkix.Extension{name(raw)}
				}
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, e)
			}
		})
		for _, lists := range [][]*CRL{{clean, w.parsed(der)}, {w.parsed(der), clean}} {
			if err := w.checker(Options{Coverage: LeafOnly, CRLs: lists}).check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// Two authorities of one name and different keys have lists of their own.
func TestNamesakesHaveListsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other", Now: w.now})
	twin := other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) { c.Subject = w.pki.Intermediate.Cert.Subject }})
	ours, theirs := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber), w.list(twin, nil)
	their := other.Issue(testpki.Request{Names: []string{"peer.example"}, Issuer: twin, Edit: func(c *x509.Certificate) {
		c.SerialNumber, c.CRLDistributionPoints = w.leaf.Cert.SerialNumber, []string{crlURL}
	}})
	for _, served := range [][]byte{ours, theirs} {
		for _, first := range []bool{true, false} {
			ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, CRLs: []*CRL{w.parsed(ours), w.parsed(theirs)},
				FetchCRL: func(context.Context, string) ([]byte, error) { return served, nil }})
			for i := range 4 {
				chain, want := w.chain(), "revoked"
				if (i%2 == 0) == first {
					chain, want = their.Chain, "good"
				}
				if err := ch.check(t.Context(), chain, nil, w.now); outcome(err) != want {
					t.Errorf("%v", err)
				}
			}
		}
	}
}
