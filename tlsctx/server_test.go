package tlsctx_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestMutualTLS(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	partner := pki.Client("partner")
	self := pki.Issue(testpki.Request{CommonName: "lone partner", SelfSigned: true})
	required, requested, none := tlsctx.RequireClientAuth, tlsctx.RequestClientAuth, tlsctx.NoClientAuth

	tests := []struct {
		name     string
		auth     tlsctx.ClientAuth
		trust    truststore.Source
		identity *testpki.Identity
		code     trustkeep.Code // what the server says; empty: accepted
		verified bool
	}{
		{"root", required, store(pki.Root), partner, "", true},
		{"intermediate", required, store(pki.Intermediate), partner, "", true},
		{"exact", required, store(partner), partner, "", true},
		{"exact, self-signed", required, store(self), self, "", true},
		{"no certificate", required, store(pki.Root), nil, tlsctx.CodeIdentityRequired, false},
		{"another authority's", required, store(pki.Root), other.Client("partner"), "unknown-issuer", false},
		{"not the pinned one", required, store(partner), pki.Client("partner"), "unknown-issuer", false},
		{"a server's", required, store(pki.Root), pki.Server(host), "wrong-usage", false},
		{"expired", required, store(pki.Root), pki.Expired("partner"), "expired", false},
		{"self-signed, unknown", required, store(pki.Root), self, "self-signed", false},
		{"negative serial", required, store(pki.Root), pki.NegativeSerial("partner"), tlsctx.CodeUnreadable, false},
		{"optional, given", requested, store(pki.Root), partner, "", true},
		{"optional, not given", requested, store(pki.Root), nil, "", false},
		{"optional, another authority's", requested, store(pki.Root), other.Client("partner"), "unknown-issuer", false},
		{"not asked", none, nil, partner, "", false},
	}
	for _, tt := range tests {
		for _, version := range versions {
			t.Run(tt.name+"/"+tls.VersionName(version), func(t *testing.T) {
				sb := tlsctx.Builder{Identity: identity(pki.Server(host)), ClientAuth: tt.auth, Trusted: tt.trust, MaxVersion: version, Clock: pki.Now}
				cb := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now}
				if tt.identity != nil && tt.identity.Cert != nil {
					cb.Identity = identity(tt.identity)
				}
				server := mustServer(t, sb)
				if tt.identity != nil && tt.identity.Cert == nil {
					// No builder takes such an identity.
					client := mustClient(t, cb)
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						c := tt.identity.TLSCertificate()
						return &c, nil
					}
					o := refuse(t, client, server)
					if e := explained(t, sb.ExplainServerError(o.serverErr)); e.Code != tt.code {
						t.Error(e)
					}
					return
				}
				client := mustClient(t, cb)
				if tt.code == "" {
					for _, resumed := range []bool{false, true} {
						o := accept(t, client, server, resumed)
						if (len(o.server.VerifiedChains) > 0) != tt.verified {
							t.Errorf("resumed %v: verified chains %d", resumed, len(o.server.VerifiedChains))
						}
					}
					return
				}
				o := refuse(t, client, server)
				e := explained(t, sb.ExplainServerError(o.serverErr))
				if e.Code != tt.code || !e.Server {
					t.Errorf("server: %q, want %q: %v", e.Code, tt.code, e)
				}
				ce := explained(t, cb.ExplainError(o.clientErr))
				want := []trustkeep.Code{tlsctx.CodeIdentityRefused}
				if tt.identity == nil {
					want = []trustkeep.Code{tlsctx.CodeIdentityRequired, tlsctx.CodeNothingInCommon} // TLS 1.2 has no alert of its own for it
				}
				if ce.Code != want[0] && (len(want) < 2 || ce.Code != want[1]) {
					t.Errorf("client: %q, want %q: %v", ce.Code, want, ce)
				}
				if tt.identity == nil && !strings.Contains(ce.Remedy, "Builder.Identity") {
					t.Errorf("remedy %q", ce.Remedy)
				}
			})
		}
	}
}

