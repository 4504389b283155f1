package tlsctx_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestTrustRules has an accepting and a refusing handshake for each way to
// trust a server, full and resumed, in both versions.
func TestTrustRules(t *testing.T) {
	a := testpki.New(t, testpki.Options{Name: "A"})
	b := testpki.New(t, testpki.Options{Name: "B"})
	server := a.Server(host)
	leafOnly := tls.Certificate{Certificate: server.DERChain()[:1], PrivateKey: server.Key}
	self := a.SelfSigned(host)

	tests := []struct {
		name    string
		trusted *truststore.Truststore
		server  tls.Certificate
		code    trustkeep.Code // empty: accepted
	}{
		{"root", store(a.Root), server.TLSCertificate(), ""},
		{"intermediate", store(a.Intermediate), server.TLSCertificate(), ""},
		{"intermediate, leaf sent alone", store(a.Intermediate), leafOnly, ""},
		{"exact leaf", store(server), server.TLSCertificate(), ""},
		{"exact leaf, sent alone", store(server), leafOnly, ""},
		{"self-signed", store(self), self.TLSCertificate(), ""},
		{"several", store(b.Root, a.Root), server.TLSCertificate(), ""},
		{"other root", store(b.Root), server.TLSCertificate(), "unknown-issuer"},
		{"root, leaf sent alone", store(a.Root), leafOnly, "incomplete-chain"},
		{"sibling", store(a.Server(host)), server.TLSCertificate(), "unknown-issuer"},
		{"self-signed, unknown", store(a.Root), self.TLSCertificate(), "self-signed"},
		{"expired", store(a.Root), a.Expired(host).TLSCertificate(), "expired"},
		{"not yet valid", store(a.Root), a.NotYetValid(host).TLSCertificate(), "not-yet-valid"},
		{"other name", store(a.Root), a.WrongName().TLSCertificate(), "name-mismatch"},
		{"common name only", store(a.Root), a.CommonNameOnly(host).TLSCertificate(), "common-name-only"},
		{"other usage", store(a.Root), a.WrongUsage(host).TLSCertificate(), "wrong-usage"},
		{"negative serial", store(a.Root), a.NegativeSerial(host).TLSCertificate(), tlsctx.CodeUnreadable},
	}
	for _, tt := range tests {
		for _, version := range versions {
			t.Run(tt.name+"/"+tls.VersionName(version), func(t *testing.T) {
				builder := tlsctx.Builder{Trusted: tt.trusted, ServerName: host, MaxVersion: version, Clock: a.Now}
				client := mustClient(t, builder)
				served := &tls.Config{Certificates: []tls.Certificate{tt.server}, Time: a.Now}
				if tt.code == "" {
					for _, resumed := range []bool{false, true} {
						if o := accept(t, client, served, resumed); len(o.client.VerifiedChains) == 0 || o.client.Version != version {
							t.Errorf("resumed %v: verified chains %d, version %x", resumed, len(o.client.VerifiedChains), o.client.Version)
						}
					}
					return
				}
				o := refuse(t, client, served)
				e := explained(t, builder.ExplainError(o.clientErr))
				if e.Code != tt.code || !errors.Is(e, o.clientErr) {
					t.Errorf("code %q, want %q: %v", e.Code, tt.code, e)
				}
			})
		}
	}
}

// TestOverride is the proof that a connection's own trust replaces what is
// deployed: the server runs A, A is deployed, the connection trusts B.
func TestOverride(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			serverA := mustServer(t, tlsctx.Builder{Identity: identity(a.Server(host)), MaxVersion: version, Clock: a.Now})
			serverB := mustServer(t, tlsctx.Builder{Identity: identity(b.Server(host)), MaxVersion: version, Clock: a.Now})
			deployed := tlsctx.Builder{Global: store(a.Root), ServerName: host, Clock: a.Now}
			pinned := deployed
			pinned.Trusted = store(b.Root)

			client := mustClient(t, deployed)
			accept(t, client, serverA, false)
			accept(t, client, serverA, true) // there is a session to be misused
			o := refuse(t, mustClient(t, pinned), serverA)
			e := explained(t, pinned.ExplainError(o.clientErr))
			if e.Trust.Origin != tlsctx.FromTrusted || len(e.Ignored) != 1 || e.Ignored[0].Origin != tlsctx.FromGlobal || !e.Ignored[0].WouldAccept {
				t.Errorf("trust %+v, ignored %+v", e.Trust, e.Ignored)
			}
			if !strings.Contains(e.Error(), "the environment's trust (1 certificate) would accept it, but the connection's own trust replaces it") {
				t.Error(e)
			}
			accept(t, mustClient(t, pinned), serverB, false)
			refuse(t, mustClient(t, deployed), serverB)

			// The session of the first connection does not help a
			// configuration that was derived from it by hand either.
			stolen := client.Clone()
			stolen.RootCAs = mustClient(t, pinned).RootCAs
			refuse(t, stolen, serverA)

			// Adding is possible, when it is said.
			both := deployed
			both.Trusted = truststore.Union(deployed.Global, pinned.Trusted)
			accept(t, mustClient(t, both), serverA, false)
			accept(t, mustClient(t, both), serverB, false)
		})
	}
}

