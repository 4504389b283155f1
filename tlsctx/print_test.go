package tlsctx_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// bare is an identity of somebody else's, whose key prints if anybody lets it.
type bare struct{ Cert tls.Certificate }

func (b bare) TLSCertificate() (*tls.Certificate, error) { return &b.Cert, nil }

// spellings are the forms that a secret number or octet string is printed in.
func spellings(key crypto.Signer) map[string]string {
	var secret []byte
	out := make(map[string]string)
	switch k := key.(type) {
	case ed25519.PrivateKey:
		secret = k.Seed()
	case *ecdsa.PrivateKey:
		bytes, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		secret = bytes
		out["number"] = new(big.Int).SetBytes(bytes).String()
	case *rsa.PrivateKey:
		secret = k.D.Bytes()
		out["number"] = k.D.String()
	}
	out["raw"] = string(secret)
	out["hex"] = hex.EncodeToString(secret)
	out["HEX"] = strings.ToUpper(out["hex"])
	out["base64"] = base64.StdEncoding.EncodeToString(secret)[:40]
	out["octets"] = strings.Trim(fmt.Sprint(secret[:24]), "[]")
	out["octets in Go"] = strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret[:24]), "[]byte{"), "}")
	out["octets in hex"] = strings.Trim(fmt.Sprintf("%X", secret[:1]), "[]") + out["HEX"][2:]
	out["octal"] = strings.Trim(fmt.Sprintf("%o", secret[:24]), "[]")
	out["binary"] = strings.Trim(fmt.Sprintf("%b", secret[:24]), "[]")
	return out
}

// Whatever a private key gets into by way of this package prints without it.
func TestNothingPrintsKeys(t *testing.T) {
	for name, typ := range map[string]testpki.KeyType{"RSA": testpki.RSA2048, "EC": testpki.P256, "Ed25519": testpki.Ed25519} {
		t.Run(name, func(t *testing.T) {
			if name == "EC" && (testcpu.Raced || !testtool.Long()) {
				t.Skip("in the long form: as RSA, by big.Int")
			}
			pki := testpki.New(t, testpki.Options{KeyType: typ})
			own := pki.Server(host)
			forms := spellings(own.Key)
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer inner.Close()
			for kind, id := range map[string]trustkeep.Identity{"static": tlsctx.StaticIdentity(own.TLSCertificate()), "bare": bare{own.TLSCertificate()}} {
				b := tlsctx.Builder{Identity: id, Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth}
				client, server := mustClient(t, b), mustServer(t, b)
				live, err := b.LiveClient()
				must(t, err)
				dialer := mustDialer(t, b)
				e := newEcho(t, server)
				if _, err := e.dial(t, mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("me"))}), host+":443"); err != nil {
					t.Fatal(err)
				}
				transport, err := b.Transport(nil)
				must(t, err)
				listener, err := b.Listen(inner)
				must(t, err)
				chosen, err := server.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
				must(t, err)
				presented, err := client.GetClientCertificate(&tls.CertificateRequestInfo{})
				must(t, err)
				livePresented, err := live.GetClientCertificate(&tls.CertificateRequestInfo{})
				must(t, err)
				routes := new(tlsctx.Routes)
				must(t, routes.Set(host, id))
				routed := b
				routed.Routes = routes
				destinations := new(tlsctx.Destinations)
				must(t, destinations.Set(host, b))
				values := map[string]any{
					"Client": client, "Server": server, "LiveClient": live, "generation": chosen, "presented": presented, "live presented": livePresented,
					"Dialer": dialer, "Transport": transport, "Listener": listener, "Builder": b, "*Builder": &b, "Routes": routes,
					"Builder with Routes": routed, "Destinations": destinations, "Explanation": b.Explain(), "nested": []any{b, struct{ B tlsctx.Builder }{b}},
					"in a map": map[string]any{"b": b, "c": client}, "HandshakeError": b.ExplainError(io.EOF),
					"error": fmt.Errorf("%+v", b),
					"unexported fields": struct {
						d *tlsctx.Dialer
						t *tlsctx.Transport
						l *tlsctx.Listener
						r *tlsctx.Routes
						p *tlsctx.Destinations
						c *tls.Config
						s []tls.Certificate
					}{dialer, transport, listener, routes, destinations, client, chosen.Certificates},
				}
				if kind == "static" { // what a bare one prints by itself is its own affair
					c, err := id.TLSCertificate()
					must(t, err)
					values["StaticIdentity"], values["its certificate"], values["in a struct"] = id, c, struct{ ID trustkeep.Identity }{id}
					values["by value"] = *c
					values["unexported"] = struct {
						id trustkeep.Identity
						c  tls.Certificate
						b  tlsctx.Builder
					}{id, *c, b}
				}
				for what, v := range values {
					text := testleak.Text(v)
					for form, secret := range forms {
						if strings.Contains(text, secret) {
							t.Errorf("%s, %s: the key is printed, %s", kind, what, form)
						}
					}
				}
			}
		})
	}
}