func TestServerRefusesToBuild(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := identity(pki.Server(host))
	var none *truststore.Truststore
	tests := []struct {
		name string
		b    tlsctx.Builder
		err  error
	}{
		{"no identity", tlsctx.Builder{}, trustkeep.ErrInvalid},
		{"nil identity", tlsctx.Builder{Identity: (*swap)(nil)}, trustkeep.ErrInvalid},
		{"client authentication without trust", tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth}, trustkeep.ErrInvalid},
		{"optional client authentication without trust", tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequestClientAuth}, trustkeep.ErrInvalid},
		{"empty trust", tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth, Trusted: truststore.New(), Global: store(pki.Root)}, trustkeep.ErrEmpty},
		{"nil trust", tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth, Trusted: none, Global: store(pki.Root)}, trustkeep.ErrInvalid},
		{"unknown mode", tlsctx.Builder{Identity: id, ClientAuth: 7, Trusted: store(pki.Root)}, trustkeep.ErrInvalid},
		{"TLS 1.0", tlsctx.Builder{Identity: id, MinVersion: tls.VersionTLS10}, trustkeep.ErrInvalid},
		{"two halves", tlsctx.Builder{Identity: tlsctx.StaticIdentity(tls.Certificate{Certificate: pki.Client("a").DERChain(), PrivateKey: pki.Client("b").Key})}, trustkeep.ErrKeyMismatch},
		{"global trust", tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth, Global: store(pki.Root)}, nil},
		{"no client authentication", tlsctx.Builder{Identity: id}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := tt.b.Server()
			if (cfg == nil) == (err == nil) || !errors.Is(err, tt.err) {
				t.Fatalf("config %v, error %v, want %v", cfg != nil, err, tt.err)
			}
			if e := tt.b.Explain(); strings.Contains(tt.name, "without trust") && len(e.Errors) == 0 {
				t.Errorf("Explain sees no trouble: %v", e)
			}
		})
	}
}

// manyNames makes a store whose names take n bytes on the wire, or one
// certificate's more.
func manyNames(t testing.TB, pki *testpki.PKI, n int) *truststore.Truststore {
	t.Helper()
	certs := []*x509.Certificate{pki.Root.Cert}
	n -= 2 + len(pki.Root.Cert.RawSubject)
	name := strings.Repeat("x", 8000)
	for i := 0; n > 0; i++ {
		c := pki.Issue(testpki.Request{CA: true, SelfSigned: true, Edit: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: fmt.Sprintf("%s%d", name[:min(len(name), max(n-50, 1))], i)}
		}})
		certs = append(certs, c.Cert)
		n -= 2 + len(c.Cert.RawSubject)
	}
	return truststore.New(certs...)
}

// TestAuthorityNamesAtTheLimit: as many names as a server takes also make it
// over the wire.
func TestAuthorityNamesAtTheLimit(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	trust := manyNames(t, pki, 64900)
	for _, version := range versions {
		server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), ClientAuth: tlsctx.RequireClientAuth, Trusted: trust, MaxVersion: version})
		accept(t, mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Identity: identity(pki.Client("c"))}), server, false)
	}
}

// TestServerFollowsTrust: trust added counts from the next handshake on, and
// trust removed ends resumption.
func TestServerFollowsTrust(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			trust := store(a.Root)
			server := mustServer(t, tlsctx.Builder{
				Identity: identity(a.Server(host)), ClientAuth: tlsctx.RequireClientAuth, Trusted: trust, MaxVersion: version,
			})
			base := tlsctx.Builder{Trusted: store(a.Root), ServerName: host}
			ba, bb := base, base
			ba.Identity, bb.Identity = identity(a.Client("a")), identity(b.Client("b"))
			clientA, clientB := mustClient(t, ba), mustClient(t, bb)

			accept(t, clientA, server, false)
			accept(t, clientA, server, true)
			refuse(t, clientB, server)

			must(t, trust.Add("b", b.Root.Cert))
			accept(t, clientB, server, false)
			accept(t, clientB, server, true)
			accept(t, clientA, server, false) // sessions end with every change

			must(t, trust.RemoveCertificate(a.Root.Cert))
			refuse(t, clientA, server)
			accept(t, clientB, server, false)

			must(t, trust.RemoveCertificate(b.Root.Cert))
			refuse(t, clientB, server) // an emptied store trusts nobody

			must(t, trust.Add("", a.Root.Cert))
			accept(t, clientA, server, false)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestResumptionLooksAtTheWholeChain: crypto/tls only looks at the root of a
// session's chain again. Here the new trust still covers that root, but not the
// chain below it.
func TestResumptionLooksAtTheWholeChain(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	// The same name and key as the root, but with a path length that rules
	// out the intermediate; the old root chains to it.
	strict := pki.Issue(testpki.Request{CommonName: "Strict CA", CA: true, SelfSigned: true, Edit: func(c *x509.Certificate) { c.MaxPathLenZero = true }})
	cross := pki.Issue(testpki.Request{CA: true, Issuer: strict, KeyOf: pki.Root, Edit: func(c *x509.Certificate) {
		c.Subject, c.RawSubject, c.SubjectKeyId = pki.Root.Cert.Subject, pki.Root.Cert.RawSubject, pki.Root.Cert.SubjectKeyId
	}})
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			trust := store(cross)
			server := mustServer(t, tlsctx.Builder{
				Identity: identity(pki.Server(host)), ClientAuth: tlsctx.RequireClientAuth, Trusted: trust, MaxVersion: version,
			})
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Identity: identity(pki.Client("c"))})
			accept(t, client, server, false)
			accept(t, client, server, true)
			must(t, trust.Add("strict", strict.Cert))
			must(t, trust.RemoveCertificate(cross.Cert))
			refuse(t, client, server)
		})
	}
}

