package issue_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestReplyInEveryShape(t *testing.T) {
	ca, root, intermediate := newCA(t, atNoon)
	type shape struct {
		name  string
		reply func(leaf *x509.Certificate) []byte
		store []*x509.Certificate // trusted entries of the store
		trust trustkeep.CertificateHolder
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
			leaf := reply(t, intermediate, mustRequest(t, ks, "server"), issue.Options{})[0]
			id, err := install(ks, "server", s.reply(leaf), issue.InstallOptions{Trust: s.trust})
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

// The leaf keeps what the request asked for.
func TestRequestIsGranted(t *testing.T) {
	_, _, intermediate := newCA(t, atNoon)
	ks := at(noon).New()
	o := issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}, EmailAddresses: []string{"as2@a.example"},
		Purposes: issue.ForClient | issue.ForEmail, KeyUsage: x509.KeyUsageDataEncipherment, Key: issue.RSA2048}
	old := put(t, ks, "a", o).Leaf()
	csr := mustRequest(t, ks, "a")
	block, _ := pem.Decode(csr)
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(asked.Extensions) != 3 {
		t.Errorf("%d extensions asked for", len(asked.Extensions))
	}
	got := reply(t, intermediate, csr, issue.Options{Validity: 90 * 24 * time.Hour})[0]
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
	got = reply(t, intermediate, csr, issue.Options{DNSNames: []string{"b.example"}, Purposes: issue.ForServer, KeyUsage: x509.KeyUsageDataEncipherment})[0]
	if got.Subject.String() != "" || !slices.Equal(got.DNSNames, []string{"b.example"}) || len(got.EmailAddresses) != 0 || got.KeyUsage&x509.KeyUsageDataEncipherment == 0 {
		t.Errorf("granted %v %v %v", got.Subject, got.DNSNames, got.EmailAddresses)
	}
}

func TestRequestNeverMakesACA(t *testing.T) {
	_, root, _ := newCA(t, atNoon)
	_, mine, _ := newCA(t, atNoon)
	csr, err := issue.Request(mine, issue.Options{Subject: cn("Mine")})
	if err != nil {
		t.Fatal(err)
	}
	if got := reply(t, root, csr, issue.Options{})[0]; got.IsCA || got.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("a request made itself a CA")
	}
	if got := reply(t, root, csr, issue.Options{Purposes: issue.ForCA})[0]; !got.IsCA || !got.MaxPathLenZero {
		t.Error("the CA's word did not count")
	}
}

