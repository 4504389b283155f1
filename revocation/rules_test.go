package revocation

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// That a key has signed a list is remembered, and that a certificate of the key must not sign
// lists is not forgotten over it.
func TestSignerMustBeAllowedToSignLists(t *testing.T) {
	w := newWorld(t)
	ca := w.pki.Intermediate
	like := func(edit func(*x509.Certificate)) *x509.Certificate {
		return w.pki.Issue(testpki.Request{CA: true, KeyOf: ca, Issuer: w.pki.Root, Edit: func(c *x509.Certificate) {
			c.Subject, c.SubjectKeyId = ca.Cert.Subject, ca.Cert.SubjectKeyId
			edit(c)
		}}).Cert
	}
	l := w.parsed(w.list(ca, nil))
	for range 2 {
		for name, c := range map[string]struct {
			issuer *x509.Certificate
			ok     bool
		}{
			"the issuer":    {ca.Cert, true},
			"another of it": {like(func(*x509.Certificate) {}), true},
			"for no lists":  {like(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), false},
			"no authority":  {like(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageCRLSign }), false},
		} {
			if idOf(c.issuer) != idOf(ca.Cert) {
				t.Fatalf("%s: not the same name and key", name)
			}
			if err := l.signedBy(c.issuer, idOf(c.issuer)); (err == nil) != c.ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// An authority that has renamed itself and kept its key numbers anew: what a responder says
// about the one is not kept for the other.
func TestAnswersAreKeptByNameAndKey(t *testing.T) {
	w := newWorld(t)
	twin := w.pki.Issue(testpki.Request{CommonName: "Twin CA", CA: true, KeyOf: w.pki.Intermediate, Issuer: w.pki.Root})
	theirs := w.pki.Issue(testpki.Request{Names: []string{"peer.example"}, Issuer: twin, Edit: func(c *x509.Certificate) {
		c.SerialNumber, c.OCSPServer = w.leaf.Cert.SerialNumber, []string{ocspURL}
	}})
	about := func(ca *testpki.Identity, status int) []byte {
		der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, ocsp.Response{Status: status, IssuerHash: crypto.SHA256, SerialNumber: w.leaf.Cert.SerialNumber,
			ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour), RevokedAt: w.now.Add(-time.Hour)}, ca.Key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	answers := [][]byte{about(w.pki.Intermediate, ocsp.Good), about(twin, ocsp.Revoked)}
	ch := w.checker(Options{Coverage: LeafOnly, FetchOCSP: func(context.Context, string, []byte) ([]byte, error) {
		next := answers[0]
		answers = answers[1:]
		return next, nil
	}})
	if err := ch.check(t.Context(), w.chain(), nil, w.now); err != nil {
		t.Error(err)
	}
	if err := ch.check(t.Context(), theirs.Chain, nil, w.now); outcome(err) != "revoked" {
		t.Error(err)
	}
}

// Entries and lists that cannot be understood in full clear nobody, whatever else they say.
func TestOddLists(t *testing.T) {
	w := newWorld(t)
	serial := w.leaf.Cert.SerialNumber
	unknown := extension([]int{1, 2, 3}, true, 5, 0)
	for name, c := range map[string]struct {
		edit    func(*x509.RevocationList)
		serials []*big.Int
		want    string
	}{
		"entry with an unknown critical extension": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{unknown}
		}, []*big.Int{big.NewInt(1)}, "unknown"},
		"its own entry has one": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{unknown}
		}, []*big.Int{serial}, "revoked"},
		"unknown extension, then its scope": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{unknown, extension(oidDistribution, true, 0x30, 3, 0x81, 1, 0xff)}
		}, nil, "unknown"},
	} {
		l := w.parsed(w.list(w.pki.Intermediate, c.edit, c.serials...))
		if err := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{l}}).check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a place has revoked stays known when it is asked about others, in vain or given up.
func TestRevocationOutlivesQuestionsAboutOthers(t *testing.T) {
	w := newWorld(t)
	other := w.pki.Issue(testpki.Request{Names: []string{"other.example"}, Edit: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{crlURL} }})
	bad, old := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber), w.listOf(listSpec{0, 30 * time.Hour, 1000 * time.Hour, nil, nil, nil})
	for name, then := range map[string]func(context.CancelFunc) ([]byte, error){
		"down":      func(context.CancelFunc) ([]byte, error) { return nil, errors.New("down") },
		"old again": func(context.CancelFunc) ([]byte, error) { return old, nil },
		"given up":  func(cancel context.CancelFunc) ([]byte, error) { cancel(); return nil, context.Canceled },
	} {
		now := w.now
		ctx, cancel := context.WithCancel(t.Context())
		ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, Clock: func() time.Time { return now }, FetchCRL: func(context.Context, string) ([]byte, error) {
			if now.Equal(w.now) {
				return bad, nil
			}
			return then(cancel)
		}})
		for range 2 {
			if err := ch.check(ctx, other.Chain, nil, now); err != nil && name != "given up" {
				t.Errorf("%s, other: %v", name, err)
			}
			if err := ch.check(t.Context(), w.chain(), nil, now); outcome(err) != "revoked" {
				t.Errorf("%s at %s: %v", name, now, err)
			}
			now = now.Add(40 * time.Hour)
		}
		cancel()
	}
}

