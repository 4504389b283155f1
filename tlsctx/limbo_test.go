package tlsctx_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// limboCase is a chain, in the shape of the x509-limbo test suite: what is trusted, what
// the peer sends, and whether that is a path (RFC 5280 section 6) for the purpose and name.
type limboCase struct {
	name    string
	anchors []*x509.Certificate
	sent    []*testpki.Identity // the peer's own first
	client  bool                // the peer is a client, under no name
	as      string              // the name of a server; empty is host
	ok      bool
	// suffices are the relaxations each of which makes up for what is wrong.
	suffices []truststore.Relaxation
}

func raws(ids []*testpki.Identity) (out [][]byte) {
	for _, id := range ids {
		out = append(out, id.Cert.Raw)
	}
	return out
}

func certsOf(ids ...*testpki.Identity) (out []*x509.Certificate) {
	for _, id := range ids {
		out = append(out, id.Cert)
	}
	return out
}

// unknownExtension is one that nobody understands.
func unknownExtension(critical bool) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: critical, Value: []byte{5, 0}})
	}
}

// limbo makes the cases: path length, name constraints, key usages, critical extensions,
// validity, cross-signing, names and signatures.
func limbo(t testing.TB) (now time.Time, cases []limboCase) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	forger := testpki.New(t, testpki.Options{}) // the same names, other keys
	now = pki.Now()
	ca := func(name string, issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: name, CA: true, Issuer: issuer, SelfSigned: issuer == nil, Edit: edit})
	}
	leaf := func(issuer *testpki.Identity, names ...string) *testpki.Identity {
		if len(names) == 0 {
			names = []string{host}
		}
		return pki.Issue(testpki.Request{Names: names, Issuer: issuer})
	}
	edited := func(edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{host}, Edit: edit})
	}
	between := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
	}
	add := func(name string, ok bool, anchors []*x509.Certificate, sent ...*testpki.Identity) {
		cases = append(cases, limboCase{name: name, anchors: anchors, sent: sent, ok: ok})
	}
	unless := func(suffices ...truststore.Relaxation) { cases[len(cases)-1].suffices = suffices }
	named := func(name, as string, ok bool, sent *testpki.Identity) {
		cases = append(cases, limboCase{name: name, anchors: certsOf(pki.Root), sent: []*testpki.Identity{sent, pki.Intermediate}, as: as, ok: ok})
	}
	ofClient := func(name string, ok bool, anchors []*x509.Certificate, sent ...*testpki.Identity) {
		cases = append(cases, limboCase{name: name, anchors: anchors, sent: sent, client: true, ok: ok})
	}
	// below makes a path root, intermediate, leaf, with an edited intermediate.
	below := func(name string, ok bool, edit func(*x509.Certificate), names ...string) {
		i := ca("Edited", pki.Root, edit)
		add(name, ok, certsOf(pki.Root), leaf(i, names...), i)
	}
	root, inter, good := certsOf(pki.Root), pki.Intermediate, leaf(nil)

	// The ordinary, and what leads nowhere.
	add("ordinary", true, root, good, inter)
	add("intermediate trusted, nothing sent", true, certsOf(inter), good)
	add("intermediate not sent", false, root, good)
	add("root sent too, junk between", true, root, good, other.Root, pki.Root, other.Intermediate, inter)
	add("root sent and not trusted", false, certsOf(other.Root), good, inter, pki.Root)
	add("exactly trusted", true, certsOf(good), good)
	add("sibling of what is trusted", false, certsOf(leaf(nil)), good, inter)
	selfSigned := pki.SelfSigned(host)
	add("self-signed, trusted", true, certsOf(selfSigned), selfSigned)
	add("self-signed, a stranger", false, root, selfSigned)
	add("self-signed, another of the same name and key is trusted", false, certsOf(pki.Issue(testpki.Request{Names: []string{host}, SelfSigned: true, KeyOf: selfSigned})), selfSigned)

	// Path length (RFC 5280 section 4.2.1.9) and basic constraints.
	length := func(n int) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
	}
	zero, one := ca("Zero", nil, length(0)), ca("One", nil, length(1))
	underZero, underOne := ca("Under zero", zero, nil), ca("Under one", one, nil)
	deep := ca("Deep", underOne, nil)
	add("path length 0, a leaf below", true, certsOf(zero), leaf(zero))
	add("path length 0, an authority between", false, certsOf(zero), leaf(underZero), underZero)
	add("path length 1, an authority between", true, certsOf(one), leaf(underOne), underOne)
	add("path length 1, two authorities between", false, certsOf(one), leaf(deep), deep, underOne)
	below("path length 0 of an intermediate", true, length(0))
	narrow := ca("Narrow", pki.Root, length(0))
	belowNarrow := ca("Below narrow", narrow, nil)
	add("path length 0 of an intermediate, an authority below", false, root, leaf(belowNarrow), belowNarrow, narrow)
	add("issued by a leaf", false, root, leaf(good), good, inter)
	add("issued by a leaf that is trusted", false, certsOf(good), leaf(good), good)
	below("no CA:true", false, func(c *x509.Certificate) { c.IsCA = false })
	below("key usage without certificate signing", false, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })

	// Name constraints (section 4.2.1.10).
	permit := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, names }
	}
	exclude := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.PermittedDNSDomainsCritical, c.ExcludedDNSDomains = true, names }
	}
	below("permitted name", true, permit("example"))
	below("name that is not permitted", false, permit("elsewhere.example"))
	below("one of two names is not permitted", false, permit(host), host, "elsewhere.example")
	below("suffix that is no domain", false, permit("ver.example"))
	below("excluded name", false, exclude("example"))
	below("another name is excluded", true, exclude("elsewhere.example"))
	below("wildcard that covers an excluded name", false, exclude("server.example"), "*.example", host)
	below("address outside of the permitted", false, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedIPRanges = true, []*net.IPNet{{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(8, 32)}}
	}, host, "192.0.2.1")
	below("e-mail address outside of the permitted", false, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedEmailAddresses = true, []string{"elsewhere.example"}
	}, host, "me@server.example")
	constrained := ca("Constrained root", nil, permit("elsewhere.example"))
	add("name that the anchor does not permit", false, certsOf(constrained), leaf(constrained))

	// Extended key usages (section 4.2.1.12), which count along the whole path.
	usage := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	add("usage: client only", false, root, edited(usage(x509.ExtKeyUsageClientAuth)), inter)
	add("usage: code signing", false, root, pki.WrongUsage(host), inter)
	add("usage: any", true, root, edited(usage(x509.ExtKeyUsageAny)), inter)
	add("usage: none said", true, root, edited(usage()), inter)
	below("usage of the intermediate: servers", true, usage(x509.ExtKeyUsageServerAuth))
	below("usage of the intermediate: clients", false, usage(x509.ExtKeyUsageClientAuth))
	below("usage of the intermediate: e-mail", false, usage(x509.ExtKeyUsageEmailProtection))
	wrongUsage := pki.WrongUsage(host)
	add("usage of the very certificate that is trusted", false, certsOf(wrongUsage), wrongUsage)
	unless(truststore.AllowAnyUsage)

	// Critical extensions (section 4.2), and policies that are required (section 4.2.1.11).
	add("unknown critical extension", false, root, edited(unknownExtension(true)), inter)
	add("unknown extension", true, root, edited(unknownExtension(false)), inter)
	below("unknown critical extension of the intermediate", false, unknownExtension(true))
	strange := edited(unknownExtension(true))
	add("unknown critical extension, exactly trusted", false, certsOf(strange), strange)
	strangeRoot := ca("Strange root", nil, unknownExtension(true))
	add("unknown critical extension of the anchor", false, certsOf(strangeRoot), leaf(strangeRoot))
	below("a policy is required and none is there", false, func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}})
	})

	// Validity.
	add("expired", false, root, pki.Expired(host), inter)
	add("not yet valid", false, root, pki.NotYetValid(host), inter)
	expired := pki.Expired(host)
	add("expired, exactly trusted", false, certsOf(expired), expired)
	unless(truststore.AllowExpired)
	early := pki.NotYetValid(host)
	add("not yet valid, exactly trusted", false, certsOf(early), early)
	below("expired intermediate", false, between(-48*time.Hour, -time.Hour))
	below("intermediate that is not yet valid", false, between(time.Hour, 48*time.Hour))
	oldRoot := ca("Old root", nil, between(-48*time.Hour, -time.Hour))
	add("expired anchor", false, certsOf(oldRoot), leaf(oldRoot))
	unless(truststore.AllowExpiredAnchor)
	oldInter := pki.Issue(testpki.Request{CommonName: "Renewed", CA: true, Issuer: pki.Root, Edit: between(-48*time.Hour, -time.Hour)})
	renewed := pki.Issue(testpki.Request{CommonName: "Renewed", CA: true, Issuer: pki.Root, KeyOf: oldInter})
	add("expired intermediate and its renewal", true, root, leaf(oldInter), oldInter, renewed)
	add("expired intermediate is trusted", false, certsOf(oldInter), leaf(oldInter))
	unless(truststore.AllowExpiredAnchor)

	// Cross-signing.
	cross := other.CrossSign(pki.Root)
	add("cross-signed", true, certsOf(other.Root), good, inter, cross)
	add("cross-signed, not sent", false, certsOf(other.Root), good, inter)
	back := pki.CrossSign(other.Root)
	stranger := testpki.New(t, testpki.Options{Name: "Stranger"})
	add("cross-signed in a circle", false, certsOf(stranger.Root), good, inter, cross, back)
	loose := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: pki.Root})
	tight := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: pki.Root, KeyOf: loose, Edit: permit("elsewhere.example")})
	add("two paths, one constrained", true, root, leaf(loose), tight, loose)
	add("two paths, the constrained one sent", false, root, leaf(loose), tight)

	// Names (RFC 9525).
	named("common name alone", host, false, pki.CommonNameOnly(host))
	named("another name", host, false, pki.WrongName())
	named("common name beside another name", host, false, pki.Issue(testpki.Request{CommonName: host, Names: []string{"other.example"}}))
	named("wildcard", host, true, leaf(nil, "*.example"))
	named("wildcard for two labels", "a.b.example", false, leaf(nil, "*.example"))
	named("wildcard within a label", host, false, leaf(nil, "ser*.example"))
	named("wildcard that is not first", "a.b.example", false, leaf(nil, "a.*.example"))
	named("wildcard alone", host, false, leaf(nil, "*"))
	named("parent", host, false, leaf(nil, "example"))
	named("upper case", "SERVER.Example", true, good)
	named("address", "192.0.2.1", true, leaf(nil, "192.0.2.1"))
	named("another address", "192.0.2.2", false, leaf(nil, "192.0.2.1"))
	named("address as a DNS name", "192.0.2.1", false, edited(func(c *x509.Certificate) { c.DNSNames = []string{"192.0.2.1"} }))
	named("address in the common name", "192.0.2.1", false, pki.CommonNameOnly("192.0.2.1"))
	commonName := pki.CommonNameOnly(host)
	add("common name alone, exactly trusted", false, certsOf(commonName), commonName)
	unless(truststore.AllowCommonName, truststore.AllowAnyName)
	wrongName := pki.WrongName()
	add("another name, exactly trusted", false, certsOf(wrongName), wrongName)
	unless(truststore.AllowAnyName)

	// Signatures.
	add("forged intermediate", false, root, forger.Server(host), forger.Intermediate)
	add("forged, beside the genuine intermediate", false, root, forger.Server(host), inter)
	add("forged root of the same name sent", false, root, forger.Server(host), forger.Intermediate, forger.Root)
	var maze []*testpki.Identity
	for range 40 {
		maze = append(maze, pki.Issue(testpki.Request{CommonName: "Maze", CA: true, Issuer: pki.Root}))
	}
	lost := pki.Issue(testpki.Request{CommonName: "Maze", CA: true, SelfSigned: true})
	add("forty intermediates of one name, none the issuer", false, root, append([]*testpki.Identity{leaf(lost)}, maze...)...)

	// Clients.
	ofClient("client", true, root, pki.Client("c"), inter)
	ofClient("client, usage of servers", false, root, pki.Server(host), inter)
	ofClient("client, expired", false, root, pki.Issue(testpki.Request{CommonName: "c", Edit: between(-2*time.Hour, -time.Hour)}), inter)
	ofClient("client, unknown critical extension", false, root, pki.Issue(testpki.Request{CommonName: "c", Edit: unknownExtension(true)}), inter)
	ofClient("client, a stranger", false, root, other.Client("c"), other.Intermediate)
	forServers := ca("For servers", pki.Root, usage(x509.ExtKeyUsageServerAuth))
	ofClient("client, its issuer's usage is of servers", false, root, pki.Issue(testpki.Request{CommonName: "c", Issuer: forServers}), forServers)
	ofClient("client, path length", false, certsOf(zero), pki.Issue(testpki.Request{CommonName: "c", Issuer: underZero}), underZero)
	return now, cases
}

