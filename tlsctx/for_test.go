package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// A configuration for an address needs no more than tls.Client.
func TestFor(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host, "127.0.0.1", "2001:db8::1", "fe80::1", "xn--bcher-kva.example")), Clock: pki.Now})
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	refuse(t, mustClient(t, b), server) // no name: nobody is trusted
	for address, name := range map[string]string{
		host + ":443":               host,
		host:                        host,
		"Server.EXAMPLE.:8443":      host,
		host + ":https":             host,
		"127.0.0.1:443":             "127.0.0.1",
		"127.0.0.1":                 "127.0.0.1",
		"[2001:db8::1]:443":         "2001:db8::1",
		"[2001:DB8::1]":             "2001:db8::1",
		"2001:db8::1":               "2001:db8::1",
		"[fe80::1%eth0]:443":        "fe80::1",
		"fe80::1%eth0":              "fe80::1",
		"xn--bcher-kva.example:443": "xn--bcher-kva.example",
	} {
		for _, client := range asLive {
			for _, pins := range [][]truststore.Pin{nil, {truststore.PinCertificate(serverLeaf(t, server))}} {
				b.Pins = pins
				cfg := client(t, b.For(address))
				if cfg.ServerName != name {
					t.Errorf("%s: server name %q", address, cfg.ServerName)
				}
				accept(t, cfg, server, false)
				refuse(t, client(t, b.For("wrong.example:443")), server)
			}
		}
		b.Pins = nil
		if e := b.For(address).Explain(); e.ServerName != name || len(e.Errors) > 0 {
			t.Errorf("%s: %+v", address, e)
		}
	}
}

func serverLeaf(t *testing.T, cfg *tls.Config) *x509.Certificate {
	t.Helper()
	chosen, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
	must(t, err)
	return chosen.Certificates[0].Leaf
}

// What is no address fails whatever is built, and is explained.
func TestForRefuses(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(pki.Client("me")), Clock: pki.Now, ServerName: host, ClientAuth: tlsctx.RequireClientAuth}
	for _, bad := range []string{
		"", ":", ":443", host + ":", host + ":0x1", host + ":-1", host + ":65536", host + ":44 3", "https://" + host, host + "/path", "me@" + host,
		"*.example:443", "a..example", ".example", "[]:443", "[" + host + "]:443", "[::1", "::1]:443", "[::1]443", "1:2:3", "[fe80::1%]:443",
		"b\u202echer.example:443", "\xff\xfe.example:443", "a b", "a\n", "a\x00b:443", "a:443\n", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 150) + "example",
	} {
		one := b.For(bad)
		_, clientErr := one.Client()
		_, liveErr := one.LiveClient()
		_, dialerErr := one.Dialer()
		_, serverErr := one.Server()
		_, transportErr := one.Transport(nil)
		for what, err := range map[string]error{"Client": clientErr, "LiveClient": liveErr, "Dialer": dialerErr, "Server": serverErr, "Transport": transportErr} {
			if !errors.Is(err, trustkeep.ErrInvalid) || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%.40q: %s: %v", bad, what, err)
			}
		}
		if e := one.Explain(); len(e.Errors) != 1 {
			t.Errorf("%.40q: explained as %+v", bad, e.Errors)
		}
		if _, err := one.For("other.example:443").Client(); err != nil {
			t.Errorf("%.40q: %v after another address", bad, err)
		}
	}
}

// A name that was set stays, one by For is replaced, and routes go by host and port.
func TestForAndRoutes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	routes := new(tlsctx.Routes)
	must(t, routes.Set("a.example:8443", identity(pki.Client("for 8443"))))
	must(t, routes.Set("b.example", identity(pki.Client("for b"))))
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes, Identity: identity(pki.Client("fallback"))}
	for address, want := range map[string]string{"a.example:8443": "for 8443", "A.example.:8443": "for 8443", "a.example:443": "fallback", "b.example:1": "for b"} {
		for kind, client := range asLive {
			c, err := client(t, b.For("c.example:1").For(address)).GetClientCertificate(&tls.CertificateRequestInfo{})
			if err != nil || c.Leaf.Subject.CommonName != want {
				t.Errorf("%s: %s: %v", kind, address, err)
			}
		}
	}
	if name := mustClient(t, b.For("c.example:1").For("a.example:8443")).ServerName; name != "a.example" {
		t.Errorf("server name %s", name)
	}
	b.ServerName = host
	if name := mustClient(t, b.For("a.example:8443")).ServerName; name != host {
		t.Errorf("server name %s", name)
	}
}

// A name that is set between two addresses stays, too.
func TestForKeepsTheNameThatIsSet(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Trusted: store(pki.Root)}.For("a.example:443")
	b.ServerName = host
	for _, address := range []string{"b.example:443", "no address", "c.example"} {
		if b = b.For(address); b.ServerName != host {
			t.Fatalf("%s: server name %q", address, b.ServerName)
		}
	}
	b.ServerName = ""
	if b = b.For("d.example"); b.ServerName != "d.example" {
		t.Errorf("server name %q", b.ServerName)
	}
}

// A server that is dialled by an address with a zone is verified by the address.
func TestDialerLeavesTheZoneOut(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("fe80::1")), Clock: pki.Now}))
	if _, err := e.dial(t, mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}), "[fe80::1%eth0]:443"); err != nil {
		t.Error(err)
	}
}

// Codes of the trust decision and of handshakes are of one type.
func TestOneTypeOfCodes(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	b := tlsctx.Builder{Trusted: store(other.Root), Clock: pki.Now}.For(host + ":443")
	o := refuse(t, mustClient(t, b), mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	if he := explained(t, b.ExplainError(o.clientErr)); he.Code != truststore.CodeUnknownIssuer || he.Code == tlsctx.CodeSetup {
		t.Errorf("%s", he.Code)
	}
}

// The callback of a server or a Dialer can wait no longer than the handshake.
func TestAuthorizeEndsWithTheHandshake(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, side := range []string{"dialer", "server", "server that asks for no certificate"} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		wait := func(ctx context.Context, _ tlsctx.Peer) error {
			cancel()
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}
		sb := tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now}
		cb := tlsctx.Builder{Identity: identity(pki.Client("me")), Trusted: store(pki.Root), Clock: pki.Now}
		ofServer, ofClient := context.Background(), context.Background()
		switch side {
		case "dialer":
			cb.Authorize, ofClient = wait, ctx
		case "server":
			sb.Authorize, ofServer = wait, ctx
		default:
			sb.Authorize, sb.ClientAuth, ofServer = wait, tlsctx.NoClientAuth, ctx
		}
		ours, theirs := net.Pipe()
		ours.SetDeadline(time.Now().Add(time.Minute))
		scfg := mustServer(t, sb)
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			tls.Server(theirs, scfg).HandshakeContext(ofServer)
		}()
		if conn, err := mustDialer(t, cb).Handshake(ofClient, ours, host+":443"); err == nil {
			conn.Read(make([]byte, 1)) // what the server thinks of it
			conn.Close()
		}
		<-done
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", side, err)
		}
	}
}
