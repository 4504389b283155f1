package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// narrowing is what a Builder can say to accept less than its trust does, so that the peer
// with the certificate is refused.
func narrowing(t *testing.T, pki *testpki.PKI) map[string]tlsctx.Builder {
	t.Helper()
	scoped := store(pki.Root)
	must(t, scoped.SetScope(scoped.Aliases()[0], truststore.Scope{Until: pki.Now().Add(-1)}))
	revoked := new(revoker)
	gone := error(trustkeep.ErrRevoked)
	revoked.err.Store(&gone)
	return map[string]tlsctx.Builder{
		"pins":       {Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}},
		"revocation": {Trusted: store(pki.Root), Revocation: revoked},
		"authorize":  {Trusted: store(pki.Root), Authorize: func(context.Context, tlsctx.Peer) error { return errors.New("no") }},
		"scope":      {Trusted: scoped},
		"policy":     {Trusted: store(pki.Root), Policy: truststore.Policy{KeyTypes: []string{"Ed25519"}}},
	}
}

// Whoever replaces VerifyConnection, or copies RootCAs alone, loses the narrowing and not the
// verification.
func TestClientVerifiesBeneathNarrowing(t *testing.T) {
	pki, stranger := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	good := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now})
	bad := mustServer(t, tlsctx.Builder{Identity: identity(stranger.Server(host)), Clock: pki.Now})
	for name, b := range narrowing(t, pki) {
		for _, version := range versions {
			b.ServerName, b.Clock, b.MaxVersion = host, pki.Now, version
			cfg := mustClient(t, b)
			refuse(t, cfg, good)
			refuse(t, cfg, bad)
			replaced := mustClient(t, b)
			replaced.VerifyConnection = func(tls.ConnectionState) error { return nil }
			for what, cfg := range map[string]*tls.Config{
				"VerifyConnection replaced": replaced,
				"RootCAs alone":             {RootCAs: cfg.RootCAs, ServerName: host, Time: pki.Now, MaxVersion: version},
			} {
				if o := connect(t, cfg, bad); o.clientErr == nil {
					t.Errorf("%s, %s, %s: an untrusted server is accepted", name, what, tls.VersionName(version))
				}
				if o := connect(t, cfg, good); !o.ok() {
					t.Errorf("%s, %s, %s: a trusted server is refused: %v", name, what, tls.VersionName(version), o.clientErr)
				}
			}
		}
	}
}

func TestServerVerifiesBeneathNarrowing(t *testing.T) {
	pki, stranger := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	id := identity(pki.Server(host))
	for name, b := range narrowing(t, pki) {
		for _, version := range versions {
			client := func(by *testpki.PKI) *tls.Config {
				return mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version, Identity: identity(by.Client("c"))})
			}
			good, bad := client(pki), client(stranger)
			b.Identity, b.Clock, b.ClientAuth = id, pki.Now, tlsctx.RequireClientAuth
			server := mustServer(t, b)
			refuse(t, good, server)
			chosen, err := server.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host, Conn: closed{}})
			if err != nil {
				t.Fatal(err)
			}
			replaced := chosen.Clone()
			replaced.VerifyConnection = func(tls.ConnectionState) error { return nil }
			for what, cfg := range map[string]*tls.Config{
				"VerifyConnection replaced": replaced,
				"ClientCAs alone":           {ClientCAs: chosen.ClientCAs, ClientAuth: tls.RequireAndVerifyClientCert, Certificates: chosen.Certificates, Time: pki.Now, MaxVersion: version},
			} {
				if o := connect(t, bad, cfg); o.serverErr == nil {
					t.Errorf("%s, %s, %s: an untrusted client is accepted", name, what, tls.VersionName(version))
				}
				if o := connect(t, good, cfg); !o.ok() {
					t.Errorf("%s, %s, %s: a trusted client is refused: %v", name, what, tls.VersionName(version), o.serverErr)
				}
			}
		}
	}
}

// allowed are narrowings that the peer passes.
func allowed(pki *testpki.PKI, leaf *testpki.Identity) map[string]tlsctx.Builder {
	return map[string]tlsctx.Builder{
		"pins":       {Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(leaf.Cert)}},
		"revocation": {Trusted: store(pki.Root), Revocation: new(revoker)},
		"authorize":  {Trusted: store(pki.Root), Authorize: func(context.Context, tlsctx.Peer) error { return nil }},
		"policy":     {Trusted: store(pki.Root), Policy: truststore.Policy{KeyTypes: []string{"P-256"}, NoSHA1: true}},
	}
}

