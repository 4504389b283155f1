package issue_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

func at(now time.Time) keystore.Options {
	return keystore.Options{Clock: func() time.Time { return now }}
}

func cn(name string) pkix.Name { return pkix.Name{CommonName: name} }

// put makes an identity, at noon unless the options say otherwise, and puts it into a store.
func put(t testing.TB, ks *keystore.Keystore, alias string, o issue.Options) *keystore.Identity {
	t.Helper()
	if o.Clock == nil {
		o.Clock = atNoon
	}
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

// newCA puts a root and an intermediate, under these aliases, in a store.
func newCA(t testing.TB, clock func() time.Time) (ks *keystore.Keystore, root, intermediate *keystore.Identity) {
	t.Helper()
	ks = keystore.Options{Clock: clock}.New()
	root = put(t, ks, "root", issue.Options{Subject: cn("Root CA"), Purposes: issue.ForCA, Clock: clock})
	intermediate = put(t, ks, "intermediate", issue.Options{
		Subject: cn("Intermediate CA"), Purposes: issue.ForCA, Issuer: root, Clock: clock})
	return ks, root, intermediate
}

func newServer(t testing.TB) *keystore.Keystore {
	t.Helper()
	ks := at(noon).New()
	put(t, ks, "Server", issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}})
	return ks
}

func mustRequest(t testing.TB, ks *keystore.Keystore, alias string) []byte {
	t.Helper()
	id, err := ks.Identity(alias)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := issue.Request(id, issue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// sign has a CA answer a request, at noon unless the options say otherwise.
func sign(ca trustkeep.Identity, csr []byte, o issue.Options) ([]byte, error) {
	if o.Clock == nil {
		o.Clock = atNoon
	}
	return issue.Sign(ca, csr, o)
}

// reply is what sign returns as certificates, leaf first.
func reply(t testing.TB, ca trustkeep.Identity, csr []byte, o issue.Options) []*x509.Certificate {
	t.Helper()
	answer, err := sign(ca, csr, o)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(answer); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

func install(ks *keystore.Keystore, alias string, reply []byte, o issue.InstallOptions) (*keystore.Identity, error) {
	if o.Clock == nil {
		o.Clock = atNoon
	}
	return issue.Install(ks, alias, reply, o)
}

func renew(ctx context.Context, ks *keystore.Keystore, alias string, o issue.RenewOptions) (*keystore.Identity, error) {
	if o.Certificate.Clock == nil {
		o.Certificate.Clock = atNoon
	}
	return issue.Renew(ctx, ks, alias, o)
}

// signer is a CA that answers at once.
func signer(ca trustkeep.Identity) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, csr []byte) ([]byte, error) { return sign(ca, csr, issue.Options{}) }
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

func wantError(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}
