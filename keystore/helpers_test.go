package keystore_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clockAt(now time.Time) func() time.Time { return func() time.Time { return now } }

func at(now time.Time) keystore.Options { return keystore.Options{Clock: clockAt(now)} }

func cn(name string) pkix.Name { return pkix.Name{CommonName: name} }

// generate puts a new identity under an alias that must be free.
func generate(t testing.TB, ks *keystore.Keystore, alias string, o issue.Options) *keystore.Identity {
	t.Helper()
	id, err := issue.New(o)
	if err == nil {
		err = ks.AddIdentity(alias, id)
	}
	if err == nil {
		id, err = ks.Identity(alias)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// newStore is a store of one identity.
func newStore(t testing.TB) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	generate(t, ks, "server", issue.Options{DNSNames: []string{"a.example"}})
	return ks
}

// newCA makes a root and an intermediate at noon.
func newCA(t testing.TB) (root, intermediate *keystore.Identity) {
	t.Helper()
	ks := keystore.New()
	root = generate(t, ks, "root", issue.Options{Subject: cn("Root CA"), Purposes: issue.ForCA, Clock: clockAt(noon)})
	intermediate = generate(t, ks, "intermediate", issue.Options{
		Subject: cn("Intermediate CA"), Purposes: issue.ForCA, Issuer: root, Clock: clockAt(noon)})
	return root, intermediate
}

func pemOf(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func equalKeys(a, b *keystore.Identity) bool {
	return bytes.Equal(a.Leaf().RawSubjectPublicKeyInfo, b.Leaf().RawSubjectPublicKeyInfo)
}

func subjects(chain []*x509.Certificate) (s []string) {
	for _, c := range chain {
		s = append(s, c.Subject.CommonName)
	}
	return s
}