// A policy is told where it refuses, on every way in, and one that cannot be meant is an error.
func TestPolicyOfTheBuilder(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now})
	for kind, client := range asLive {
		for what, b := range map[string]tlsctx.Builder{
			"crypto/tls beneath": {Trusted: store(pki.Root)},
			"taken over":         {Trusted: store(pki.Root), Allow: truststore.JavaHTTPS()},
			"roots only":         {Trusted: store(pki.Root, pki.Intermediate), Policy: truststore.Policy{Refuse: []trustkeep.Code{truststore.CodeAnchorNotRoot}}},
		} {
			b.ServerName, b.Clock = host, pki.Now
			accept(t, client(t, b), server, false)
			b.Policy.KeyTypes = []string{"Ed25519"}
			if e := explained(t, b.ExplainError(refuse(t, client(t, b), server).clientErr)); e.Code != truststore.CodeKeyType {
				t.Errorf("%s, %s: %v", kind, what, e)
			}
			if len(b.Explain().Policy) == 0 {
				t.Errorf("%s: not in the explanation", what)
			}
		}
	}
	b := tlsctx.Builder{Trusted: store(pki.Intermediate), ServerName: host, Clock: pki.Now, Policy: truststore.Policy{Refuse: []trustkeep.Code{truststore.CodeAnchorNotRoot}}}
	if e := explained(t, b.ExplainError(refuse(t, mustClient(t, b), server).clientErr)); e.Code != truststore.CodeAnchorNotRoot {
		t.Errorf("an intermediate alone: %v", e)
	}
	b.Policy = truststore.Policy{KeyTypes: []string{"RSA-ish"}}
	if _, err := b.Client(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// RootCAs are there even where crypto/tls does not verify: whoever copies them alone would
// otherwise trust the system's roots.
func TestRootsAreThereWhenTakenOver(t *testing.T) {
	pki, stranger := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	leaf := pki.Server(host)
	for name, b := range map[string]tlsctx.Builder{
		"relaxed": {Trusted: store(pki.Root), Allow: truststore.JavaHTTPS()},
		"pinned":  {Trusted: truststore.Pinned(truststore.PinKey(leaf.Cert))},
		"URI":     {Trusted: store(pki.Root), TrustDomain: "domain.example"},
		"plain":   {Trusted: store(pki.Root)},
	} {
		for kind, client := range asLive {
			b.Clock = pki.Now
			cfg := client(t, b)
			if cfg.RootCAs == nil {
				t.Errorf("%s, %s: without RootCAs", name, kind)
				continue
			}
			copied := &tls.Config{RootCAs: cfg.RootCAs, ServerName: host, Time: pki.Now}
			refuse(t, copied, mustServer(t, tlsctx.Builder{Identity: identity(stranger.Server(host)), Clock: pki.Now}))
			if o := connect(t, copied, mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now})); o.ok() == (name == "pinned") {
				t.Errorf("%s, %s: %v", name, kind, o.clientErr)
			}
		}
	}
}

// A ServerName that is set on the result counts, as on any other tls.Config, and so does an
// address that is dialled without one.
func TestServerNameSetAfterwards(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf, atAddress := pki.Server(host), pki.Server("127.0.0.1")
	byName := mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now})
	byAddress := mustServer(t, tlsctx.Builder{Identity: identity(atAddress), Clock: pki.Now})
	for name, b := range allowed(pki, leaf) {
		for _, before := range []string{"", "wrong.example", host} {
			b.Clock, b.ServerName = pki.Now, before
			cfg := mustClient(t, b)
			cfg.ServerName = host
			if o := connect(t, cfg, byName); !o.ok() {
				t.Errorf("%s, %q before: %v", name, before, o.clientErr)
			}
			cfg = mustClient(t, b)
			cfg.ServerName = "other.example"
			if o := connect(t, cfg, byName); o.clientErr == nil {
				t.Errorf("%s, %q before: another name is accepted", name, before)
			}
		}
	}
	for name, b := range allowed(pki, atAddress) {
		b.Clock = pki.Now
		cfg := mustClient(t, b)
		cfg.ServerName = "127.0.0.1" // as tls.Dial and http.Transport do
		for range 2 {
			if o := connect(t, cfg, byAddress); !o.ok() {
				t.Errorf("%s, an IP address: %v", name, o.clientErr)
			}
		}
		if o := connect(t, cfg, byName); o.clientErr == nil {
			t.Errorf("%s, an IP address: a certificate of another name is accepted", name)
		}
	}
	// Taken over, too: the name that is verified is the one that is dialled.
	b := tlsctx.Builder{Trusted: store(pki.Root), Allow: truststore.JavaHTTPS(), ServerName: host, Clock: pki.Now}
	for kind, make := range asLive {
		cfg := make(t, b)
		cfg.ServerName = "other.example"
		if o := connect(t, cfg, byName); o.clientErr == nil {
			t.Errorf("%s: verified under another name than the one that is set", kind)
		}
		cfg = make(t, b)
		cfg.ServerName = "127.0.0.1"
		if o := connect(t, cfg, byName); o.clientErr == nil {
			t.Errorf("%s: verified under a name although an address is set", kind)
		}
	}
}

