package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// asLive are the ways to a client configuration.
var asLive = map[string]func(testing.TB, tlsctx.Builder) *tls.Config{
	"Client": mustClient,
	"LiveClient": func(t testing.TB, b tlsctx.Builder) *tls.Config {
		t.Helper()
		cfg, err := b.LiveClient()
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	},
}

// Every rule of the policy accepts and refuses, in full handshakes and resumed
// ones, under both versions.
func TestClientPolicy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	a, expired, commonName, other := pki.Server(host), pki.Expired(host), pki.CommonNameOnly(host), pki.WrongName()
	scoped := func(names ...string) *truststore.Truststore {
		s := store(pki.Root)
		if err := s.SetScope(s.Aliases()[0], truststore.Scope{Names: names}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	allow := func(r ...truststore.Relaxation) []truststore.Relaxation { return r }
	for _, c := range []struct {
		name   string
		server *testpki.Identity
		b      tlsctx.Builder
		code   trustkeep.Code // empty: accepted
	}{
		{"pinned certificate", a, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinCertificate(a.Cert)}}, ""},
		{"another certificate pinned", a, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinCertificate(other.Cert)}}, "pin-mismatch"},
		{"authority pinned", a, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}}, "pin-mismatch"},
		{"pins alone", a, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(a.Cert))}, ""},
		{"other pins alone", a, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(other.Cert))}, "unknown-issuer"},
		{"expired", expired, tlsctx.Builder{Trusted: store(expired)}, "expired"},
		{"expired, allowed", expired, tlsctx.Builder{Trusted: store(expired), Allow: allow(truststore.AllowExpired)}, ""},
		{"expired, allowed, trusted by its authority", expired, tlsctx.Builder{Trusted: store(pki.Root), Allow: allow(truststore.AllowExpired)}, "expired"},
		{"common name", commonName, tlsctx.Builder{Trusted: store(commonName)}, "common-name-only"},
		{"common name, allowed", commonName, tlsctx.Builder{Trusted: store(commonName), Allow: allow(truststore.AllowCommonName)}, ""},
		{"another name", other, tlsctx.Builder{Trusted: store(other), Allow: allow(truststore.AllowExpired, truststore.AllowCommonName)}, "name-mismatch"},
		{"another name, allowed", other, tlsctx.Builder{Trusted: store(other), Allow: allow(truststore.AllowAnyName)}, ""},
		{"in scope", a, tlsctx.Builder{Trusted: scoped(host)}, ""},
		{"out of scope", a, tlsctx.Builder{Trusted: scoped("elsewhere.example")}, "out-of-scope"},
		{"strict", a, tlsctx.Builder{Trusted: store(pki.Root), Policy: truststore.Strict()}, ""},
		{"strict, an authority as the server", pki.CALeaf(host), tlsctx.Builder{Trusted: store(pki.Root), Policy: truststore.Strict()}, "peer-is-authority"},
		{"strict, pins alone", pki.CALeaf(host), tlsctx.Builder{Trusted: truststore.Union(store(pki.Root), truststore.Pinned(truststore.PinKey(a.Cert))), Policy: truststore.Strict()}, "peer-is-authority"},
		{"roots only", a, tlsctx.Builder{Trusted: store(pki.Intermediate), Policy: truststore.Policy{Refuse: []trustkeep.Code{truststore.CodeAnchorNotRoot}}}, "anchor-not-self-signed"},
		{"roots only, root and intermediate trusted", a, tlsctx.Builder{Trusted: store(pki.Intermediate, pki.Root), Policy: truststore.Policy{Refuse: []trustkeep.Code{truststore.CodeAnchorNotRoot}}}, ""},
		{"A runs, A is deployed, B is the connection's own", a, tlsctx.Builder{Global: store(a), Trusted: store(other), Allow: truststore.Relaxations()}, "unknown-issuer"},
	} {
		for kind, client := range asLive {
			for _, version := range versions {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name, kind, tls.VersionName(version)), func(t *testing.T) {
					b := c.b
					b.ServerName, b.Clock, b.MaxVersion = host, pki.Now, version
					cfg := client(t, b)
					server := mustServer(t, tlsctx.Builder{Identity: identity(c.server), Clock: pki.Now})
					if c.code != "" {
						if e := explained(t, b.ExplainError(refuse(t, cfg, server).clientErr)); e.Code != c.code {
							t.Errorf("%s: %v", e.Code, e)
						}
						return
					}
					accept(t, cfg, server, false)
					// crypto/tls does not resume what has expired.
					accept(t, cfg, server, kind == "Client" && c.server != expired)
				})
			}
		}
	}
}