// TestMatrix connects with three trusts to three hosts under three
// configurations. Each of the 27 outcomes is exact.
func TestMatrix(t *testing.T) {
	var pkis []*testpki.PKI
	var servers []*tls.Config
	for i := range 3 {
		pki := testpki.New(t, testpki.Options{Name: string(rune('A' + i))})
		pkis = append(pkis, pki)
		servers = append(servers, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(fmt.Sprintf("host-%d.example", i)))}))
	}
	for root := range 3 {
		for target := range 3 {
			for config, set := range map[string]func(*tlsctx.Builder){
				"global": func(b *tlsctx.Builder) { b.Global = store(pkis[root].Root) },
				"trusted over all": func(b *tlsctx.Builder) {
					b.Global = store(pkis[0].Root, pkis[1].Root, pkis[2].Root)
					b.Trusted = store(pkis[root].Root)
				},
				"trusted over the right one": func(b *tlsctx.Builder) {
					b.Global, b.Trusted = store(pkis[target].Root), store(pkis[root].Intermediate)
				},
			} {
				t.Run(fmt.Sprintf("root %d, host %d, %s", root, target, config), func(t *testing.T) {
					b := tlsctx.Builder{ServerName: fmt.Sprintf("host-%d.example", target)}
					set(&b)
					o := connect(t, mustClient(t, b), servers[target])
					if want := root == target; o.ok() != want {
						t.Errorf("accepted: %v, want %v: %v", o.ok(), want, o.clientErr)
					}
					if o.ok() {
						return
					}
					if e := explained(t, b.ExplainError(o.clientErr)); e.Code != "unknown-issuer" {
						t.Errorf("%v", e)
					}
				})
			}
		}
	}
}

func TestClientRefusesToBuild(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	full, empty := store(pki.Root), truststore.New()
	var none *truststore.Truststore
	var noIdentity *swap
	good := identity(pki.Client("c"))
	mixed := tls.Certificate{Certificate: pki.Client("a").DERChain(), PrivateKey: pki.Client("b").Key}
	failing := new(swap)
	failing.set(nil, errors.New("vault is sealed"))

	tests := []struct {
		name string
		b    tlsctx.Builder
		err  error
	}{
		{"empty trusted", tlsctx.Builder{Trusted: empty, Global: full}, trustkeep.ErrEmpty},
		{"empty global", tlsctx.Builder{Global: empty}, trustkeep.ErrEmpty},
		{"empty pins", tlsctx.Builder{Trusted: full, Pins: []truststore.Pin{}}, trustkeep.ErrInvalid},
		{"nil trusted", tlsctx.Builder{Trusted: none, Global: full}, trustkeep.ErrInvalid},
		{"nil global", tlsctx.Builder{Global: none}, trustkeep.ErrInvalid},
		{"nil source of another type", tlsctx.Builder{Trusted: (*nilSource)(nil)}, trustkeep.ErrInvalid},
		{"source without answer", tlsctx.Builder{Trusted: &nilSource{}}, trustkeep.ErrInvalid},
		{"nil snapshot", tlsctx.Builder{Trusted: (*truststore.Snapshot)(nil)}, trustkeep.ErrInvalid},
		{"union with nil", tlsctx.Builder{Trusted: truststore.Union(full, none)}, trustkeep.ErrInvalid},
		{"union of nothing", tlsctx.Builder{Trusted: truststore.Union()}, trustkeep.ErrEmpty},
		{"nil identity", tlsctx.Builder{Trusted: full, Identity: noIdentity}, trustkeep.ErrInvalid},
		{"identity without answer", tlsctx.Builder{Trusted: full, Identity: new(swap)}, trustkeep.ErrEmpty},
		{"identity that fails", tlsctx.Builder{Trusted: full, Identity: failing}, failing.err},
		{"identity of two halves", tlsctx.Builder{Trusted: full, Identity: tlsctx.StaticIdentity(mixed)}, trustkeep.ErrKeyMismatch},
		{"corrupt identity", tlsctx.Builder{Trusted: full, Identity: tlsctx.StaticIdentity(tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: pki.Root.Key})}, trustkeep.ErrCorrupt},
		{"TLS 1.1 by MinVersion", tlsctx.Builder{Trusted: full, MinVersion: tls.VersionTLS11}, trustkeep.ErrInvalid},
		{"TLS 1.2 by LegacyMinVersion", tlsctx.Builder{Trusted: full, LegacyMinVersion: tls.VersionTLS12}, trustkeep.ErrInvalid},
		{"two lowest versions", tlsctx.Builder{Trusted: full, MinVersion: tls.VersionTLS12, LegacyMinVersion: tls.VersionTLS10}, trustkeep.ErrInvalid},
		{"unknown version", tlsctx.Builder{Trusted: full, MinVersion: 0x0399}, trustkeep.ErrInvalid},
		{"highest below lowest", tlsctx.Builder{Trusted: full, MaxVersion: tls.VersionTLS11}, trustkeep.ErrInvalid},
		{"good", tlsctx.Builder{Trusted: full, Identity: good}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := tt.b.Client()
			if (cfg == nil) == (err == nil) {
				t.Fatalf("config %v, error %v", cfg != nil, err)
			}
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if e := tt.b.Explain(); (len(e.Errors) > 0) != (err != nil) {
				t.Errorf("Explain disagrees: %v", e)
			}
		})
	}
}

