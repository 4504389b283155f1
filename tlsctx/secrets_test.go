package tlsctx_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// canaries yields random octets that a test can recognise, those of session ticket keys.
type canaries struct{}

func (canaries) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte("ticket-key-canary"), len(p)/16+1))
	return len(p), nil
}

// Whoever has the key of session tickets reads what was sent in TLS 1.2 under them.
func TestTicketKeysAreNotPrinted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, Rand: canaries{}}
	var key [32]byte
	canaries{}.Read(key[:])
	// crypto/tls makes of each a key for AES and one for HMAC.
	derived := sha512.Sum512(key[:])
	secrets := [][]byte{key[:], derived[16:32], derived[32:48]}
	routes, destinations := new(tlsctx.Routes), new(tlsctx.Destinations)
	must(t, routes.Set(host, b.Identity))
	must(t, destinations.Set(host, b))
	routed := b
	routed.Identity, routed.Routes = nil, routes
	for _, cfg := range []*tls.Config{mustServer(t, b), mustServer(t, routed), destinations.Server()} {
		chosen, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
		must(t, err)
		testleak.Check(t, cfg, secrets...)
		testleak.Check(t, chosen, secrets...)
	}
}

// A header for the proxy and the password in its URL are secrets of the transport's base.
func TestTransportsDoNotPrintTheirBase(t *testing.T) {
	const canary = "hunter2canary"
	pki := testpki.New(t, testpki.Options{})
	base := &http.Transport{
		ProxyConnectHeader: http.Header{"Proxy-Authorization": {"Basic " + canary}},
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:1", User: url.UserPassword("me", canary)}),
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF },
	}
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	transport, err := b.Transport(base)
	must(t, err)
	destinations := new(tlsctx.Destinations)
	must(t, destinations.Set("*", b))
	byDestination := destinations.Transport(base)
	for _, rt := range []http.RoundTripper{transport, byDestination} {
		if r, err := (&http.Client{Transport: rt}).Get("https://" + host + "/"); err == nil {
			r.Body.Close()
			t.Fatal("a request without a proxy")
		}
	}
	testleak.Check(t, transport, []byte(canary))
	testleak.Check(t, byDestination, []byte(canary))
	testleak.Check(t, &http.Client{Transport: transport}, []byte(canary))
}

// A key that no handshake can use is no more printed than others.
func TestStaticIdentityOfUnusableKey(t *testing.T) {
	id := tlsctx.StaticIdentity(tls.Certificate{PrivateKey: []byte("hunter2canary")})
	testleak.Check(t, id, []byte("hunter2canary"))
}