// Everything that makes configurations for one generation leaves verification to crypto/tls
// where only narrowing is asked for, resumed or not: there are verified chains.
func TestGenerationsLeaveVerificationToCryptoTLS(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	server := mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now})
	e := newEcho(t, server)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLSCertificate()}}
	web.Config.ErrorLog = quiet()
	web.StartTLS()
	defer web.Close()
	dialWeb := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, web.Listener.Addr().String())
	}
	proxy := httptest.NewServer(tunnel(t, web.Listener.Addr().String()))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	must(t, err)
	for name, b := range allowed(pki, leaf) {
		b.Clock = pki.Now
		d := mustDialer(t, b)
		for i := range 2 {
			s, err := e.dial(t, d, host+":443")
			if err != nil || len(s.VerifiedChains) == 0 || s.DidResume != (i == 1) {
				t.Fatalf("%s, Dialer: %v, %+v", name, err, s)
			}
		}
		for what, base := range map[string]*http.Transport{"Transport": {DialContext: dialWeb}, "Transport behind a proxy": {Proxy: http.ProxyURL(at)}} {
			transport, err := b.Transport(base)
			must(t, err)
			r, err := (&http.Client{Transport: transport}).Get("https://" + host)
			if err != nil || len(r.TLS.VerifiedChains) == 0 {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if err == nil {
				r.Body.Close()
			}
			transport.CloseIdleConnections()
		}
	}
	me := pki.Client("me")
	for name, b := range allowed(pki, me) {
		b.Clock, b.Identity, b.ClientAuth = pki.Now, identity(leaf), tlsctx.RequireClientAuth
		server := mustServer(t, b)
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Identity: identity(me)})
		for _, resumed := range []bool{false, true} {
			if o := accept(t, client, server, resumed); len(o.server.VerifiedChains) == 0 {
				t.Errorf("%s, Server, resumed %v: nothing was verified by crypto/tls", name, resumed)
			}
		}
	}
}

// A Transport explains every refusal: behind a proxy, where net/http makes the handshake, and
// that of a server which objects to the identity when the handshake is over, as with TLS 1.3.
func TestTransportExplainsEveryRefusal(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	for _, version := range versions {
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		web.TLS = mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), MaxVersion: version})
		web.Config.ErrorLog = quiet()
		web.StartTLS()
		address := web.Listener.Addr().String()
		proxy := httptest.NewServer(tunnel(t, address))
		at, err := url.Parse(proxy.URL)
		must(t, err)
		me, stranger := identity(pki.Client("me")), identity(other.Client("stranger"))
		for name, c := range map[string]struct {
			b    tlsctx.Builder
			code trustkeep.Code
		}{
			"unknown server":   {tlsctx.Builder{Trusted: store(other.Root), Identity: me}, truststore.CodeUnknownIssuer},
			"not pinned":       {tlsctx.Builder{Trusted: store(pki.Root), Identity: me, Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}}, truststore.CodePinMismatch},
			"not authorized":   {tlsctx.Builder{Trusted: store(pki.Root), Identity: me, Authorize: only("nobody")}, tlsctx.CodeNotAuthorized},
			"relaxed":          {tlsctx.Builder{Trusted: store(other.Root), Identity: me, Allow: truststore.JavaHTTPS()}, truststore.CodeUnknownIssuer},
			"refused identity": {tlsctx.Builder{Trusted: store(pki.Root), Identity: stranger}, tlsctx.CodeIdentityRefused},
			"no identity":      {tlsctx.Builder{Trusted: store(pki.Root)}, tlsctx.CodeIdentityRequired},
		} {
			c.b.Clock = pki.Now
			for what, base := range map[string]*http.Transport{
				"direct": {DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, address)
				}},
				"behind a proxy": {Proxy: http.ProxyURL(at)},
			} {
				e, ok := errors.AsType[*tlsctx.HandshakeError](requestOver(t, c.b, base)())
				switch {
				case !ok:
					t.Errorf("%s, %s, %s: not explained", tls.VersionName(version), name, what)
				case name == "no identity" && version == tls.VersionTLS12: // which has no alert of its own for it
				case e.Code != c.code || e.ServerName != host:
					t.Errorf("%s, %s, %s: %s: %v", tls.VersionName(version), name, what, e.Code, e)
				}
			}
		}
		web.Close()
		proxy.Close()
	}
}