type nilSource struct{}

func (s *nilSource) Snapshot() (*truststore.Snapshot, error) { return nil, nil }

// TestSafeConfig: what is built verifies names and chains by crypto/tls alone.
func TestSafeConfig(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for name, b := range map[string]tlsctx.Builder{
		"system": {}, "global": {Global: store(pki.Root)}, "trusted": {Trusted: store(pki.Root)},
	} {
		cfg := mustClient(t, b)
		if cfg.RootCAs == nil || cfg.InsecureSkipVerify || cfg.MinVersion != tls.VersionTLS12 || cfg.ClientSessionCache == nil ||
			cfg.VerifyPeerCertificate != nil {
			t.Errorf("%s: %+v", name, cfg)
		}
	}
}

// TestNoServerName: without a name there is no handshake.
func TestNoServerName(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host))})
	b := tlsctx.Builder{Trusted: store(pki.Root)}
	o := refuse(t, mustClient(t, b), server)
	if e := explained(t, b.ExplainError(o.clientErr)); e.Code != truststore.CodeNoName {
		t.Error(e)
	}
}

// TestPrivateSessions: two contexts never resume as each other, not even with
// equal builders, and a copy of a builder is another context.
func TestPrivateSessions(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server := mustServer(t, tlsctx.Builder{
				Identity: identity(pki.Server(host)), ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), MaxVersion: version,
			})
			ann := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Identity: identity(pki.Client("ann"))}
			bob := ann
			bob.Identity = identity(pki.Client("bob"))
			annConfig, bobConfig := mustClient(t, ann), mustClient(t, bob)
			for i, step := range []struct {
				client  *tls.Config
				resumed bool
				name    string
			}{
				{annConfig, false, "ann"}, {annConfig, true, "ann"},
				{bobConfig, false, "bob"}, {bobConfig, true, "bob"},
				{annConfig, true, "ann"},
				{mustClient(t, ann), false, "ann"},
			} {
				o := accept(t, step.client, server, step.resumed)
				if got := o.server.PeerCertificates[0].Subject.CommonName; got != step.name {
					t.Errorf("step %d: the server saw %q, want %q", i, got, step.name)
				}
			}
		})
	}
}

// TestIdentityAlwaysSent: a client presents its identity with the whole chain,
// whatever authorities the server lists.
func TestIdentityAlwaysSent(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	id := pki.Client("partner")
	listsOthers := x509.NewCertPool()
	listsOthers.AddCert(other.Root.Cert)
	for _, version := range versions {
		server := &tls.Config{
			Certificates: []tls.Certificate{pki.Server(host).TLSCertificate()}, MaxVersion: version,
			ClientAuth: tls.RequestClientCert, ClientCAs: listsOthers, Time: pki.Now,
		}
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Identity: identity(id), Clock: pki.Now})
		o := accept(t, client, server, false)
		if len(o.server.PeerCertificates) != 2 || !o.server.PeerCertificates[0].Equal(id.Cert) {
			t.Errorf("%s: the server got %d certificates", tls.VersionName(version), len(o.server.PeerCertificates))
		}
	}
}

// TestClientSnapshot: a configuration keeps the trust and the identity of its
// making.
func TestClientSnapshot(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	trusted := store(a.Root)
	builder := tlsctx.Builder{Trusted: trusted, ServerName: host}
	server := mustServer(t, tlsctx.Builder{Identity: identity(a.Server(host))})
	before := mustClient(t, builder)
	if err := trusted.RemoveCertificate(a.Root.Cert); err != nil {
		t.Fatal(err)
	}
	if err := trusted.Add("", b.Root.Cert); err != nil {
		t.Fatal(err)
	}
	accept(t, before, server, false)
	refuse(t, mustClient(t, builder), server)
}

// TestIPAndBracketNames: names are compared as crypto/x509 does.
func TestIPAndBracketNames(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("127.0.0.1", "::1", "*.wild.example"))})
	for name, ok := range map[string]bool{
		"127.0.0.1": true, "::1": true, "[::1]": true, "a.wild.example": true, "A.WILD.example": true, "a.wild.example.": true,
		"127.0.0.2": false, "::1%lo": false, "wild.example": false, "a.b.wild.example": false, "*.wild.example": true,
	} {
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: name})
		if o := connect(t, client, server); o.ok() != ok {
			t.Errorf("%s: accepted %v, want %v: %v", name, o.ok(), ok, o.clientErr)
		}
	}
}
