package tlsctx_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// peer runs testdata/Peer.java.
func peer(t *testing.T, args ...string) *testtool.Server {
	t.Helper()
	return testtool.Start(t, "java", append(testtool.JavaArgs(t, "testdata/Peer.java"), args...)...)
}

// port is where a server of Peer.java listens.
func port(s *testtool.Server) string { return strings.TrimPrefix(s.Line("PORT "), "PORT ") }

// p12 writes an identity, or trusted certificates, for Java.
func p12(t *testing.T, id *testpki.Identity, trusted ...*testpki.Identity) string {
	t.Helper()
	ks := keystore.New()
	if id != nil {
		one, err := keystore.NewIdentity(id.Key, id.Chain...)
		if err != nil {
			t.Fatal(err)
		}
		if err := ks.SetIdentity("me", one); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range trusted {
		if err := ks.SetTrusted(fmt.Sprint("trusted", i), c.Cert); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "store.p12")
	if err := ks.Save(path, trustkeep.SaveOptions{Password: trustkeep.Password("changeit")}); err != nil {
		t.Fatal(err)
	}
	return path
}

// dialOnce makes a connection by the Dialer and reads the server's line.
func dialOnce(t *testing.T, d *tlsctx.Dialer, address string) (string, tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", tls.ConnectionState{}, err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), conn.(*tls.Conn).ConnectionState(), err
}

func TestInteropJavaServer(t *testing.T) {
	testtool.Exchange{Peer: "java", Mode: "TLS server", What: "lines with client certificates, exact trust, pins, TLS 1.2 and 1.3, resumed; another trust refused"}.Log(t)
	for name, keyType := range map[string]testpki.KeyType{"RSA": testpki.RSA2048, "ECDSA": testpki.P256} {
		pki := testpki.New(t, testpki.Options{KeyType: keyType, Now: time.Now()})
		a, b := pki.Server("localhost"), pki.Server("localhost")
		me := pki.Client("me")
		address := "localhost:" + port(peer(t, "server", p12(t, a), p12(t, nil, pki.Root)))
		for _, version := range versions {
			ok := tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(me), MaxVersion: version}
			d := mustDialer(t, ok)
			for _, resumed := range []bool{false, true} {
				if line, s, err := dialOnce(t, d, address); err != nil || !strings.Contains(line, "CN=me") || s.DidResume != resumed {
					t.Errorf("%s, %s, resumed %v: %q, %v", name, tls.VersionName(version), s.DidResume, line, err)
				}
			}
			// Exactly trusted, pinned, and the proof case: A runs, A is deployed, the
			// connection's own is B.
			for what, c := range map[string]struct {
				b  tlsctx.Builder
				ok bool
			}{
				"exact":              {tlsctx.Builder{Trusted: store(a)}, true},
				"pinned":             {tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(a.Cert)}}, true},
				"another pinned":     {tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(b.Cert)}}, false},
				"A deployed, B own":  {tlsctx.Builder{Global: store(a), Trusted: store(b)}, false},
				"without identity":   {tlsctx.Builder{Trusted: store(pki.Root)}, false},
				"a stranger's":       {tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(pki.SelfSigned("stranger"))}, false},
				"under another name": {tlsctx.Builder{Trusted: store(pki.Root), ServerName: "other.example"}, false},
			} {
				if c.b.MaxVersion = version; c.b.Identity == nil && !strings.Contains(what, "without") {
					c.b.Identity = identity(me)
				}
				_, _, err := dialOnce(t, mustDialer(t, c.b), address)
				if (err == nil) != c.ok {
					t.Errorf("%s, %s, %s: %v", name, tls.VersionName(version), what, err)
				}
				if err != nil {
					explained(t, c.b.ExplainError(err))
				}
			}
		}
		t.Logf("SSLServerSocket with %s: TLS 1.2 and 1.3, full and resumed, client certificates", name)
	}
}