// What changes after the first connection counts for the resumed ones.
func TestPolicyCountsOnResumption(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	a := pki.Server(host)
	denied := errors.New("not today")
	for _, version := range versions {
		server := mustServer(t, tlsctx.Builder{Identity: identity(a), Clock: pki.Now})

		trust := store(pki.Root)
		b := tlsctx.Builder{Trusted: trust, ServerName: host, Clock: pki.Now, MaxVersion: version}
		live := asLive["LiveClient"](t, b)
		accept(t, live, server, false)
		accept(t, live, server, false) // a session would outlive what it began with
		if err := trust.Replace(trust.Aliases()[0], pki.SelfSigned("x").Cert); err != nil {
			t.Fatal(err)
		}
		refuse(t, live, server)
		if err := trust.Add("", pki.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if o := connect(t, live, server); !o.ok() {
			t.Errorf("trusted again: %v", o.clientErr)
		}

		var refusing atomic.Bool
		var peers []tlsctx.Peer
		b = tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version, Authorize: func(_ context.Context, p tlsctx.Peer) error {
			peers = append(peers, p)
			if refusing.Load() {
				return denied
			}
			return nil
		}}
		cfg := mustClient(t, b)
		accept(t, cfg, server, false)
		accept(t, cfg, server, true)
		refusing.Store(true)
		if err := refuse(t, cfg, server).clientErr; !errors.Is(err, denied) {
			t.Errorf("%v", err)
		}
		if len(peers) != 3 || peers[0].Resumed || !peers[1].Resumed || !peers[2].Resumed || peers[2].Verdict.Rule != truststore.RuleChain || !peers[2].Certificates[0].Equal(a.Cert) {
			t.Errorf("%+v", peers)
		}
	}
}

type revoker struct{ err atomic.Pointer[error] }

func (r *revoker) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	if e := r.err.Load(); e != nil {
		return nil, *e
	}
	return nil, nil
}

func TestRevocationOfBothSides(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, version := range versions {
		r := new(revoker)
		clientBuilder := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version, Revocation: r, Identity: identity(pki.Client("c"))}
		client := mustClient(t, clientBuilder)
		server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)})
		accept(t, client, server, false)
		accept(t, client, server, true)
		gone := fmt.Errorf("%w", trustkeep.ErrRevoked)
		r.err.Store(&gone)
		if e := explained(t, clientBuilder.ExplainError(refuse(t, client, server).clientErr)); e.Code != "revoked" || !errors.Is(e, trustkeep.ErrRevoked) {
			t.Errorf("%v", e)
		}

		r = new(revoker)
		serverBuilder := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Revocation: r}
		server = mustServer(t, serverBuilder)
		client = mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version, Identity: identity(pki.Client("c"))})
		accept(t, client, server, false)
		accept(t, client, server, true)
		r.err.Store(&gone)
		if o := connect(t, client, server); o.serverErr == nil || !errors.Is(serverBuilder.ExplainServerError(o.serverErr), trustkeep.ErrRevoked) {
			t.Errorf("%v", o.serverErr)
		}
	}
}