// tunnel is a proxy for CONNECT to one server.
func tunnel(t *testing.T, address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer target.Close()
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(target, rw)
			target.Close()
		}()
		io.Copy(conn, target)
	})
}

// Of several chains one that passes suffices, resumed or not.
func TestOneChainThatPassesSuffices(t *testing.T) {
	old, next := testpki.New(t, testpki.Options{Name: "Old"}), testpki.New(t, testpki.Options{Name: "New"})
	leaf := next.Server(host)
	id := leaf.TLSCertificate()
	id.Certificate = append(leaf.DERChain()[:2:2], old.CrossSign(next.Root).Cert.Raw)
	server := mustServer(t, tlsctx.Builder{Identity: tlsctx.StaticIdentity(id), Clock: old.Now})
	for name, root := range map[string]*testpki.PKI{"the shorter": next, "the longer": old} {
		b := tlsctx.Builder{Trusted: store(old.Root, next.Root), ServerName: host, Clock: old.Now, Revocation: rootRevoked{root.Root.Cert}}
		cfg := mustClient(t, b)
		for _, resumed := range []bool{false, true} {
			if o := accept(t, cfg, server, resumed); len(o.client.VerifiedChains) != 2 {
				t.Errorf("%s revoked: %d chains", name, len(o.client.VerifiedChains))
			}
		}
	}
}

type rootRevoked struct{ root *x509.Certificate }

func (r rootRevoked) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	if q.Chain[len(q.Chain)-1].Equal(r.root) {
		return nil, trustkeep.ErrRevoked
	}
	return nil, nil
}

// What is handed out shares no pool with the store: adding to it changes nothing elsewhere.
func TestPoolsAreNotShared(t *testing.T) {
	pki, stranger := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	trust := store(pki.Root)
	b := tlsctx.Builder{Trusted: trust, ServerName: host, Clock: pki.Now, Identity: identity(pki.Server(host)), ClientAuth: tlsctx.RequireClientAuth}
	mustClient(t, b).RootCAs.AddCert(stranger.Root.Cert)
	outer := mustServer(t, b)
	outer.ClientCAs.AddCert(stranger.Root.Cert)
	chosen, err := outer.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host, Conn: closed{}})
	must(t, err)
	chosen.ClientCAs.AddCert(stranger.Root.Cert)
	refuse(t, mustClient(t, b), mustServer(t, tlsctx.Builder{Identity: identity(stranger.Server(host)), Clock: pki.Now}))
	bad := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Identity: identity(stranger.Client("c"))})
	refuse(t, bad, mustServer(t, b))
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(stranger.Server(host)), Clock: pki.Now}))
	if _, err := e.dial(t, mustDialer(t, b), host+":443"); err == nil {
		t.Error("a Dialer on the same store accepts what was added elsewhere")
	}
}

// A pin that is bound to a name goes by what is dialled: by a Dialer and a Transport, the host
// of the address, by a bare configuration the name that was sent. An address is not sent, so
// there a bound pin fits only if Builder.ServerName has it.
func TestPinsGoByTheAddress(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host, "127.0.0.1", "other.example")
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now}))
	server := mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now})
	for _, bound := range []string{host, "127.0.0.1"} {
		b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Pins: []truststore.Pin{truststore.PinKey(leaf.Cert).For(bound)}}
		d := mustDialer(t, b)
		for _, dialled := range []string{host, "127.0.0.1", "other.example"} {
			for range 2 { // resumed, too
				if _, err := e.dial(t, d, net.JoinHostPort(dialled, "443")); (err == nil) != (dialled == bound) {
					t.Errorf("pinned for %s, dialled %s: %v", bound, dialled, err)
				}
			}
			cfg := mustClient(t, b)
			cfg.ServerName = dialled
			if o := connect(t, cfg, server); o.ok() != (dialled == bound && dialled == host) {
				t.Errorf("pinned for %s, bare configuration with %s: %v", bound, dialled, o.clientErr)
			}
			b.ServerName = dialled
			if o := connect(t, mustClient(t, b), server); o.ok() != (dialled == bound) {
				t.Errorf("pinned for %s, Builder for %s: %v", bound, dialled, o.clientErr)
			}
			b.ServerName = ""
		}
	}
}
