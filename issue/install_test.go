package keystore_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func pemOf(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func mustRequest(t testing.TB, ks *keystore.Keystore, alias string) []byte {
	t.Helper()
	csr, err := ks.CertificateRequest(alias, keystore.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// reply has the CA of that alias answer the request and returns the chain, leaf
// first.
func reply(t testing.TB, ca *keystore.Keystore, alias string, csr []byte, o keystore.CertificateOptions) []*x509.Certificate {
	t.Helper()
	answer, err := ca.SignRequest(alias, csr, o)
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

func newServer(t testing.TB) *keystore.Keystore {
	t.Helper()
	ks := at(noon).New()
	mustGenerate(t, ks, "Server", keystore.CertificateOptions{Subject: cn("a.example"), DNSNames: []string{"a.example"}})
	return ks
}

func TestReplyInEveryShape(t *testing.T) {
	ca, root, intermediate := newCA(t, at(noon))
	type shape struct {
		name  string
		reply func(leaf *x509.Certificate) []byte
		store []*x509.Certificate // trusted entries of the store
		trust keystore.CertificateSource
	}
	r, i := root.Leaf(), intermediate.Leaf()
	stranger := testpki.New(t, testpki.Options{Name: "Stranger"}).Root.Cert
	shapes := []shape{
		{"chain", func(l *x509.Certificate) []byte { return pemOf(l, i, r) }, nil, nil},
		{"reversed", func(l *x509.Certificate) []byte { return pemOf(r, i, l) }, nil, nil},
		{"with others and twice", func(l *x509.Certificate) []byte { return pemOf(stranger, i, l, r, i, l) }, nil, nil},
		{"with text and CRLF", func(l *x509.Certificate) []byte {
			return []byte("Subject: your certificate\r\n" + strings.ReplaceAll(string(pemOf(l, i, r)), "\n", "\r\n"))
		}, nil, nil},
		{"leaf in DER", func(l *x509.Certificate) []byte { return l.Raw }, []*x509.Certificate{r, i}, nil},
		{"leaf, issuers half in the store", func(l *x509.Certificate) []byte { return pemOf(l) }, []*x509.Certificate{i}, truststore.New(r)},
		{"leaf, issuers in the truststore", func(l *x509.Certificate) []byte { return pemOf(l) }, nil, truststore.New(r, i)},
		{"leaf, intermediate trusted", func(l *x509.Certificate) []byte { return pemOf(l) }, []*x509.Certificate{r}, truststore.New(i)},
		{"another keystore as trust", func(l *x509.Certificate) []byte { return pemOf(l) }, nil, ca},
	}
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			ks := newServer(t)
			old, err := ks.Identity("server")
			if err != nil {
				t.Fatal(err)
			}
			for n, c := range s.store {
				if err := ks.SetTrusted(string(rune('a'+n)), c); err != nil {
					t.Fatal(err)
				}
			}
			leaf := reply(t, ca, "intermediate", mustRequest(t, ks, "server"), keystore.CertificateOptions{})[0]
			id, err := ks.InstallReply("server", s.reply(leaf), keystore.ReplyOptions{Trust: s.trust})
			if err != nil {
				t.Fatal(err)
			}
			want := []*x509.Certificate{leaf, i, r}
			if !slices.EqualFunc(id.Chain(), want, (*x509.Certificate).Equal) {
				t.Errorf("chain %v", subjects(id.Chain()))
			}
			if id.Alias() != "Server" || id.SelfSigned() || !equalKeys(id, old) {
				t.Errorf("%v", id)
			}
			again, err := ks.Identity("server")
			if err != nil || again != id {
				t.Errorf("the store has %v, %v", again, err)
			}
		})
	}
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

// The leaf keeps what the request asked for.
func TestRequestIsGranted(t *testing.T) {
	ca, _, intermediate := newCA(t, at(noon))
	ks := at(noon).New()
	o := keystore.CertificateOptions{Subject: cn("a.example"), DNSNames: []string{"a.example"}, EmailAddresses: []string{"as2@a.example"},
		Purposes: keystore.ForClient | keystore.ForEmail, KeyUsage: x509.KeyUsageDataEncipherment, Key: keystore.RSA2048}
	old := mustGenerate(t, ks, "a", o).Leaf()
	csr := mustRequest(t, ks, "a")
	block, _ := pem.Decode(csr)
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(asked.Extensions) != 3 {
		t.Errorf("%d extensions asked for", len(asked.Extensions))
	}
	got := reply(t, ca, "intermediate", csr, keystore.CertificateOptions{Validity: 90 * 24 * time.Hour})[0]
	if !bytes.Equal(got.RawSubject, old.RawSubject) || !slices.Equal(got.DNSNames, old.DNSNames) || !slices.Equal(got.EmailAddresses, old.EmailAddresses) ||
		!slices.Equal(got.ExtKeyUsage, old.ExtKeyUsage) || got.NotAfter.Sub(got.NotBefore) != 90*24*time.Hour {
		t.Errorf("granted %v %v %v", got.Subject, got.DNSNames, got.ExtKeyUsage)
	}
	if got.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
		t.Errorf("key usage %b: extra usages are the CA's to grant", got.KeyUsage)
	}
	if got.CheckSignatureFrom(intermediate.Leaf()) != nil {
		t.Error("not signed by the CA")
	}
	// The CA's word counts more than the request's.
	got = reply(t, ca, "intermediate", csr, keystore.CertificateOptions{DNSNames: []string{"b.example"}, Purposes: keystore.ForServer, KeyUsage: x509.KeyUsageDataEncipherment})[0]
	if got.Subject.String() != "" || !slices.Equal(got.DNSNames, []string{"b.example"}) || len(got.EmailAddresses) != 0 || got.KeyUsage&x509.KeyUsageDataEncipherment == 0 {
		t.Errorf("granted %v %v %v", got.Subject, got.DNSNames, got.EmailAddresses)
	}
}

func TestRequestNeverMakesACA(t *testing.T) {
	ca, _, _ := newCA(t, at(noon))
	ks, _, _ := newCA(t, at(noon))
	if err := ks.Rename("root", "mine"); err != nil {
		t.Fatal(err)
	}
	csr, err := ks.CertificateRequest("mine", keystore.CertificateOptions{Subject: cn("Mine")})
	if err != nil {
		t.Fatal(err)
	}
	if got := reply(t, ca, "root", csr, keystore.CertificateOptions{})[0]; got.IsCA || got.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("a request made itself a CA")
	}
	if got := reply(t, ca, "root", csr, keystore.CertificateOptions{Purposes: keystore.ForCA})[0]; !got.IsCA || !got.MaxPathLenZero {
		t.Error("the CA's word did not count")
	}
}