// Client certificates under everything that a server can want of them.
func TestServerPolicy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	good, other, expired := pki.Client("good"), pki.Client("other"), pki.Issue(testpki.Request{CommonName: "old", NotBefore: pki.Now().Add(-2 * time.Hour), NotAfter: pki.Now().Add(-time.Hour)})
	large := store(pki.Root)
	for _, c := range manyNames(t, pki, 65024).Certificates() {
		if err := large.Add("", c); err != nil {
			t.Fatal(err)
		}
	}
	scoped := func(s truststore.Scope) *truststore.Truststore {
		trust := store(pki.Root)
		must(t, trust.SetScope(trust.Aliases()[0], s))
		return trust
	}
	for _, c := range []struct {
		name   string
		client *testpki.Identity // nil: none
		b      tlsctx.Builder
		ok     bool
	}{
		{"concealed authorities", good, tlsctx.Builder{Trusted: store(pki.Root), ConcealCAs: true}, true},
		{"concealed, no certificate", nil, tlsctx.Builder{Trusted: store(pki.Root), ConcealCAs: true}, false},
		{"concealed, a stranger", pki.SelfSigned("x"), tlsctx.Builder{Trusted: store(pki.Root), ConcealCAs: true}, false},
		{"more names than fit", good, tlsctx.Builder{Trusted: large}, true},
		{"more names than fit, a stranger", pki.SelfSigned("x"), tlsctx.Builder{Trusted: large}, false},
		{"more names than fit, a server's certificate", pki.Server(host), tlsctx.Builder{Trusted: large}, false},
		{"exactly trusted", other, tlsctx.Builder{Trusted: store(other)}, true},
		{"exactly trusted, another", good, tlsctx.Builder{Trusted: store(other)}, false},
		{"pinned", good, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinCertificate(good.Cert)}}, true},
		{"another pinned", other, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinCertificate(good.Cert)}}, false},
		{"pins alone", good, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(good.Cert))}, true},
		{"pins alone, another", other, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(good.Cert))}, false},
		{"expired", expired, tlsctx.Builder{Trusted: store(expired)}, false},
		{"expired, allowed", expired, tlsctx.Builder{Trusted: store(expired), Allow: []truststore.Relaxation{truststore.AllowExpired}}, true},
		{"in scope of purpose", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}})}, true},
		{"out of scope of purpose", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Purposes: []truststore.Purpose{truststore.Server}})}, false},
		{"in scope of time", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Until: pki.Now().Add(time.Minute)})}, true},
		{"out of scope of time", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Until: pki.Now().Add(-time.Minute)})}, false},
		{"in a scope of names, which clients have none of", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Names: []string{"good"}})}, false},
		{"authorized", good, tlsctx.Builder{Trusted: store(pki.Root), Authorize: only("good")}, true},
		{"not authorized", other, tlsctx.Builder{Trusted: store(pki.Root), Authorize: only("good")}, false},
	} {
		for _, version := range versions {
			t.Run(c.name+"/"+tls.VersionName(version), func(t *testing.T) {
				b := c.b
				b.Identity, b.Clock, b.ClientAuth = identity(pki.Server(host)), pki.Now, tlsctx.RequireClientAuth
				server := mustServer(t, b)
				cb := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version}
				if c.client != nil {
					cb.Identity = identity(c.client)
				}
				client := mustClient(t, cb)
				if c.ok {
					accept(t, client, server, false)
					// crypto/tls does not resume what has expired.
					accept(t, client, server, c.client != expired)
				} else if o := connect(t, client, server); o.serverErr == nil {
					t.Error("accepted")
				} else if e := explained(t, b.ExplainServerError(o.serverErr)); e.Code == "" || e.Code == tlsctx.CodeTLS && c.client != nil {
					t.Errorf("not explained: %v", e)
				}
				// Where it is optional, no certificate will do, and a bad one will not.
				b.ClientAuth, b.Authorize = tlsctx.RequestClientAuth, nil
				if o := connect(t, client, mustServer(t, b)); c.b.Authorize == nil && (o.serverErr == nil) != (c.ok || c.client == nil) {
					t.Errorf("optional: %v", o.serverErr)
				}
			})
		}
	}
}

