package issue_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// tlsIdentity is an identity from elsewhere, such as one whose key is in hardware.
type tlsIdentity struct {
	cert *tls.Certificate
	err  error
}

func (i tlsIdentity) TLSCertificate() (*tls.Certificate, error) { return i.cert, i.err }

// An issuer is any identity, also one without a parsed Leaf.
func TestIssuerFromElsewhere(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: noon})
	ca := tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{pki.Intermediate.DER, pki.Root.DER}, PrivateKey: pki.Intermediate.Key}}
	id, err := issue.New(issue.Options{Subject: cn("a"), Issuer: ca, Clock: atNoon})
	if err != nil || len(id.Chain()) != 3 || !id.Chain()[2].Equal(pki.Root.Cert) {
		t.Fatal(id, err)
	}
	csr, err := issue.Request(tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{id.Leaf().Raw}, PrivateKey: id.Signer()}}, issue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if chain := reply(t, ca, csr, issue.Options{}); len(chain) != 3 || chain[0].Subject.String() != id.Leaf().Subject.String() {
		t.Errorf("reply %v", subjects(chain))
	}
}

// A reply has the CA's whole chain, also what crypto/x509 refuses.
func TestReplyHasTheWholeChain(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: noon})
	refused := pki.NegativeSerial("refused").DER
	ca := tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{pki.Root.DER, refused}, PrivateKey: pki.Root.Key}}
	server, err := newServer(t).Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := issue.Request(server, issue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := sign(ca, csr, issue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var last []byte
	for block, rest := pem.Decode(answer); block != nil; block, rest = pem.Decode(rest) {
		last = block.Bytes
	}
	if string(last) != string(refused) {
		t.Error("the reply lacks what crypto/x509 refuses")
	}
}

// So has a certificate that is made or renewed here.
func TestIssuedChainIsWhole(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: noon})
	refused := pki.NegativeSerial("refused").DER
	ca := tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{pki.Root.DER, refused, pki.Intermediate.DER}, PrivateKey: pki.Root.Key}}
	check := func(id *keystore.Identity, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := id.TLSCertificate()
		if err != nil || len(cert.Certificate) != 4 || string(cert.Certificate[2]) != string(refused) || len(id.Chain()) != 3 {
			t.Errorf("%d certificates, %d of them understood, %v", len(cert.Certificate), len(id.Chain()), err)
		}
	}
	id, err := issue.New(issue.Options{Subject: cn("a"), Issuer: ca, Clock: atNoon})
	check(id, err)
	ks := newServer(t)
	check(renew(t.Context(), ks, "server", issue.RenewOptions{Certificate: issue.Options{Issuer: ca}}))
	check(renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true, Certificate: issue.Options{Issuer: ca}}))
	check(ks.Identity("server"))
}

func TestIssuersRefused(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: noon})
	broken := errors.New("the device is gone")
	root := pki.Root
	for name, test := range map[string]struct {
		issuer trustkeep.Identity
		want   error
	}{
		"nil pointer":    {(*keystore.Identity)(nil), trustkeep.ErrInvalid},
		"nil":            {tlsIdentity{}, trustkeep.ErrInvalid},
		"no certificate": {tlsIdentity{cert: &tls.Certificate{PrivateKey: root.Key}}, trustkeep.ErrInvalid},
		"no signer":      {tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{root.DER}, PrivateKey: "key"}}, trustkeep.ErrInvalid},
		"no key":         {tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{root.DER}}}, trustkeep.ErrInvalid},
		"another's key":  {tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{root.DER}, PrivateKey: pki.Intermediate.Key}}, trustkeep.ErrKeyMismatch},
		"not parsed":     {tlsIdentity{cert: &tls.Certificate{Certificate: [][]byte{root.DER[:50]}, PrivateKey: root.Key}}, trustkeep.ErrCorrupt},
		"its own error":  {tlsIdentity{err: broken}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := issue.New(issue.Options{Subject: cn("a"), Issuer: test.issuer, Clock: atNoon})
			wantError(t, err, test.want, "issue: new")
			_, err = issue.Sign(test.issuer, nil, issue.Options{})
			wantError(t, err, test.want, "issue: sign")
			_, err = issue.Request(test.issuer, issue.Options{})
			wantError(t, err, test.want, "issue: request")
		})
	}
}

// A key that waits for its certificate, alone in its file or filed with another's.
func TestKeyWaitsForItsCertificate(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	pki := testpki.New(t, testpki.Options{Now: noon})
	waiting, other := pki.Server("waiting"), pki.Server("other")
	mixed := func() *keystore.Keystore {
		e := &entry.Entry{Alias: "server", Kind: entry.Key, Key: &entry.PrivateKey{}, Chain: []*entry.Certificate{entry.FromX509(other.Cert)}}
		data, err := formats.Encode(&entry.Store{Format: trustkeep.JKS, Entries: []*entry.Entry{e}}, "", entry.WriteOptions{
			Password: []byte("storepass"),
			Keep:     func(*entry.Entry) bool { return false },
			Key: func(*entry.Entry) (plain, password []byte, err error) {
				return waiting.PKCS8(), []byte("storepass"), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ks, err := at(noon).Parse(data, storePassword)
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	alone := func() *keystore.Keystore {
		ks, err := at(noon).Parse(waiting.KeyPEM(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	for name, ks := range map[string]*keystore.Keystore{"alone": alone(), "with another's certificate": mixed()} {
		t.Run(name, func(t *testing.T) {
			key, err := ks.Signer("")
			if err != nil {
				t.Fatal(err)
			}
			csr, err := issue.RequestForKey(key, issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := sign(intermediate, csr, issue.Options{})
			if err != nil {
				t.Fatal(err)
			}
			id, err := install(ks, "", answer, issue.InstallOptions{Trust: meddling{[]*x509.Certificate{root.Leaf()}, func() {}}})
			if err != nil || len(id.Chain()) != 3 || id.Leaf().DNSNames[0] != "a.example" {
				t.Fatal(id, err)
			}
			if now, err := ks.Identity(""); err != nil || !now.Leaf().Equal(id.Leaf()) {
				t.Error(now, err)
			}
		})
	}
}

func TestRenewHeedsContext(t *testing.T) {
	ks := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := renew(ctx, ks, "server", issue.RenewOptions{Sign: func(given context.Context, _ []byte) ([]byte, error) {
		cancel()
		return nil, given.Err()
	}})
	wantError(t, err, context.Canceled, "sign")
	_, err = renew(ctx, ks, "server", issue.RenewOptions{Sign: never(t)})
	wantError(t, err, context.Canceled)
	for _, alias := range []string{"", "server"} {
		_, err = renew(t.Context(), nil, alias, issue.RenewOptions{})
		wantError(t, err, trustkeep.ErrInvalid)
		_, err = install(nil, alias, nil, issue.InstallOptions{})
		wantError(t, err, trustkeep.ErrInvalid)
	}
}