// allSubsets are the ways to allow something.
func allSubsets() (out [][]truststore.Relaxation) {
	all := truststore.Relaxations()
	for set := range 1 << len(all) {
		var some []truststore.Relaxation
		for i, r := range all {
			if set&(1<<i) != 0 {
				some = append(some, r)
			}
		}
		out = append(out, some)
	}
	return out
}

func (c limboCase) serverName() string { return cmp.Or(c.as, host) }

// accepted reports whether the peer is to be accepted where something is allowed.
func (c limboCase) accepted(allow []truststore.Relaxation) bool {
	return c.ok || slices.ContainsFunc(c.suffices, func(r truststore.Relaxation) bool { return slices.Contains(allow, r) })
}

// TestLimboDecisions: nothing that crypto/x509 refuses is accepted without the relaxation
// that is about it, and none is used where none is needed.
func TestLimboDecisions(t *testing.T) {
	now, cases := limbo(t)
	t.Logf("%d cases", len(cases))
	for _, c := range cases {
		oracle := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, DNSName: c.serverName(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		o := truststore.VerifyOptions{Name: c.serverName(), Time: now}
		if c.client {
			oracle.DNSName, oracle.KeyUsages = "", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			o.Purpose, o.Name = truststore.Client, ""
		}
		for _, a := range c.anchors {
			oracle.Roots.AddCert(a)
		}
		chain := certsOf(c.sent...)
		for _, i := range chain[1:] {
			oracle.Intermediates.AddCert(i)
		}
		if _, err := chain[0].Verify(oracle); (err == nil) != c.ok {
			t.Errorf("%s: crypto/x509 says %v", c.name, err)
		}
		trust := truststore.New(c.anchors...)
		for _, allow := range allSubsets() {
			o.Allow = allow
			v, err := trust.Verify(chain, o)
			switch {
			case (err == nil) != c.accepted(allow):
				t.Errorf("%s, %v allowed: %v, %v", c.name, allow, v, err)
			case err == nil && (len(v.Relaxations) > 0) == c.ok, err == nil && !subset(v.Relaxations, allow):
				t.Errorf("%s, %v allowed: %v", c.name, allow, v)
			}
			if err != nil {
				if refused, ok := errors.AsType[*truststore.VerifyError](err); !ok || refused.Code == "" || refused.Sentence() == "" {
					t.Errorf("%s: not explained: %v", c.name, err)
				}
			}
		}
	}
}

func subset(some, all []truststore.Relaxation) bool {
	return !slices.ContainsFunc(some, func(r truststore.Relaxation) bool { return !slices.Contains(all, r) })
}

// TestLimboHandshakes: the same in handshakes, whatever decides in them.
func TestLimboHandshakes(t *testing.T) {
	now, cases := limbo(t)
	clock := func() time.Time { return now }
	own := testpki.New(t, testpki.Options{Name: "Own"})
	anyone := func(_ context.Context, _ tlsctx.Peer) error { return nil }
	for i, c := range cases {
		presents := tls.Certificate{Certificate: raws(c.sent), PrivateKey: c.sent[0].Key}
		trust := truststore.New(c.anchors...)
		for k, version := range versions {
			if (i+k)%testtool.Rounds(2, 1) != 0 {
				continue
			}
			check := func(kind string, o outcome, resumed bool) {
				t.Helper()
				if o.ok() != c.ok {
					t.Errorf("%s, %s, %s: %v, %v", c.name, kind, tls.VersionName(version), o.clientErr, o.serverErr)
				} else if c.ok && o.client.DidResume != resumed {
					t.Errorf("%s, %s, %s: resumed %v", c.name, kind, tls.VersionName(version), o.client.DidResume)
				}
			}
			if c.client {
				for kind, b := range map[string]tlsctx.Builder{"crypto/tls": {}, "policy": {Authorize: anyone}, "concealed": {ConcealCAs: true}} {
					b.Identity, b.Trusted, b.ClientAuth, b.Clock = identity(own.Server(host)), trust, tlsctx.RequireClientAuth, clock
					server := mustServer(t, b)
					client := &tls.Config{RootCAs: own.Roots(), ServerName: host, Time: clock, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(0),
						GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &presents, nil }}
					for _, resumed := range []bool{false, true} {
						check(kind, connect(t, client, server), resumed)
					}
				}
				continue
			}
			server := &tls.Config{Certificates: []tls.Certificate{presents}, Time: clock, MaxVersion: version}
			for kind, b := range map[string]tlsctx.Builder{"crypto/tls": {}, "policy": {Authorize: anyone}} {
				b.Trusted, b.ServerName, b.Clock = trust, c.serverName(), clock
				client := mustClient(t, b)
				for _, resumed := range []bool{false, true} {
					check(kind, connect(t, client, server), resumed)
				}
				d := mustDialer(t, b)
				e := newEcho(t, server)
				for _, resumed := range []bool{false, true} {
					if s, err := e.dial(t, d, "192.0.2.99:443"); (err == nil) != c.ok || err == nil && s.DidResume != resumed {
						t.Errorf("%s, Dialer, %s, %s: %v", c.name, kind, tls.VersionName(version), err)
					}
				}
				check(kind, connect(t, asLive["LiveClient"](t, b), server), false)
			}
			// Everything allowed: what is accepted then, is so by name.
			var verdict *truststore.Verdict
			b := tlsctx.Builder{Trusted: trust, ServerName: c.serverName(), Clock: clock, Allow: truststore.Relaxations(), Authorize: func(_ context.Context, p tlsctx.Peer) error {
				verdict = p.Verdict
				return nil
			}}
			if o := connect(t, mustClient(t, b), server); o.ok() != c.accepted(b.Allow) || o.ok() && (len(verdict.Relaxations) > 0) == c.ok {
				t.Errorf("%s, all allowed, %s: %v, %v", c.name, tls.VersionName(version), verdict, o.clientErr)
			}
		}
	}
}
