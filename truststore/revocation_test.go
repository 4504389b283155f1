package truststore_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/truststore"
)

// asked notes the question and answers it.
type asked struct {
	q   truststore.RevocationQuestion
	n   int
	err error
}

func (a *asked) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	a.q = q
	a.n++
	return nil, a.err
}

// The issuer of a certificate that is trusted for itself is looked for in the store, in
// Intermediates and in what was sent.
func TestIssuerOfExactlyTrusted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf, issuer := pki.Server(host), pki.Intermediate.Cert
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other"})
	namesake := other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) {
		c.Subject, c.SubjectKeyId = issuer.Subject, issuer.SubjectKeyId
	}}).Cert
	self := pki.SelfSigned(host)
	// Its own name is that of its issuer, which is another.
	asCA := pki.Issue(testpki.Request{Names: []string{host}, Edit: func(c *x509.Certificate) { c.Subject = issuer.Subject }})
	for _, c := range []struct {
		name          string
		leaf          *x509.Certificate
		store         []*x509.Certificate
		intermediates []*x509.Certificate
		sent          []*x509.Certificate
		want          *x509.Certificate
	}{
		{"nowhere", leaf.Cert, nil, nil, nil, nil},
		{"sent", leaf.Cert, nil, nil, []*x509.Certificate{issuer}, issuer},
		{"in the store", leaf.Cert, []*x509.Certificate{issuer}, nil, nil, issuer},
		{"in Intermediates", leaf.Cert, nil, []*x509.Certificate{issuer}, nil, issuer},
		{"a namesake is none", leaf.Cert, []*x509.Certificate{namesake}, []*x509.Certificate{namesake}, []*x509.Certificate{namesake}, nil},
		{"behind a namesake", leaf.Cert, nil, nil, []*x509.Certificate{namesake, issuer}, issuer},
		{"self-signed", self.Cert, nil, nil, nil, self.Cert},
		{"self-issued by name alone", asCA.Cert, nil, nil, nil, nil},
		{"self-issued by name alone, sent", asCA.Cert, nil, nil, []*x509.Certificate{issuer}, issuer},
	} {
		a := &asked{}
		v, err := truststore.New(append(c.store, c.leaf)...).Verify(append([]*x509.Certificate{c.leaf}, c.sent...), truststore.VerifyOptions{
			Name: host, Time: pki.Now(), Intermediates: c.intermediates, Revocation: a,
		})
		if err != nil || v.Rule != truststore.RuleExact || a.n != 1 {
			t.Errorf("%s: %v, %v, asked %d times", c.name, v, err, a.n)
			continue
		}
		if len(a.q.Chain) != 1 || a.q.Issuer != c.want && !a.q.Issuer.Equal(c.want) || a.q.SelfSigned() != (c.want == self.Cert) {
			t.Errorf("%s: chain of %d, issuer %v", c.name, len(a.q.Chain), a.q.Issuer)
		}
	}
}

// A peer's many certificates of the issuer's name cost a few signature checks, and do not
// take the place of the one in the store.
func TestManyNamesakesHideNoIssuer(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf, issuer := pki.Server(host), pki.Intermediate.Cert
	sent := []*x509.Certificate{leaf.Cert}
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other"})
	for range 20 {
		sent = append(sent, other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) { c.Subject, c.SubjectKeyId = issuer.Subject, issuer.SubjectKeyId }}).Cert)
	}
	a := &asked{}
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: a}
	if _, err := truststore.New(leaf.Cert, issuer).Verify(sent, o); err != nil || !a.q.Issuer.Equal(issuer) {
		t.Errorf("in the store: %v, %v", a.q.Issuer, err)
	}
	if _, err := truststore.New(leaf.Cert).Verify(append(sent, issuer), o); err != nil || a.q.Issuer != nil {
		t.Errorf("sent after %d others: %v, %v", len(sent), a.q.Issuer, err)
	}
}

// HardFail, RequireStaple and must-staple count for a certificate that is trusted for
// itself or pinned, with and without relaxations; RevocationExempt is the way out.
func TestExactTrustDoesNotSwitchRevocationOff(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	checker := func(o revocation.Options) *revocation.Checker {
		c, err := revocation.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mustStaple := pki.Issue(testpki.Request{Names: []string{host}, Edit: func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}})
	}})
	for _, c := range []struct {
		name    string
		leaf    *testpki.Identity
		checker *revocation.Checker
		code    trustkeep.Code
		status  truststore.RevocationStatus
	}{
		{"hard", pki.Server(host), checker(revocation.Options{}), truststore.CodeRevocationNoIssuer, ""},
		{"soft", pki.Server(host), checker(revocation.Options{Mode: revocation.SoftFail}), "", truststore.RevocationUnknown},
		{"staple required", pki.Server(host), checker(revocation.Options{Mode: revocation.SoftFail, RequireStaple: true}), truststore.CodeRevocationNoIssuer, ""},
		{"must-staple", mustStaple, checker(revocation.Options{Mode: revocation.SoftFail}), truststore.CodeRevocationNoIssuer, ""},
		{"self-signed", pki.SelfSigned(host), checker(revocation.Options{RequireStaple: true}), "", truststore.RevocationSelfSigned},
	} {
		for rule, s := range map[truststore.Rule]truststore.Source{
			truststore.RuleExact: truststore.New(c.leaf.Cert), truststore.RulePin: truststore.Pinned(truststore.PinKey(c.leaf.Cert)),
		} {
			snapshot, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{host, "other.example"} { // the second needs a relaxation
				o := truststore.VerifyOptions{Name: name, Time: pki.Now(), Allow: []truststore.Relaxation{truststore.AllowAnyName}, Revocation: c.checker}
				v, err := snapshot.Verify(c.leaf.Chain[:1], o)
				if code(err) != c.code || err == nil && (len(v.Revocation) != 1 || v.Revocation[0].Status != c.status || v.Rule != rule) {
					t.Errorf("%s, %v, %s: %v, %v", c.name, rule, name, v, err)
				}
				if c.code != "" {
					if e, _ := errors.AsType[*truststore.VerifyError](err); e.Remedy == "" || errors.Is(err, trustkeep.ErrRevoked) {
						t.Errorf("%s: %+v", c.name, e)
					}
				}
				o.RevocationExempt = []*x509.Certificate{nil, c.leaf.Cert}
				if v, err = snapshot.Verify(c.leaf.Chain[:1], o); err != nil || len(v.Revocation) != 1 || v.Revocation[0].Status != truststore.RevocationExempted {
					t.Errorf("%s, %v, exempt: %v, %v", c.name, rule, v, err)
				}
			}
		}
	}
}