// TestServerFollowsIdentity: the next handshake has the new certificate, and
// sessions of the old one end. A failing identity refuses, and recovers.
func TestServerFollowsIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	first, second := pki.Server(host), pki.Server(host)
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			id := new(swap)
			id.set(first, nil)
			server := mustServer(t, tlsctx.Builder{Identity: id, MaxVersion: version})
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host})
			accept(t, client, server, false)
			accept(t, client, server, true)

			id.set(first, nil) // another pointer to the same chain
			accept(t, client, server, true)

			id.set(second, nil)
			if o := accept(t, client, server, false); !o.client.PeerCertificates[0].Equal(second.Cert) {
				t.Error("the old certificate is still served")
			}
			id.set(nil, errors.New("vault is sealed"))
			refuse(t, client, server)
			id.set(second, nil)
			accept(t, client, server, false)
		})
	}
}

// TestServerIdentityTypes: copies of an identity are one identity, whatever its
// key, and what has another key or staple is another.
func TestServerIdentityTypes(t *testing.T) {
	for name, keyType := range map[string]testpki.KeyType{"P-256": testpki.P256, "Ed25519": testpki.Ed25519, "RSA": testpki.RSA2048} {
		t.Run(name, func(t *testing.T) {
			pki := testpki.New(t, testpki.Options{KeyType: keyType})
			first := pki.Server(host)
			id := new(swap)
			id.set(first, nil)
			server := mustServer(t, tlsctx.Builder{Identity: id})
			config := func() *tls.Config {
				cfg, err := server.GetConfigForClient(&tls.ClientHelloInfo{})
				must(t, err)
				return cfg
			}
			same := func(a, b *tls.Config) bool { return &a.Certificates[0] == &b.Certificates[0] } // but for the copy that is handed out
			before := config()
			id.set(first, nil)
			if !same(config(), before) {
				t.Error("a copy of the identity made a new configuration")
			}
			stapled := first.TLSCertificate()
			stapled.OCSPStaple = []byte("staple")
			id.mu.Lock()
			id.cert = &stapled
			id.mu.Unlock()
			if got := config(); same(got, before) || string(got.Certificates[0].OCSPStaple) != "staple" {
				t.Error("the staple is not served")
			}
			id.set(pki.Server(host), nil)
			if got := config(); same(got, before) || got.Certificates[0].Leaf == nil {
				t.Error("the new identity is not served")
			}
		})
	}
}

// TestTicketKeysRotate: a session can be resumed for a week, with keys of the
// day for new sessions, and not when the clock went far ahead.
func TestTicketKeysRotate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Issue(testpki.Request{Names: []string{host}, NotAfter: pki.Now().AddDate(1, 0, 0)})
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			c := &clock{now: pki.Now()}
			server := mustServer(t, tlsctx.Builder{Identity: identity(leaf), MaxVersion: version, Clock: c.Now})
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: c.Now})
			accept(t, client, server, false)
			for range 9 { // each resumption brings a ticket under the key of the day
				c.advance(25 * time.Hour)
				if o := connect(t, client, server); !o.ok() {
					t.Fatal(o.clientErr, o.serverErr)
				}
			}
			accept(t, client, server, true)
			c.advance(8 * 24 * time.Hour)
			accept(t, client, server, false)
			c.advance(-30 * 24 * time.Hour) // a clock that was wrong
			c.advance(30 * 24 * time.Hour)
			accept(t, client, server, true)
		})
	}
}