func TestReplyRefused(t *testing.T) {
	ca, root, intermediate := newCA(t, at(noon))
	stranger, strangeRoot, _ := newCA(t, at(noon)) // the same names, other keys
	pki := testpki.New(t, testpki.Options{Name: "Other", Now: noon})
	expired := pki.Issue(testpki.Request{CommonName: "Expired CA", CA: true, Issuer: pki.Root, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(0, 0, -1)})
	noCA := pki.Server("no-ca.example")
	ks := newServer(t)
	csr := mustRequest(t, ks, "server")
	block, _ := pem.Decode(csr)
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	leaf := reply(t, ca, "intermediate", csr, keystore.CertificateOptions{})[0]
	strange := reply(t, stranger, "intermediate", csr, keystore.CertificateOptions{})[0]
	other := newServer(t)
	foreign := reply(t, ca, "root", mustRequest(t, other, "server"), keystore.CertificateOptions{})[0]
	// signed makes a certificate for the key of the request, whoever signs.
	signed := func(by *testpki.Identity, edit func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: root.Leaf().SerialNumber, Subject: asked.Subject, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
		if edit != nil {
			edit(template)
		}
		der, err := x509.CreateCertificate(nil, template, by.Cert, asked.PublicKey, by.Key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	stale := signed(pki.Root, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
	r, i := root.Leaf(), intermediate.Leaf()
	var none *truststore.Truststore
	tests := []struct {
		name  string
		alias string
		reply []byte
		o     keystore.ReplyOptions
		want  error
		text  string
	}{
		{"for another key", "server", pemOf(foreign, r), keystore.ReplyOptions{}, trustkeep.ErrKeyMismatch, "another key"},
		{"issuer missing", "server", pemOf(leaf), keystore.ReplyOptions{}, trustkeep.ErrNotFound, `"CN=Intermediate CA", which signed that of "CN=a.example"`},
		{"root missing", "server", pemOf(leaf, i), keystore.ReplyOptions{}, trustkeep.ErrNotFound, `"CN=Root CA", which signed that of "CN=Intermediate CA"`},
		{"issuer missing, trust given", "server", pemOf(leaf), keystore.ReplyOptions{Trust: truststore.New(r)}, trustkeep.ErrNotFound, `"CN=Intermediate CA"`},
		{"wrong issuer of the right name", "server", pemOf(strange, i, r), keystore.ReplyOptions{}, trustkeep.ErrNotFound, "another key than"},
		{"wrong issuer of another name", "server", pemOf(leaf, pki.Intermediate.Cert, pki.Root.Cert), keystore.ReplyOptions{}, trustkeep.ErrNotFound, `"CN=Intermediate CA"`},
		{"root not trusted", "server", pemOf(leaf, i, r), keystore.ReplyOptions{Trust: truststore.New(strangeRoot.Leaf())}, trustkeep.ErrNotFound, `leads to "CN=Root CA", which is not among`},
		{"trust is empty", "server", pemOf(leaf, i, r), keystore.ReplyOptions{Trust: truststore.New()}, trustkeep.ErrNotFound, "not among"},
		{"trust is a nil pointer", "server", pemOf(leaf, i, r), keystore.ReplyOptions{Trust: none}, trustkeep.ErrEmpty, "nil"},
		{"expired CA", "server", pemOf(signed(expired, nil), expired.Cert, pki.Root.Cert), keystore.ReplyOptions{}, trustkeep.ErrExpired, "Expired CA"},
		{"expired certificate", "server", pemOf(stale, pki.Root.Cert), keystore.ReplyOptions{}, trustkeep.ErrExpired, "a.example"},
		{"issuer no CA", "server", pemOf(signed(noCA, nil), noCA.Cert, pki.Intermediate.Cert, pki.Root.Cert), keystore.ReplyOptions{}, trustkeep.ErrCorrupt, "no CA"},
		{"unknown alias", "none", pemOf(leaf, i, r), keystore.ReplyOptions{}, trustkeep.ErrNotFound, "none"},
		{"alias of no key", "ca", pemOf(leaf, i, r), keystore.ReplyOptions{}, trustkeep.ErrNotFound, "no private key"},
		{"nothing to replace", "server", pemOf(leaf, i, r), keystore.ReplyOptions{As: "none"}, trustkeep.ErrNotFound, "none"},
		{"kept under a taken alias", "server", pemOf(leaf, i, r), keystore.ReplyOptions{KeepAs: "CA"}, trustkeep.ErrExists, `"ca"`},
		{"kept under its own alias", "server", pemOf(leaf, i, r), keystore.ReplyOptions{KeepAs: "SERVER"}, trustkeep.ErrExists, "SERVER"},
		{"no certificate", "server", pki.Root.KeyPEM(), keystore.ReplyOptions{}, trustkeep.ErrEmpty, "no certificate"},
		{"too many", "server", pemOf(slices.Repeat([]*x509.Certificate{leaf, i, r}, 40)...), keystore.ReplyOptions{}, trustkeep.ErrLimit, "100 certificates"},
		{"truncated", "server", leaf.Raw[:len(leaf.Raw)-5], keystore.ReplyOptions{}, trustkeep.ErrCorrupt, "reply"},
		{"nothing", "server", nil, keystore.ReplyOptions{}, nil, "reply"},
		{"noise", "server", []byte("Dear customer"), keystore.ReplyOptions{}, trustkeep.ErrCorrupt, "reply"},
	}
	if err := ks.SetTrusted("ca", pki.Server("unrelated.example").Cert); err != nil {
		t.Fatal(err)
	}
	old, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, err := ks.InstallReply(test.alias, test.reply, test.o)
			if test.want == nil {
				test.want = err
			}
			if err == nil {
				t.Fatalf("installed %v", id)
			}
			wantError(t, err, test.want, "keystore: install reply", test.text)
			if now, err := ks.Identity("server"); err != nil || now != old || ks.Len() != 2 {
				t.Errorf("the store has %v, %v and %d entries", now, err, ks.Len())
			}
		})
	}
}