// The end of the context is not called a missing issuer.
func TestEndOfContextIsNoMissingIssuer(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host).Cert
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{ctx, t.Context(), nil} {
		want := truststore.CodeRevocationNoIssuer
		if ctx != nil && ctx.Err() != nil {
			want = truststore.CodeRevocationUnknown
		}
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: &asked{err: errors.New("no answer")}, Context: ctx}
		if _, err := truststore.New(leaf).Verify([]*x509.Certificate{leaf}, o); code(err) != want {
			t.Errorf("%v", err)
		}
	}
}

// An exemption is that of one certificate and not of its issuer, nor of its renewal.
func TestExemptionIsOfOneCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	renewed := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: leaf})
	a := &asked{err: errors.New("no answer")}
	store := truststore.New(pki.Root.Cert)
	for _, c := range []struct {
		name   string
		peer   *testpki.Identity
		exempt []*x509.Certificate
		asked  int
	}{
		{"the leaf", leaf, []*x509.Certificate{leaf.Cert}, 1},
		{"leaf and authority", leaf, []*x509.Certificate{leaf.Cert, pki.Intermediate.Cert}, 0},
		{"its renewal", renewed, []*x509.Certificate{leaf.Cert, pki.Intermediate.Cert}, 1},
		{"the anchor", leaf, []*x509.Certificate{pki.Root.Cert}, 1},
	} {
		a.n = 0
		_, err := store.Verify(c.peer.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: a, RevocationExempt: c.exempt})
		if a.n != c.asked || (err != nil) != (c.asked > 0) {
			t.Errorf("%s: asked %d times, %v", c.name, a.n, err)
		}
	}
}

// What was found out is in the verdict, its text and its JSON.
func TestVerdictTellsWhatRevocationFound(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	c, err := revocation.New(revocation.Options{Mode: revocation.SoftFail})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := truststore.New(pki.Root.Cert).Snapshot()
	leaf := pki.Server(host)
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: c}
	v, err := s.Verify(leaf.Chain, o)
	if err != nil || len(v.Revocation) != 3 || v.Revocation[2].Status != truststore.RevocationAnchor {
		t.Fatal(v, err)
	}
	if !strings.Contains(v.String(), "could not be found out") {
		t.Error(v)
	}
	text, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(text), `"status":"unknown","reason":"no list, no stapled answer`) {
		t.Errorf("%s, %v", text, err)
	}
	// A verdict that was kept is not changed by asking again.
	o.RevocationExempt = leaf.Chain
	again, err := s.CheckRevocation(v, leaf.Chain, o)
	if err != nil || again == v || again.Revocation[0].Status != truststore.RevocationExempted || v.Revocation[0].Status != truststore.RevocationUnknown {
		t.Errorf("%v, %v, %v", again, v.Revocation, err)
	}
	if same, err := s.CheckRevocation(v, leaf.Chain, truststore.VerifyOptions{Time: time.Now()}); err != nil || same != v {
		t.Errorf("%v, %v", same, err)
	}
	if _, err := s.CheckRevocation(nil, nil, o); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}

// Where a signature with SHA-1 proves nothing, names and key identifiers tell whether a
// certificate is self-signed.
func TestSelfSignedWithSHA1(t *testing.T) {
	fipstest.Unapproved(t, "SHA-1")
	pki := testpki.New(t, testpki.Options{})
	old := func(r testpki.Request, edit func(*x509.Certificate)) *x509.Certificate {
		r.Names = []string{host}
		r.Edit = func(c *x509.Certificate) {
			c.SignatureAlgorithm, c.SubjectKeyId = x509.ECDSAWithSHA1, []byte("its own")
			if edit != nil {
				edit(c)
			}
		}
		return pki.Issue(r).Cert
	}
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		self bool
	}{
		{"self-signed", old(testpki.Request{SelfSigned: true}, nil), true},
		{"of the issuer's name", old(testpki.Request{}, func(c *x509.Certificate) { c.Subject = pki.Intermediate.Cert.Subject }), false},
	} {
		a := &asked{}
		if _, err := truststore.New(c.cert).Verify([]*x509.Certificate{c.cert}, truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: a}); err != nil || a.q.SelfSigned() != c.self {
			t.Errorf("%s: %v, self-signed %t", c.name, err, a.q.SelfSigned())
		}
	}
}
