package tlsctx_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// twoKeys are identities of one name with two types of key, by two authorities.
func twoKeys(t *testing.T, name string) (ec, rsa *testpki.PKI, ecID, rsaID *testpki.Identity) {
	ec, rsa = testpki.New(t, testpki.Options{Name: "EC"}), testpki.New(t, testpki.Options{Name: "RSA", KeyType: testpki.RSA2048})
	return ec, rsa, ec.Server(name), rsa.Server(name)
}

// TestAlternativesOfServers: a server presents the first identity that the client can verify,
// whatever name it asks for, and sessions go on under either.
func TestAlternativesOfServers(t *testing.T) {
	ec, rsa, ecID, rsaID := twoKeys(t, host)
	both := tlsctx.Alternatives(identity(ecID), identity(rsaID))
	routes := new(tlsctx.Routes)
	must(t, routes.Set(host, both))
	destinations := new(tlsctx.Destinations)
	must(t, destinations.Set("*", tlsctx.Builder{Identity: both, Clock: ec.Now}))
	for way, server := range map[string]*tls.Config{
		"Identity": mustServer(t, tlsctx.Builder{Identity: both, Clock: ec.Now}),
		"Routes":   mustServer(t, tlsctx.Builder{Routes: routes, Clock: ec.Now}),
		"of *":     destinations.Server(),
	} {
		for _, name := range []string{host, "other.example"} {
			if way == "Routes" && name != host {
				continue
			}
			for _, c := range []struct {
				what string
				more func(*tls.Config)
				want x509.PublicKeyAlgorithm
			}{
				{"TLS 1.3", func(*tls.Config) {}, x509.ECDSA},
				{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, x509.ECDSA},
				{"suites with RSA alone", func(c *tls.Config) {
					c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
				}, x509.RSA},
				{"another curve", func(c *tls.Config) { c.MaxVersion, c.CurvePreferences = tls.VersionTLS12, []tls.CurveID{tls.CurveP384} }, x509.RSA},
			} {
				client := &tls.Config{InsecureSkipVerify: true, ServerName: name, Time: ec.Now, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
				c.more(client)
				for _, resumed := range []bool{false, true} {
					if got := accept(t, client, server, resumed).client.PeerCertificates[0].PublicKeyAlgorithm; got != c.want {
						t.Errorf("%s, %s, %s: %v, want %v", way, name, c.what, got, c.want)
					}
				}
			}
		}
		// A client without schemes of ECDSA, which Go cannot be, TLS 1.3 included.
		hello := &tls.ClientHelloInfo{ServerName: host, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.PSSWithSHA256}, SupportedCurves: []tls.CurveID{tls.X25519}}
		chosen, err := server.GetConfigForClient(hello)
		must(t, err)
		if c, err := chosen.GetCertificate(hello); err != nil || c.Leaf.PublicKeyAlgorithm != x509.RSA {
			t.Errorf("%s: RSA-PSS alone: %v", way, err)
		}
		hello.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519}
		if c, err := chosen.GetCertificate(hello); err != nil || c.Leaf.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("%s: none fits: %v", way, err)
		}
	}
	// The suites of the Builder count, not those of the outer configuration.
	must(t, destinations.Set("*", tlsctx.Builder{Identity: both, Clock: ec.Now, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}))
	o := accept(t, &tls.Config{RootCAs: rsa.Roots(), ServerName: host, Time: ec.Now, MaxVersion: tls.VersionTLS12}, destinations.Server(), false)
	if o.client.PeerCertificates[0].PublicKeyAlgorithm != x509.RSA {
		t.Error("an identity that the suites have no use for")
	}
}