// TestInteropJavaHTTPSServer makes requests of com.sun.net.httpserver.HttpsServer, over new
// connections each.
func TestInteropJavaHTTPSServer(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{Now: time.Now()}), testpki.New(t, testpki.Options{Name: "Other", Now: time.Now()})
	a := pki.Server("localhost")
	url := "https://localhost:" + port(peer(t, "https", p12(t, a), p12(t, nil, pki.Root)))
	me := identity(pki.Client("me"))
	for _, version := range versions {
		for what, c := range map[string]struct {
			b    tlsctx.Builder
			code trustkeep.Code // empty: accepted
		}{
			"chain":        {tlsctx.Builder{Trusted: store(pki.Root), Identity: me}, ""},
			"exact":        {tlsctx.Builder{Trusted: store(a), Identity: me}, ""},
			"pinned alone": {tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinCertificate(a.Cert)), Identity: me}, ""},
			"another":      {tlsctx.Builder{Global: store(pki.Root), Trusted: store(other.Root), Identity: me}, "unknown-issuer"},
			// The server's choice of words: an alert, or under TLS 1.3 just the end.
			"without identity": {tlsctx.Builder{Trusted: store(pki.Root)}, "-"},
		} {
			c.b.MaxVersion = version
			transport, err := c.b.Transport(&http.Transport{DisableKeepAlives: true})
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			for _, resumed := range []bool{false, true} {
				r, err := client.Get(url)
				if err != nil {
					if c.code == "-" {
						continue
					}
					if e := explained(t, c.b.ExplainError(err)); e.Code != c.code {
						t.Errorf("%s, %s: %v", what, tls.VersionName(version), e)
					}
					continue
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || c.code != "" || !strings.Contains(string(body), "CN=me") || r.TLS.DidResume != resumed {
					t.Errorf("%s, %s, resumed %v: %q, %v", what, tls.VersionName(version), r.TLS.DidResume, body, err)
				}
			}
		}
	}
	t.Log("HttpsServer: TLS 1.2 and 1.3, full and resumed, client certificates")
}