func TestReplyRefused(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	_, strangeRoot, strangeIntermediate := newCA(t, atNoon) // the same names, other keys
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
	leaf := reply(t, intermediate, csr, issue.Options{})[0]
	strange := reply(t, strangeIntermediate, csr, issue.Options{})[0]
	other := newServer(t)
	foreign := reply(t, root, mustRequest(t, other, "server"), issue.Options{})[0]
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
		o     issue.InstallOptions
		want  error
		text  string
	}{
		{"for another key", "server", pemOf(foreign, r), issue.InstallOptions{}, trustkeep.ErrKeyMismatch, "another key"},
		{"issuer missing", "server", pemOf(leaf), issue.InstallOptions{}, trustkeep.ErrNotFound, `"CN=Intermediate CA", which signed that of "CN=a.example"`},
		{"root missing", "server", pemOf(leaf, i), issue.InstallOptions{}, trustkeep.ErrNotFound, `"CN=Root CA", which signed that of "CN=Intermediate CA"`},
		{"issuer missing, trust given", "server", pemOf(leaf), issue.InstallOptions{Trust: truststore.New(r)}, trustkeep.ErrNotFound, `"CN=Intermediate CA"`},
		{"wrong issuer of the right name", "server", pemOf(strange, i, r), issue.InstallOptions{}, trustkeep.ErrNotFound, "another key than"},
		{"wrong issuer of another name", "server", pemOf(leaf, pki.Intermediate.Cert, pki.Root.Cert), issue.InstallOptions{}, trustkeep.ErrNotFound, `"CN=Intermediate CA"`},
		{"root not trusted", "server", pemOf(leaf, i, r), issue.InstallOptions{Trust: truststore.New(strangeRoot.Leaf())}, trustkeep.ErrNotFound, `leads to "CN=Root CA", which is not among`},
		{"trust is empty", "server", pemOf(leaf, i, r), issue.InstallOptions{Trust: truststore.New()}, trustkeep.ErrNotFound, "not among"},
		{"trust is a nil pointer", "server", pemOf(leaf, i, r), issue.InstallOptions{Trust: none}, trustkeep.ErrInvalid, "nil"},
		{"expired CA", "server", pemOf(signed(expired, nil), expired.Cert, pki.Root.Cert), issue.InstallOptions{}, trustkeep.ErrExpired, "Expired CA"},
		{"expired certificate", "server", pemOf(stale, pki.Root.Cert), issue.InstallOptions{}, trustkeep.ErrExpired, "a.example"},
		{"issuer no CA", "server", pemOf(signed(noCA, nil), noCA.Cert, pki.Intermediate.Cert, pki.Root.Cert), issue.InstallOptions{}, trustkeep.ErrCorrupt, "no CA"},
		{"unknown alias", "none", pemOf(leaf, i, r), issue.InstallOptions{}, trustkeep.ErrNotFound, "none"},
		{"alias of no key", "ca", pemOf(leaf, i, r), issue.InstallOptions{}, trustkeep.ErrNotFound, "no private key"},
		{"nothing to replace", "server", pemOf(leaf, i, r), issue.InstallOptions{As: "none"}, trustkeep.ErrNotFound, "none"},
		{"kept under a taken alias", "server", pemOf(leaf, i, r), issue.InstallOptions{KeepAs: "CA"}, trustkeep.ErrExists, `"ca"`},
		{"kept under its own alias", "server", pemOf(leaf, i, r), issue.InstallOptions{KeepAs: "SERVER"}, trustkeep.ErrExists, "SERVER"},
		{"no certificate", "server", pki.Root.KeyPEM(), issue.InstallOptions{}, trustkeep.ErrEmpty, "no certificate"},
		{"too many", "server", pemOf(slices.Repeat([]*x509.Certificate{leaf, i, r}, 40)...), issue.InstallOptions{}, trustkeep.ErrLimit, "100 certificates"},
		{"truncated", "server", leaf.Raw[:len(leaf.Raw)-5], issue.InstallOptions{}, trustkeep.ErrCorrupt, "reply"},
		{"nothing", "server", nil, issue.InstallOptions{}, nil, "reply"},
		{"noise", "server", []byte("Dear customer"), issue.InstallOptions{}, trustkeep.ErrCorrupt, "reply"},
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
			id, err := install(ks, test.alias, test.reply, test.o)
			if test.want == nil {
				test.want = err
			}
			if err == nil {
				t.Fatalf("installed %v", id)
			}
			wantError(t, err, test.want, "issue: install", test.text)
			if now, err := ks.Identity("server"); err != nil || now != old || ks.Len() != 2 {
				t.Errorf("the store has %v, %v and %d entries", now, err, ks.Len())
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	_, root, _ := newCA(t, atNoon)
	ks := newServer(t)
	csr := mustRequest(t, ks, "server")
	block, _ := pem.Decode(csr)
	tampered := bytes.Clone(block.Bytes)
	tampered[bytes.Index(tampered, []byte("a.example"))] = 'b'
	bare := requestLike(t, x509.CertificateRequest{})
	tests := []struct {
		name string
		csr  []byte
		o    issue.Options
		want error
		text string
	}{
		{"tampered", tampered, issue.Options{}, trustkeep.ErrCorrupt, "own key"},
		{"noise", []byte("x"), issue.Options{}, trustkeep.ErrCorrupt, "request"},
		{"nothing", nil, issue.Options{}, trustkeep.ErrCorrupt, "request"},
		{"huge", make([]byte, 300<<10), issue.Options{}, trustkeep.ErrLimit, "bytes"},
		{"weak key", weakRequest(t), issue.Options{}, trustkeep.ErrUnsupported, "1024 bits"},
		{"no name", bare, issue.Options{}, trustkeep.ErrEmpty, "neither"},
		{"control characters", requestLike(t, x509.CertificateRequest{Subject: cn("a\x1b[2J")}), issue.Options{}, trustkeep.ErrCorrupt, `\x1b`},
		{"the CA's own name", requestLike(t, x509.CertificateRequest{Subject: cn("Root CA")}), issue.Options{}, trustkeep.ErrUnsupported, "own name"},
		{"a key to make", csr, issue.Options{Key: issue.ECP256}, trustkeep.ErrInvalid, "key"},
		{"a bad name of the CA's own", csr, issue.Options{DNSNames: []string{"*"}}, trustkeep.ErrInvalid, `"*"`},
		{"the CA's own name, asked for by itself", csr, issue.Options{Subject: cn("Root CA"), Purposes: issue.ForClient}, trustkeep.ErrInvalid, "own name"},
		{"a server without a host", requestLike(t, x509.CertificateRequest{Subject: cn("a"), ExtraExtensions: []pkix.Extension{serverAuth(t)}}), issue.Options{}, trustkeep.ErrCorrupt, "server without"},
		{"a server without a host, of the CA's own", requestLike(t, x509.CertificateRequest{Subject: cn("a")}), issue.Options{Purposes: issue.ForServer}, trustkeep.ErrInvalid, "server without"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := sign(root, test.csr, test.o)
			wantError(t, err, test.want, "issue: sign", test.text)
		})
	}
	server, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	_, err = sign(server, csr, issue.Options{})
	wantError(t, err, trustkeep.ErrInvalid, "no CA")
	var none *keystore.Identity
	_, err = sign(none, csr, issue.Options{})
	wantError(t, err, trustkeep.ErrInvalid, "nil")
	_, err = issue.New(issue.Options{Subject: cn("x"), Issuer: none})
	wantError(t, err, trustkeep.ErrInvalid, "nil")
	_, err = issue.Request(server, issue.Options{Validity: time.Hour})
	wantError(t, err, trustkeep.ErrInvalid, "issue: request", "Validity", "CA's to decide", "leave")
	_, err = issue.Request(none, issue.Options{})
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = issue.RequestForKey(server.Signer(), issue.Options{})
	wantError(t, err, trustkeep.ErrInvalid, "neither a subject")
	_, err = issue.RequestForKey(nil, issue.Options{Subject: cn("x")})
	wantError(t, err, trustkeep.ErrInvalid, "nil key")
}

// serverAuth asks for the extended key usage of servers.
func serverAuth(t testing.TB) pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: value}
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
	_, root, intermediate := newCA(t, atNoon)
	ks := newServer(t)
	old, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	put(t, ks, "server.next", issue.Like(old.Leaf()))
	csr := mustRequest(t, ks, "server.next")
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	later, err := at(noon.Add(72*time.Hour)).Parse(data, trustkeep.Password("secret"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := sign(intermediate, csr, issue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := install(later, "server.next", answer, issue.InstallOptions{Trust: truststore.New(root.Leaf()), As: "server", KeepAs: "server.old"})
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
