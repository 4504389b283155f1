package pkitest_test

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

var fixed = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func verify(p *pkitest.PKI, id *keystore.Identity, name string) error {
	_, err := p.Trust().Verify(id.Chain(), truststore.VerifyOptions{Name: name, Time: p.Now()})
	return err
}

func TestVerdicts(t *testing.T) {
	for _, o := range []pkitest.Options{{}, {Now: fixed}, {Now: fixed, Seed: "seed"}, {Key: issue.Ed25519}} {
		p := o.New(t)
		weak := trustkeep.Code("") // crypto/x509 takes it
		if fips140.Enabled() {
			weak = truststore.CodeFIPS
		}
		tests := []struct {
			name string
			id   *keystore.Identity
			want trustkeep.Code // empty: trusted
		}{
			{"server", p.Server, ""},
			{"CA leaf", p.CALeaf(), ""},
			{"expiring", p.ExpiringIn(time.Minute), ""},
			{"weak key", p.WeakKey(), weak},
			{"expired", p.Expired(), truststore.CodeExpired},
			{"expired and self-signed", p.ExpiredSelfSigned(), truststore.CodeExpired},
			{"not yet valid", p.NotYetValid(), truststore.CodeNotYetValid},
			{"wrong usage", p.WrongUsage(), truststore.CodeWrongUsage},
			{"client", p.NewClient("localhost"), truststore.CodeWrongUsage},
			{"common name only", p.CommonNameOnly("localhost"), truststore.CodeCommonNameOnly},
			{"wrong name", p.WrongName(), truststore.CodeNameMismatch},
			{"self-signed", p.SelfSigned(), truststore.CodeSelfSigned},
			{"untrusted issuer", p.UntrustedIssuer(), truststore.CodeUnknownIssuer},
			{"leaf only", p.LeafOnly(p.Server), truststore.CodeIncompleteChain},
			{"issued by a leaf", p.IssuedByLeaf(), truststore.CodeNotAuthority},
			{"other PKI", pkitest.Options{Now: p.Now()}.New(t).Server, truststore.CodeUnknownIssuer},
		}
		for _, test := range tests {
			err := verify(p, test.id, "localhost")
			var refused *truststore.VerifyError
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%s: %v", test.name, err)
			case test.want != "" && !errors.As(err, &refused):
				t.Errorf("%s: got %v, want %s", test.name, err, test.want)
			case test.want != "" && refused.Code != test.want:
				t.Errorf("%s: %s, want %s", test.name, refused.Code, test.want)
			}
		}
	}
}

func TestCrossSign(t *testing.T) {
	old, young := pkitest.Options{Name: "Old"}.New(t), pkitest.Options{Name: "Young"}.New(t)
	chain := append(young.Server.Chain(), old.CrossSign(young.CA).Leaf())
	for _, p := range []*pkitest.PKI{old, young} {
		if _, err := p.Trust().Verify(chain, truststore.VerifyOptions{Name: "localhost"}); err != nil {
			t.Error(err)
		}
	}
}

func TestNegativeSerial(t *testing.T) {
	p := pkitest.New(t)
	cert := p.NegativeSerial()
	if _, err := x509.ParseCertificate(rawOf(t, cert)); err == nil {
		t.Error("crypto/x509 parses it")
	}
}

func TestSeed(t *testing.T) {
	raw := func(o pkitest.Options) []byte { return o.New(t).Server.Leaf().Raw }
	same := pkitest.Options{Now: fixed, Seed: "a"}
	if !slices.Equal(raw(same), raw(same)) {
		t.Error("one seed makes different certificates")
	}
	if slices.Equal(raw(pkitest.Options{Now: fixed}), raw(pkitest.Options{Now: fixed})) {
		t.Error("without a seed, certificates repeat")
	}
}

func TestHandshakes(t *testing.T) {
	p := pkitest.Options{Now: fixed}.New(t)
	tests := []struct {
		name           string
		server, client *tls.Config
		works          bool
	}{
		{"plain", p.ServerConfig(), p.ClientConfig(), true},
		{"mutual", p.MutualServerConfig(), p.ClientConfig(), true},
		{"mutual, stranger", p.MutualServerConfig(), func() *tls.Config {
			c := pkitest.Options{Now: fixed}.New(t).ClientConfig()
			c.RootCAs = p.Pool()
			return c
		}(), false},
		{"expired server", p.ConfigOf(p.Expired()), p.ClientConfig(), false},
		{"other PKI", pkitest.New(t).ServerConfig(), p.ClientConfig(), false},
	}
	for _, test := range tests {
		if err := handshake(test.server, test.client); (err == nil) != test.works {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// handshake returns what the server thinks of it.
func handshake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		c := tls.Client(b, client)
		err := c.Handshake()
		if err == nil {
			_, err = io.ReadAll(c)
		}
		b.Close()
		done <- err
	}()
	s := tls.Server(a, server)
	err := s.Handshake()
	s.Close()
	return errors.Join(err, <-done)
}

func TestHTTPS(t *testing.T) {
	p := pkitest.New(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = p.MutualServerConfig()
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: p.ClientConfig()}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "client" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestFiles(t *testing.T) {
	p := pkitest.New(t)
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.PEM} {
		ks, err := keystore.Load(p.KeystoreFile(f), trustkeep.Password(pkitest.Password))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if id, err := ks.Identity("server"); err != nil || !id.Leaf().Equal(p.Server.Leaf()) || len(id.Chain()) != 3 {
			t.Errorf("%s: %v, %v", f, id, err)
		}
		ks, err = keystore.Load(p.KeystoreFile(f, p.Issue(pkitest.Certificate{CommonName: "B Example"})), trustkeep.Password(pkitest.Password))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if _, err := ks.Identity("b-example"); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM, trustkeep.PKCS7, trustkeep.DER} {
		ts, err := truststore.Load(p.TruststoreFile(f), trustkeep.Password(pkitest.Password))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if _, err := ts.Verify(p.Server.Chain(), truststore.VerifyOptions{Name: "localhost"}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		pkitest.New(b)
	}
}

func TestBERKeystoreFile(t *testing.T) {
	p := pkitest.New(t)
	path := p.BERKeystoreFile()
	ks, err := keystore.Load(path, trustkeep.Password(pkitest.Password))
	if err != nil {
		t.Fatal(err)
	}
	if !ks.Authenticated() || ks.Len() != 2 {
		t.Errorf("%v", ks)
	}
	for alias, want := range map[string]*keystore.Identity{"server": p.Server, "client": p.Client} {
		id, err := ks.Identity(alias)
		if err != nil || !id.Leaf().Equal(want.Leaf()) {
			t.Errorf("%s: %v", alias, err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := pkcs12.DecodeChain(data, pkitest.Password); err == nil {
		t.Error("a reader of DER reads it too: it is no BER")
	}
}