// TestServerConcurrency: changes while handshakes run neither race nor let
// anything in that was never trusted.
func TestServerConcurrency(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	never := testpki.New(t, testpki.Options{Name: "C"})
	trust := store(a.Root)
	id := new(swap)
	id.set(a.Server(host), nil)
	server := mustServer(t, tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth, Trusted: trust})
	base := tlsctx.Builder{Trusted: store(a.Root), ServerName: host}
	good, bad := base, base
	good.Identity, bad.Identity = identity(a.Client("a")), identity(never.Client("a"))
	goodConfig, badConfig := mustClient(t, good), mustClient(t, bad)
	servers := []*testpki.Identity{a.Server(host), a.Server(host)}

	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := trust.Add("b", b.Root.Cert); err != nil {
				t.Error(err)
			}
			if err := trust.Remove("b"); err != nil {
				t.Error(err)
			}
			id.set(servers[i%2], nil)
		}
	})
	for range 40 {
		if o := connect(t, goodConfig, server); !o.ok() {
			t.Errorf("refused: %v, %v", o.clientErr, o.serverErr)
		}
		if o := connect(t, badConfig, server); o.clientErr == nil {
			t.Error("accepted what was never trusted")
		}
	}
	close(stop)
	wg.Wait()
}

// TestALPN: protocols of both sides meet, also through the configuration that
// follows its sources.
func TestALPN(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	sb := tlsctx.Builder{Identity: identity(pki.Server(host)), NextProtos: []string{"h2", "http/1.1"}}
	cb := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, NextProtos: []string{"http/1.1"}}
	if o := accept(t, mustClient(t, cb), mustServer(t, sb), false); o.client.NegotiatedProtocol != "http/1.1" {
		t.Errorf("negotiated %q", o.client.NegotiatedProtocol)
	}
	cb.NextProtos = []string{"imap"}
	o := refuse(t, mustClient(t, cb), mustServer(t, sb))
	if e := explained(t, cb.ExplainError(o.clientErr)); e.Code != tlsctx.CodeProtocol {
		t.Error(e)
	}
	if e := explained(t, sb.ExplainServerError(o.serverErr)); e.Code != tlsctx.CodeProtocol {
		t.Error(e)
	}
}

// TestVersions: the lowest version holds on both sides, and is lowered by name
// only.
func TestVersions(t *testing.T) {
	if fips.Enabled() {
		t.Skip("TLS 1.1 is not for FIPS modes")
	}
	pki := testpki.New(t, testpki.Options{})
	sb := tlsctx.Builder{Identity: identity(pki.Server(host))}
	cb := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host}
	if !fips.Enabled() { // which has no old versions
		old := &tls.Config{Certificates: []tls.Certificate{pki.Server(host).TLSCertificate()}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		o := refuse(t, mustClient(t, cb), old)
		if e := explained(t, cb.ExplainError(o.clientErr)); e.Code != tlsctx.CodeVersion {
			t.Error(e)
		}
		oldClient := &tls.Config{RootCAs: pki.Roots(), ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		o = refuse(t, oldClient, mustServer(t, sb))
		if e := explained(t, sb.ExplainServerError(o.serverErr)); e.Code != tlsctx.CodeVersion {
			t.Error(e)
		}
		cb.LegacyMinVersion = tls.VersionTLS11
		if o := accept(t, mustClient(t, cb), old, false); o.client.Version != tls.VersionTLS11 {
			t.Errorf("version %x", o.client.Version)
		}
	}
	sb.MinVersion, cb.LegacyMinVersion = tls.VersionTLS13, 0
	cb.MaxVersion = tls.VersionTLS12
	o := refuse(t, mustClient(t, cb), mustServer(t, sb))
	if e := explained(t, cb.ExplainError(o.clientErr)); e.Code != tlsctx.CodeVersion {
		t.Error(e)
	}
}