// handle is a key in hardware: it signs and can do nothing else.
type handle struct{ crypto.Signer }

// Keys that do not print work in handshakes as they did, by RSA's encryption included.
func TestConcealedKeysWork(t *testing.T) {
	for name, typ := range map[string]testpki.KeyType{"RSA": testpki.RSA2048, "EC": testpki.P256, "Ed25519": testpki.Ed25519} {
		pki := testpki.New(t, testpki.Options{KeyType: typ})
		for kind, wrap := range map[string]func(crypto.Signer) crypto.Signer{
			"bare": func(k crypto.Signer) crypto.Signer { return k }, "handle": func(k crypto.Signer) crypto.Signer { return handle{k} },
		} {
			hold := func(id *testpki.Identity) trustkeep.Identity {
				c := id.TLSCertificate()
				c.PrivateKey = wrap(id.Key)
				return tlsctx.StaticIdentity(c)
			}
			server := mustServer(t, tlsctx.Builder{Identity: hold(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now})
			for _, version := range versions {
				client := mustClient(t, tlsctx.Builder{Identity: hold(pki.Client("me")), Trusted: store(pki.Root), ServerName: host, MaxVersion: version, Clock: pki.Now})
				accept(t, client, server, false)
				accept(t, client, server, true)
			}
			if name == "RSA" && kind == "bare" && !fips.Enabled() { // the key exchange of RFC 5246 section 7.4.7.1 needs crypto.Decrypter
				chosen, err := server.GetConfigForClient(&tls.ClientHelloInfo{})
				must(t, err)
				chosen = chosen.Clone()
				chosen.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
				client := mustClient(t, tlsctx.Builder{Identity: hold(pki.Client("me")), Trusted: store(pki.Root), ServerName: host, MaxVersion: tls.VersionTLS12, Clock: pki.Now})
				client.CipherSuites = chosen.CipherSuites
				accept(t, client, chosen, false)
			}
		}
	}
}

// fresh makes its certificate anew each time, as an identity that reads a file may.
type fresh struct{ tls.Certificate }

func (f fresh) TLSCertificate() (*tls.Certificate, error) {
	return tlsctx.StaticIdentity(f.Certificate).TLSCertificate()
}

// The same key in a new wrapping is the same key: sessions go on.
func TestWrappingIsNoChange(t *testing.T) {
	for name, typ := range map[string]testpki.KeyType{"RSA": testpki.RSA2048, "EC": testpki.P256, "Ed25519": testpki.Ed25519} {
		pki := testpki.New(t, testpki.Options{KeyType: typ})
		e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: fresh{pki.Server(host).TLSCertificate()}, Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now}))
		d := mustDialer(t, tlsctx.Builder{Identity: fresh{pki.Client("me").TLSCertificate()}, Trusted: store(pki.Root), Clock: pki.Now})
		for i := range 3 {
			if s, err := e.dial(t, d, host+":443"); err != nil || s.DidResume != (i > 0) {
				t.Errorf("%s, connection %d: resumed %v, %v", name, i, s.DidResume, err)
			}
		}
		// A handle that cannot be compared is a new one each time, and no reason to panic.
		c := pki.Client("me").TLSCertificate()
		c.PrivateKey = handle{c.PrivateKey.(crypto.Signer)}
		d = mustDialer(t, tlsctx.Builder{Identity: fresh{c}, Trusted: store(pki.Root), Clock: pki.Now})
		for range 2 {
			if _, err := e.dial(t, d, host+":443"); err != nil {
				t.Errorf("%s, handle: %v", name, err)
			}
		}
	}
}

// The password of a proxy is printed neither by a Transport nor by the error of a request.
func TestProxyPasswordIsNotPrinted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close()) // nobody answers there
	proxy := &url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("me", "hunter2")}
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	transport, err := b.Transport(&http.Transport{Proxy: http.ProxyURL(proxy)})
	must(t, err)
	r, err := (&http.Client{Transport: transport}).Get("https://user:hunter2@" + host + "/")
	if err == nil {
		r.Body.Close()
		t.Fatal("a request without a proxy")
	}
	for _, v := range []any{transport, err, b.ExplainError(err)} {
		testleak.Check(t, v, []byte("hunter2"))
	}
}