func TestSignRequestRefuses(t *testing.T) {
	ca, _, _ := newCA(t, at(noon))
	ks := newServer(t)
	csr := mustRequest(t, ks, "server")
	block, _ := pem.Decode(csr)
	tampered := bytes.Clone(block.Bytes)
	tampered[bytes.Index(tampered, []byte("a.example"))] = 'b'
	bare := requestLike(t, x509.CertificateRequest{})
	tests := []struct {
		name, alias string
		csr         []byte
		o           keystore.CertificateOptions
		want        error
		text        string
	}{
		{"tampered", "root", tampered, keystore.CertificateOptions{}, trustkeep.ErrCorrupt, "own key"},
		{"noise", "root", []byte("x"), keystore.CertificateOptions{}, trustkeep.ErrCorrupt, "request"},
		{"nothing", "root", nil, keystore.CertificateOptions{}, trustkeep.ErrCorrupt, "request"},
		{"huge", "root", make([]byte, 300<<10), keystore.CertificateOptions{}, trustkeep.ErrLimit, "bytes"},
		{"weak key", "root", weakRequest(t), keystore.CertificateOptions{}, trustkeep.ErrUnsupported, "1024 bits"},
		{"no name", "root", bare, keystore.CertificateOptions{}, trustkeep.ErrEmpty, "neither"},
		{"control characters", "root", requestLike(t, x509.CertificateRequest{Subject: cn("a\x1b[2J")}), keystore.CertificateOptions{}, trustkeep.ErrCorrupt, `\x1b`},
		{"the CA's own name", "root", requestLike(t, x509.CertificateRequest{Subject: cn("Root CA")}), keystore.CertificateOptions{}, trustkeep.ErrUnsupported, "own name"},
		{"unknown alias", "none", csr, keystore.CertificateOptions{}, trustkeep.ErrNotFound, "none"},
		{"a key to make", "root", csr, keystore.CertificateOptions{Key: keystore.ECP256}, trustkeep.ErrUnsupported, "key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ca.SignRequest(test.alias, test.csr, test.o)
			wantError(t, err, test.want, "keystore: sign request", test.text)
		})
	}
	_, err := ks.SignRequest("server", csr, keystore.CertificateOptions{})
	wantError(t, err, trustkeep.ErrUnsupported, "no CA")
	_, err = ks.CertificateRequest("server", keystore.CertificateOptions{Validity: time.Hour})
	wantError(t, err, trustkeep.ErrUnsupported, "CA's to decide")
	_, err = ks.CertificateRequest("none", keystore.CertificateOptions{})
	wantError(t, err, trustkeep.ErrNotFound)
}