func TestInteropJavaClient(t *testing.T) {
	testtool.Exchange{Peer: "java", Mode: "TLS client", What: "connects to a server of ours with client certificates; strangers refused"}.Log(t)
	pki := testpki.New(t, testpki.Options{KeyType: testpki.RSA2048, Now: time.Now()})
	other := testpki.New(t, testpki.Options{Name: "Other", Now: time.Now()})
	serve := func(b tlsctx.Builder) string {
		t.Helper()
		cfg := mustServer(t, b)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				who = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			fmt.Fprintf(w, "hello %s", who)
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.Listener = tls.NewListener(s.Listener, cfg)
		s.Start()
		t.Cleanup(s.Close)
		_, port, err := net.SplitHostPort(s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	client := peer(t, "client")
	ask := func(how, port string, trust, keys string) string {
		t.Helper()
		fmt.Fprintln(client.Stdin, how, "localhost", port, trust, keys)
		return client.Line("OK ", "FAIL ")
	}
	root, me, stranger := p12(t, nil, pki.Root), p12(t, pki.Client("me")), p12(t, pki.SelfSigned("stranger"))
	id := identity(pki.Server("localhost"))
	many := manyNames(t, pki, 65024)
	for name, c := range map[string]struct {
		b    tlsctx.Builder
		keys string
		want string
	}{
		"no client certificate":        {tlsctx.Builder{}, "-", "OK hello nobody"},
		"required":                     {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}, me, "OK hello me"},
		"required, none":               {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}, "-", "FAIL"},
		"requested, none":              {tlsctx.Builder{ClientAuth: tlsctx.RequestClientAuth, Trusted: store(pki.Root)}, "-", "OK hello nobody"},
		"required of others":           {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(other.Root)}, me, "FAIL"},
		"concealed":                    {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), ConcealCAs: true}, me, "OK hello me"},
		"concealed, a stranger":        {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), ConcealCAs: true}, stranger, "FAIL"},
		"more authorities than fit":    {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: truststore.Union(store(pki.Root), many)}, me, "OK hello me"},
		"not authorized":               {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Authorize: only("somebody else")}, me, "FAIL"},
		"authorized":                   {tlsctx.Builder{ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Authorize: only("me")}, me, "OK hello me"},
		"authorized, TLS 1.2":          {tlsctx.Builder{MaxVersion: tls.VersionTLS12, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Authorize: only("me")}, me, "OK hello me"},
		"required of others, TLS 1.2 ": {tlsctx.Builder{MaxVersion: tls.VersionTLS12, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(other.Root)}, me, "FAIL"},
	} {
		c.b.Identity = id
		port := serve(c.b)
		for _, how := range []string{"https", "socket", "https"} { // the last may resume
			if got := ask(how, port, root, c.keys); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, %s: %s", name, how, got)
			}
		}
	}
	t.Log("HttpsURLConnection and SSLSocket against servers of Builder.Server")

	// What Java makes of the certificates that it trusts exactly, and what the
	// relaxations named after it make of them.
	leaf := pki.Server("localhost")
	at := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	authority := func(name string, issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: name, CA: true, Issuer: issuer, SelfSigned: issuer == nil, Edit: edit})
	}
	under := func(issuer *testpki.Identity) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{"localhost"}, Issuer: issuer})
	}
	edited := func(edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{"localhost"}, Edit: edit})
	}
	oldRoot, oldInter := authority("Old root", nil, at(-48*time.Hour, -time.Hour)), authority("Old intermediate", pki.Root, at(-48*time.Hour, -time.Hour))
	youngRoot := authority("Young root", nil, at(time.Hour, 48*time.Hour))
	belowOld := authority("Below old", oldRoot, nil)
	for name, c := range map[string]struct {
		server   *testpki.Identity
		sent     int // certificates
		trust    *testpki.Identity
		stricter bool // here than in Java, as documented
	}{
		"exact, usage of code signing": {pki.WrongUsage("localhost"), 1, nil, false},
		"exact, usage of clients":      {edited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), 1, nil, false},
		"exact, expired, wrong usage": {edited(func(c *x509.Certificate) {
			at(-48*time.Hour, -time.Hour)(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), 1, nil, false},
		"exact, not yet valid":           {pki.NotYetValid("localhost"), 1, nil, true},
		"exact, unknown critical":        {edited(unknownExtension(true)), 1, nil, true},
		"wrong usage, authority trusted": {pki.WrongUsage("localhost"), 2, pki.Root, false},
		"expired root":                   {under(oldRoot), 1, oldRoot, false},
		"expired root, between":          {under(belowOld), 2, oldRoot, false},
		"expired intermediate":           {under(oldInter), 1, oldInter, false},
		"expired intermediate, sent":     {under(oldInter), 2, pki.Root, false},
		"root not yet valid":             {under(youngRoot), 1, youngRoot, true},
		"issued by a trusted leaf":       {under(leaf), 1, leaf, false},
		"exact, common name and e-mail":  {pki.Issue(testpki.Request{CommonName: "localhost", Names: []string{"me@partner.example"}}), 1, nil, true},
		"exact":                          {leaf, 1, leaf, false},
		"exact, expired":                 {pki.Expired("localhost"), 1, nil, false},
		"exact, common name only":        {pki.CommonNameOnly("localhost"), 1, nil, false},
		"exact, another name":            {pki.WrongName(), 1, nil, false},
		"intermediate, chain sent":       {leaf, 2, pki.Intermediate, false},
		"intermediate, leaf sent":        {leaf, 1, pki.Intermediate, false},
		"root, chain sent":               {leaf, 2, pki.Root, false},
		"root, leaf sent":                {leaf, 1, pki.Root, false},
		"another root":                   {leaf, 2, other.Root, false},
		"expired, its authority trusted": {pki.Expired("localhost"), 2, pki.Root, false},
	} {
		trusted := c.trust
		if trusted == nil {
			trusted = c.server
		}
		port := serve(tlsctx.Builder{Identity: tlsctx.StaticIdentity(tls.Certificate{Certificate: c.server.DERChain()[:c.sent], PrivateKey: c.server.Key})})
		for how, allow := range map[string][]truststore.Relaxation{"https": truststore.JavaHTTPS(), "socket": truststore.JavaWithoutHostnameCheck()} {
			java := strings.HasPrefix(ask(how, port, p12(t, nil, trusted), "-"), "OK")
			_, err := store(trusted).Verify(append([]*x509.Certificate(nil), c.server.Chain[:c.sent]...), truststore.VerifyOptions{Name: "localhost", Allow: allow})
			if java != (err == nil) && !(c.stricter && java) {
				t.Errorf("%s, %s: Java accepts it: %v; here: %v", name, how, java, err)
			}
			t.Logf("%-32s %-7s Java %v, relaxed as Java %v", name, how, java, err == nil)
		}
	}
}