// TestAlternativesOfClients: a client presents the first identity that the server can verify,
// preferring those of the authorities that it lists, in every way in.
func TestAlternativesOfClients(t *testing.T) {
	ec, rsa, _, _ := twoKeys(t, host)
	both := tlsctx.Alternatives(identity(ec.Client("EC")), identity(rsa.Client("RSA")))
	b := tlsctx.Builder{Trusted: store(ec.Root), Identity: both, ServerName: host, Clock: ec.Now}
	live, err := b.LiveClient()
	must(t, err)
	for _, version := range versions {
		for want, trusted := range map[string]*testpki.PKI{"EC": ec, "RSA": rsa} {
			server := mustServer(t, tlsctx.Builder{Identity: identity(ec.Server(host)), Trusted: store(trusted.Root), ClientAuth: tlsctx.RequireClientAuth, MaxVersion: version, Clock: ec.Now})
			for _, cfg := range []*tls.Config{mustClient(t, b), live} {
				if o := accept(t, cfg, server, false); o.server.PeerCertificates[0].Subject.CommonName != want {
					t.Errorf("%s", o.server.PeerCertificates[0].Subject.CommonName)
				}
			}
			e := newEcho(t, server)
			d := mustDialer(t, b)
			for _, resumed := range []bool{false, true} {
				if s, err := e.dial(t, d, host+":443"); err != nil || s.DidResume != resumed || e.last.Load().PeerCertificates[0].Subject.CommonName != want {
					t.Errorf("Dialer, %s: %v", want, err)
				}
			}
		}
	}
	presents := func(asks tls.CertificateRequestInfo) string {
		c, err := mustClient(t, b).GetClientCertificate(&asks)
		must(t, err)
		return c.Leaf.Subject.CommonName
	}
	strangers := [][]byte{testpki.New(t, testpki.Options{Name: "Stranger"}).Root.Cert.RawSubject}
	both2 := []tls.SignatureScheme{tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256}
	for _, c := range []struct {
		asks tls.CertificateRequestInfo
		want string
	}{
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: both2}, "EC"},
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: both2[:1]}, "RSA"},
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: both2, AcceptableCAs: [][]byte{rsa.Root.Cert.RawSubject}}, "RSA"},
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: both2, AcceptableCAs: strangers}, "EC"},
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: both2[:1], AcceptableCAs: strangers}, "RSA"},
		{tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.Ed25519}}, "EC"},
	} {
		if got := presents(c.asks); got != c.want {
			t.Errorf("%v: %s, want %s", c.asks.SignatureSchemes, got, c.want)
		}
	}

	e := b.Explain()
	if e.Identity == nil || len(e.Identity.Alternatives) != 1 || strings.Contains(e.String(), "only one") || !strings.Contains(e.String(), "\nor: CN=RSA,O=TrustKeep tests (RSA 2048)") {
		t.Errorf("%s", e)
	}
}

// TestAlternativesFollow: each is asked anew, and one that cannot be had is an error.
func TestAlternativesFollow(t *testing.T) {
	ec, _, ecID, rsaID := twoKeys(t, host)
	second := new(swap)
	second.set(rsaID, nil)
	both := tlsctx.Alternatives(identity(ecID), second)
	server := mustServer(t, tlsctx.Builder{Identity: both, Clock: ec.Now})
	client := &tls.Config{InsecureSkipVerify: true, ServerName: host, Time: ec.Now, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	accept(t, client, server, false)
	accept(t, client, server, true)
	second.set(ec.Server(host), nil)
	accept(t, client, server, false)
	second.set(nil, errors.New("gone"))
	refuse(t, client, server)

	for name, id := range map[string]trustkeep.Identity{
		"none": tlsctx.Alternatives(), "nil": tlsctx.Alternatives(nil), "nil pointer": tlsctx.Alternatives(identity(ecID), (*swap)(nil)),
	} {
		b := tlsctx.Builder{Identity: id, Trusted: store(ec.Root)}
		_, serverErr := b.Server()
		_, clientErr := b.Client()
		_, dialerErr := b.Dialer()
		_, err := id.TLSCertificate()
		for _, err := range []error{serverErr, clientErr, dialerErr, err} {
			if !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	wrong := ecID.TLSCertificate()
	wrong.PrivateKey = rsaID.Key
	if _, err := (tlsctx.Builder{Identity: tlsctx.Alternatives(identity(ecID), tlsctx.StaticIdentity(wrong))}).Server(); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Errorf("%v", err)
	}

	text := testleak.Text(struct{ id trustkeep.Identity }{tlsctx.Alternatives(bare{ecID.TLSCertificate()}, bare{rsaID.TLSCertificate()})})
	for _, id := range []*testpki.Identity{ecID, rsaID} {
		for form, secret := range spellings(id.Key) {
			if strings.Contains(text, secret) {
				t.Errorf("the key is printed, %s", form)
			}
		}
	}
}