// A hold by the newest list that there is, though out of date, is not lifted by a staple or a
// responder, but by a newer list, which is waited for.
func TestHoldIsLiftedByANewerList(t *testing.T) {
	w := newWorld(t)
	held := []*CRL{w.parsed(w.listOf(listSpec{1, 9 * time.Hour, time.Hour, []int{6}, nil, nil}))}
	newer := w.listOf(listSpec{2, time.Hour, 24 * time.Hour, nil, nil, nil})
	good := w.response(ocsp.Good, nil, nil)
	for _, require := range []bool{false, true} {
		ch := w.checker(Options{Coverage: LeafOnly, CRLs: held, RequireStaple: require})
		if err := ch.check(t.Context(), w.chain(), good, w.now); outcome(err) != "revoked" {
			t.Errorf("stapled, required %t: %v", require, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ch := w.checker(Options{Coverage: LeafOnly, CRLs: held,
			FetchOCSP: func(context.Context, string, []byte) ([]byte, error) { return good, nil },
			FetchCRL:  func(context.Context, string) ([]byte, error) { <-time.After(5 * time.Second); return newer, nil }})
		if err := ch.check(t.Context(), w.chain(), nil, w.now); err != nil {
			t.Errorf("fetched: %v", err)
		}
	})
}

// A panic of a hook is that of the caller, who can recover from it.
func TestPanicsReachTheCaller(t *testing.T) {
	w := newWorld(t)
	ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, FetchCRL: func(context.Context, string) ([]byte, error) { panic("a hook of the caller's") }})
	defer func() {
		if p := recover(); p != "a hook of the caller's" {
			t.Errorf("%v", p)
		}
	}()
	err := ch.check(t.Context(), w.chain(), nil, w.now)
	t.Errorf("no panic: %v", err)
}

// Where no signature can be checked, lists that name the certificate count, if they are about
// certificates and revoke it.
func TestListsWithoutAnIssuer(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		list listSpec
		want string
	}{
		"revoked":                {listSpec{1, time.Hour, 24 * time.Hour, []int{1}, nil, nil}, "revoked"},
		"on hold":                {listSpec{1, time.Hour, 24 * time.Hour, []int{6}, nil, nil}, "revoked"},
		"removed":                {listSpec{1, time.Hour, 24 * time.Hour, []int{8}, nil, nil}, "good"},
		"attribute certificates": {listSpec{1, time.Hour, 24 * time.Hour, []int{1}, []byte{0x30, 3, 0x85, 1, 0xff}, nil}, "good"},
	} {
		ch := w.checker(Options{Mode: SoftFail, CRLs: []*CRL{w.parsed(w.listOf(c.list))}})
		if _, err := ch.CheckRevocation(t.Context(), truststore.RevocationQuestion{Chain: w.chain()[:1], At: w.now}); outcome(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of two reasons in one entry, the one that is not undone counts.
func TestReasonTwice(t *testing.T) {
	for _, c := range []struct{ first, second, want byte }{{1, 6, 1}, {6, 1, 1}, {8, 4, 4}, {4, 8, 4}, {6, 8, 6}} {
		var b cryptobyte.Builder
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(7)
			b.AddASN1UTCTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, code := range []byte{c.first, c.second} {
					b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier([]int{2, 5, 29, 21})
						b.AddASN1OctetString([]byte{10, 1, code})
					})
				}
			})
		})
		rest := cryptobyte.String(b.BytesOrPanic())
		var e entry
		if err := e.read(&rest); err != nil || e.reason != int(c.want) || string(e.serial) != "\x07" {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
	}
}

// A current hold is news enough: nobody is asked, and lists of one place have a scope each.
func TestCurrentHoldSparesTheAsking(t *testing.T) {
	w := newWorld(t)
	held := w.parsed(w.listOf(listSpec{1, time.Hour, 24 * time.Hour, []int{6}, nil, nil}))
	f := &fetcher{err: errors.New("down")}
	ch := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{held}, FetchCRL: f.crl, FetchOCSP: f.ocsp})
	if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" || f.n.Load() != 0 {
		t.Errorf("%v, %d fetches", err, f.n.Load())
	}
	users := w.parsed(w.listOf(listSpec{9, 0, 24 * time.Hour, nil, []byte{0x30, 3, 0x81, 1, 0xff}, nil}))
	newer := w.parsed(w.listOf(listSpec{2, 0, 24 * time.Hour, nil, nil, nil}))
	for _, c := range []struct {
		now  *CRL
		want int
	}{{users, 2}, {newer, 1}, {held, 1}} {
		if got := (&answers{crls: []*CRL{c.now}}).after(&answers{crls: []*CRL{held}}); len(got.crls) != c.want {
			t.Errorf("%s after %s: %d lists", c.now, held, len(got.crls))
		}
	}
}
