package tlsctx_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

// Under GODEBUG=fips140=on, every way to a handshake accepts a chain if and only if a plain
// configuration of crypto/tls with the same pool accepts it: key by key, in each place of the
// chain, for servers and for clients.
func TestHandshakesUnderFIPSAreThoseOfCryptoTLS(t *testing.T) {
	if !fipstest.On(t) {
		return
	}
	pki := testpki.New(t, testpki.Options{})
	generated := func(key crypto.Signer, err error) crypto.Signer {
		must(t, err)
		return key
	}
	ec := func(c elliptic.Curve) crypto.Signer { return generated(ecdsa.GenerateKey(c, rand.Reader)) }
	rsaKey := func(bits int) crypto.Signer { return generated(rsa.GenerateKey(rand.Reader, bits)) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	accepted, refused := 0, 0
	for name, key := range map[string]crypto.Signer{
		"RSA 1024": rsaKey(1024), "RSA 2048": rsaKey(2048), "P-224": ec(elliptic.P224()), "P-256": ec(elliptic.P256()),
		"P-384": ec(elliptic.P384()), "P-521": ec(elliptic.P521()), "Ed25519": ed,
	} {
		if (name == "P-384" || name == "P-521") && !testtool.Long() {
			continue // approved, as P-256 is
		}
		of := &testpki.Identity{Key: key}
		root := pki.Issue(testpki.Request{CommonName: "Root", CA: true, SelfSigned: true, KeyOf: of})
		inter := pki.Issue(testpki.Request{CommonName: "Intermediate", CA: true, Issuer: pki.Root, KeyOf: of})
		for place, c := range map[string]struct{ anchor, peer *testpki.Identity }{
			"root":                 {root, pki.Issue(testpki.Request{Names: []string{host}, Issuer: root})},
			"intermediate":         {pki.Root, pki.Issue(testpki.Request{Names: []string{host}, Issuer: inter})},
			"trusted intermediate": {inter, pki.Issue(testpki.Request{Names: []string{host}, Issuer: inter})},
			"leaf":                 {pki.Root, pki.Issue(testpki.Request{Names: []string{host}, KeyOf: of})},
		} {
			what := name + " as " + place
			trust := store(c.anchor)
			snapshot, err := trust.Snapshot()
			must(t, err)
			pin := []truststore.Pin{truststore.PinKey(c.peer.Cert)}
			policies := map[string]tlsctx.Builder{
				"plain": {Trusted: trust}, "pins": {Trusted: trust, Pins: pin}, "relaxed": {Trusted: trust, Allow: truststore.JavaHTTPS()},
				"authorize": {Trusted: trust, Authorize: func(context.Context, tlsctx.Peer) error { return nil }},
			}

			server := &tls.Config{Certificates: []tls.Certificate{c.peer.TLSCertificate()}, Time: pki.Now}
			plain := connect(t, &tls.Config{RootCAs: snapshot.Pool(), ServerName: host, Time: pki.Now}, server).ok()
			if plain {
				accepted++
			} else {
				refused++
			}
			same := func(how string, err error) {
				t.Helper()
				if (err == nil) != plain {
					t.Errorf("%s, %s: %v, and crypto/tls accepts: %v", what, how, err, plain)
				}
			}
			e := newEcho(t, server)
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			web.TLS, web.Config.ErrorLog = server.Clone(), quiet()
			web.StartTLS()
			proxy := httptest.NewServer(tunnel(t, web.Listener.Addr().String()))
			at, err := url.Parse(proxy.URL)
			must(t, err)
			for policy, b := range policies {
				b.Clock = pki.Now
				_, err := e.dial(t, mustDialer(t, b), host+":443")
				same(policy+", Dialer", err)
				same(policy+", Transport behind a proxy", requestOver(t, b, &http.Transport{Proxy: http.ProxyURL(at)})())
				session, err := ftps.New(b, host+":21")
				must(t, err)
				raw, err := net.Dial("tcp", e.address)
				must(t, err)
				control, err := session.Control(t.Context(), raw)
				if err == nil {
					control.Close()
				}
				same(policy+", FTPS", err)
				b.ServerName = host
				for kind, client := range asLive {
					same(policy+", "+kind, connect(t, client(t, b), server).clientErr)
				}
			}
			web.Close()
			proxy.Close()

			own := pki.Server(host).TLSCertificate()
			client := &tls.Config{Certificates: []tls.Certificate{c.peer.TLSCertificate()}, RootCAs: pki.Roots(), ServerName: host, Time: pki.Now}
			plain = connect(t, client, &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: snapshot.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, Time: pki.Now}).ok()
			for policy, b := range policies {
				for _, conceal := range []bool{false, true} {
					b.Clock, b.Identity, b.ClientAuth, b.ConcealCAs = pki.Now, tlsctx.StaticIdentity(own), tlsctx.RequireClientAuth, conceal
					how := policy + ", Server"
					if conceal {
						how += " with ConcealCAs"
					}
					same(how, connect(t, client, mustServer(t, b)).serverErr)
				}
			}
		}
	}
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted and %d refused: the test compares nothing", accepted, refused)
	}
}