// requestLike makes a request of a template with a throwaway key.
func requestLike(t testing.TB, template x509.CertificateRequest) []byte {
	t.Helper()
	key := testpki.New(t, testpki.Options{}).Root.Key
	der, err := x509.CreateCertificateRequest(nil, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A new key waits beside the old one for its certificate, in a store that is
// saved and loaded meanwhile.
func TestNewKeyWaitsForItsReply(t *testing.T) {
	ca, root, _ := newCA(t, at(noon))
	ks := newServer(t)
	old, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	mustGenerate(t, ks, "server.next", keystore.CertificateLike(old.Leaf()))
	csr := mustRequest(t, ks, "server.next")
	data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	later, err := at(noon.Add(72*time.Hour)).Parse(data, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ca.SignRequest("intermediate", csr, keystore.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := later.InstallReply("server.next", answer, keystore.ReplyOptions{Trust: truststore.New(root.Leaf()), As: "server", KeepAs: "server.old"})
	if err != nil {
		t.Fatal(err)
	}
	if id.Alias() != "Server" && id.Alias() != "server" || equalKeys(id, old) || len(id.Chain()) != 3 {
		t.Errorf("%v", id)
	}
	kept, err := later.Identity("server.old")
	if err != nil || !kept.Leaf().Equal(old.Leaf()) {
		t.Errorf("kept %v, %v", kept, err)
	}
	if later.Len() != 2 {
		t.Errorf("aliases %q", later.Aliases())
	}
	if _, err := later.Identity("server.next"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// weakRequest is made with a key that a CA does not certify.
func weakRequest(t testing.TB) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: cn("weak")}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
