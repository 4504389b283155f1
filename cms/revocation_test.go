package cms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/truststore"
)

// A signer who was revoked does not count, by whichever way a message is verified and however
// the signer is trusted.
func TestRevokedSigner(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	content := []byte("content")
	sign := func(id *testpki.Identity) (attached, detached []byte) {
		t.Helper()
		me := cms.IdentityFunc(func() (*tls.Certificate, error) { c := id.TLSCertificate(); return &c, nil })
		attached, err := cms.Sign(content, me)
		if err != nil {
			t.Fatal(err)
		}
		if detached, err = cms.SignDetached(bytes.NewReader(content), me); err != nil {
			t.Fatal(err)
		}
		return attached, detached
	}
	email := testpki.Request{CommonName: "signer", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}
	good, stolen := pki.Issue(email), pki.Issue(email)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: pki.Now().Add(-time.Hour), NextUpdate: pki.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: stolen.Cert.SerialNumber, RevocationTime: pki.Now().Add(-time.Hour), ReasonCode: 1}}}
	der, err := x509.CreateRevocationList(rand.Reader, list, pki.Intermediate.Cert, pki.Intermediate.Key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := revocation.ParseCRLs(der)
	if err != nil {
		t.Fatal(err)
	}
	checker := func(o revocation.Options) *revocation.Checker {
		o.Coverage = revocation.LeafOnly
		c, err := revocation.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	listed, silent := checker(revocation.Options{CRLs: lists}), checker(revocation.Options{})
	soft := checker(revocation.Options{Mode: revocation.SoftFail})
	for _, c := range []struct {
		name    string
		signer  *testpki.Identity
		checker truststore.RevocationChecker
		exempt  []*x509.Certificate
		code    trustkeep.Code
	}{
		{"good", good, listed, nil, ""},
		{"revoked", stolen, listed, nil, truststore.CodeRevoked},
		{"not asked", stolen, nil, nil, ""},
		{"unknown", good, silent, nil, truststore.CodeRevocationUnknown},
		{"unknown, soft", good, soft, nil, ""},
		{"exempt", stolen, silent, []*x509.Certificate{stolen.Cert, pki.Intermediate.Cert}, ""},
	} {
		attached, detached := sign(c.signer)
		for how, trust := range map[string]*truststore.Truststore{"by chain": truststore.New(pki.Root.Cert), "exactly": truststore.New(c.signer.Cert)} {
			o := cms.VerifyOptions{Trust: trust, Clock: pki.Now, Revocation: c.checker, RevocationExempt: c.exempt, Certificates: []*x509.Certificate{pki.Intermediate.Cert}}
			for way, verify := range map[string]func() (*cms.Verified, error){
				"Verify":         func() (*cms.Verified, error) { return o.Verify(attached) },
				"VerifyDetached": func() (*cms.Verified, error) { return o.VerifyDetached(detached, bytes.NewReader(content)) },
				"Reader": func() (*cms.Verified, error) {
					r, err := o.Reader(bytes.NewReader(attached))
					if err != nil {
						return nil, err
					}
					if _, err := io.Copy(io.Discard, r); err != nil {
						return nil, err
					}
					return r.Result()
				},
			} {
				v, err := verify()
				refused, _ := errors.AsType[*truststore.VerifyError](err)
				if c.code == "" && err == nil && (len(v.Signers) != 1 || (v.Signers[0].Verdict.Revocation == nil) != (c.checker == nil)) {
					t.Errorf("%s, %s, %s: %+v", c.name, how, way, v)
				}
				if (c.code == "") != (err == nil) || err != nil && (refused == nil || refused.Code != c.code || v != nil || errors.Is(err, trustkeep.ErrRevoked) != (c.code == truststore.CodeRevoked)) {
					t.Errorf("%s, %s, %s: %v", c.name, how, way, err)
				}
			}
		}
	}
	// The caller's context counts.
	attached, _ := sign(good)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fetching := checker(revocation.Options{Mode: revocation.SoftFail, FetchCRL: func(ctx context.Context, _ string) ([]byte, error) { return nil, ctx.Err() }})
	o := cms.VerifyOptions{Trust: truststore.New(pki.Root.Cert), Clock: pki.Now, Revocation: fetching, Context: ctx}
	if _, err := o.Verify(attached); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	o.Revocation = (*revocation.Checker)(nil)
	if _, err := o.Verify(attached); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil checker: %v", err)
	}
}
