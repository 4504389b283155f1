package truststore_test

import (
	"crypto/x509"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// What Verify refuses of the question itself, Judge refuses too: a rule that does not exist, and a
// name that crypto/tls has not looked at.
func TestJudgeAsksNothingLessThanVerify(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Client("me.example")
	snapshot, err := truststore.New(pki.Root.Cert).Snapshot()
	noError(t, err)
	verified := [][]*x509.Certificate{leaf.Chain}
	ask := truststore.VerifyOptions{Purpose: truststore.Client, Time: pki.Now()}
	if _, err := snapshot.Judge(sent(leaf), verified, ask); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*truststore.VerifyOptions)
		code trustkeep.Code
	}{
		"a rule that is none":          {func(o *truststore.VerifyOptions) { o.Policy.Refuse = []trustkeep.Code{"weak-kye"} }, truststore.CodeWrongPolicy},
		"a negative size":              {func(o *truststore.VerifyOptions) { o.Policy.MinRSABits = -2048 }, truststore.CodeWrongPolicy},
		"the name of another client":   {func(o *truststore.VerifyOptions) { o.Name = "other.example" }, truststore.CodeNameMismatch},
		"the address of another":       {func(o *truststore.VerifyOptions) { o.Purpose, o.Name = truststore.Email, "other@example.com" }, truststore.CodeNameMismatch},
		"an intermediate that is none": {func(o *truststore.VerifyOptions) { o.Intermediates = []*x509.Certificate{nil} }, truststore.CodeNoCertificate},
	} {
		o := ask
		c.edit(&o)
		_, verifies := snapshot.Verify(sent(leaf), o)
		_, judges := snapshot.Judge(sent(leaf), verified, o)
		for who, err := range map[string]error{"Verify": verifies, "Judge": judges} {
			e, ok := errors.AsType[*truststore.VerifyError](err)
			if !ok {
				t.Errorf("%s: %s: %v", name, who, err)
			} else if e.Code != c.code {
				t.Errorf("%s: %s: %v", name, who, e.Code)
			}
		}
	}
}

// Namesakes with the key identifier of the issuer, which anybody can make and send, do not take the
// place of an issuer in the store or in Intermediates that has no key identifier.
func TestSentNamesakesHideNoIssuerWithoutKeyID(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	bare := pki.Issue(testpki.Request{CA: true, KeyOf: pki.Intermediate, Issuer: pki.Root, Edit: func(c *x509.Certificate) {
		c.Subject, c.SubjectKeyId = pki.Intermediate.Cert.Subject, []byte{1}
	}}).Cert
	leaf := pki.Server(host)
	sent := []*x509.Certificate{leaf.Cert}
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other"})
	for range 8 {
		sent = append(sent, other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) {
			c.Subject, c.SubjectKeyId = bare.Subject, leaf.Cert.AuthorityKeyId
		}}).Cert)
	}
	for name, c := range map[string]struct {
		store         *truststore.Truststore
		intermediates []*x509.Certificate
	}{
		"in the store":     {truststore.New(leaf.Cert, bare), nil},
		"in Intermediates": {truststore.New(leaf.Cert), []*x509.Certificate{bare}},
	} {
		a := &asked{}
		_, err := c.store.Verify(sent, truststore.VerifyOptions{Name: host, Time: pki.Now(), Intermediates: c.intermediates, Revocation: a})
		if err != nil || !bare.Equal(a.q.Issuer) {
			t.Errorf("%s: %v, %v", name, a.q.Issuer, err)
		}
	}
}