func only(name string) func(_ context.Context, _ tlsctx.Peer) error {
	return func(_ context.Context, p tlsctx.Peer) error {
		if p.Verdict == nil || p.Certificates[0].Subject.CommonName != name {
			return errors.New("not on the list")
		}
		return nil
	}
}

// A client that has several certificates sees which ones are wanted only where the
// names are sent.
func TestConcealedAuthorities(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for conceal, want := range map[bool]int{false: 1, true: 0} {
		server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), ConcealCAs: conceal})
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
		var names [][]byte
		cert := pki.Client("c").TLSCertificate()
		client.GetClientCertificate = func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			names = i.AcceptableCAs
			return &cert, nil
		}
		accept(t, client, server, false)
		if len(names) != want {
			t.Errorf("concealed %v: %d names", conceal, len(names))
		}
	}
}

// A client without a certificate is put to Authorize where one is not required.
func TestAuthorizeWithoutCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, auth := range []tlsctx.ClientAuth{tlsctx.NoClientAuth, tlsctx.RequestClientAuth} {
		asked := 0
		server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: auth, Trusted: store(pki.Root), Authorize: func(_ context.Context, p tlsctx.Peer) error {
			if asked++; p.Verdict != nil || len(p.Certificates) > 0 || p.ServerName != host {
				t.Errorf("%+v", p)
			}
			return nil
		}})
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
		accept(t, client, server, false)
		accept(t, client, server, true)
		if asked != 2 {
			t.Errorf("%v: asked %d times", auth, asked)
		}
	}
}

// A server applies the policy to clients, and a policy that cannot be applied builds nothing.
func TestServerRefusesByPolicy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	good := pki.Client("me")
	ca := pki.Issue(testpki.Request{CommonName: "authority", CA: true, Issuer: pki.Root, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	b := tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now, Policy: truststore.Strict()}
	for _, version := range versions {
		b.MaxVersion = version
		server := mustServer(t, b)
		client := func(id *testpki.Identity) *tls.Config {
			return mustClient(t, tlsctx.Builder{Identity: identity(id), Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
		}
		cfg := client(good)
		accept(t, cfg, server, false)
		accept(t, cfg, server, true)
		refuse(t, client(ca), server)
	}
	b.Policy.KeyTypes = []string{"P256"}
	_, serverErr := b.Server()
	_, clientErr := tlsctx.Builder{Policy: b.Policy}.Client()
	if !errors.Is(serverErr, trustkeep.ErrInvalid) || !errors.Is(clientErr, trustkeep.ErrInvalid) {
		t.Errorf("%v, %v", serverErr, clientErr)
	}
}

// What bounds the trust is part of the explanation.
func TestExplainPolicyAndScopes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	trust := store(pki.Root)
	if err := trust.SetScope(trust.Aliases()[0], truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}, Names: []string{"*.partner.example\x1b[2J"}}); err != nil {
		t.Fatal(err)
	}
	b := tlsctx.Builder{Trusted: trust, ServerName: host, Clock: pki.Now, Policy: truststore.Policy{MinRSABits: 3072, Refuse: []trustkeep.Code{truststore.CodeOddKey}}}
	text := b.Explain().String()
	for _, want := range []string{"scope: CN=Test Root CA", `names *.partner.example\x1b[2J; purposes client`, "policy: refuses odd-key, RSA keys below 3072 bits", "1 certificate, 1 of them within a scope"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	_, err := trust.Verify(pki.Server(host).Chain, truststore.VerifyOptions{Name: host, Time: pki.Now()})
	if err == nil || !strings.Contains(err.Error(), "Test Root CA") || !strings.Contains(err.Error(), "which counts only for names *.partner.example") {
		t.Errorf("%v", err)
	}
}
