package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// workload issues a certificate with these URIs and DNS names.
func workload(t *testing.T, pki *testpki.PKI, names []string, uris ...string) *testpki.Identity {
	return pki.Issue(testpki.Request{CommonName: "workload", Names: names, Edit: func(c *x509.Certificate) {
		for _, text := range uris {
			u, err := url.Parse(text)
			must(t, err)
			c.URIs = append(c.URIs, u)
		}
	}})
}

const spiffeID = "spiffe://domain.example/web"

// TestServerURI: a server without a DNS name is accepted by its URI or trust domain, in every way
// in, and nothing else that its authority has issued.
func TestServerURI(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	byID := func(b *tlsctx.Builder) { b.ServerURI = spiffeID }
	byDomain := func(b *tlsctx.Builder) { b.TrustDomain = "domain.example" }
	both := func(b *tlsctx.Builder) { b.ServerURI, b.TrustDomain = spiffeID, "domain.example" }
	named := func(b *tlsctx.Builder) { b.ServerURI, b.ServerName = spiffeID, host }
	revoked := func(b *tlsctx.Builder) {
		b.ServerURI, b.Revocation = spiffeID, revokes(func(*x509.Certificate) bool { return true })
	}
	svid := workload(t, pki, nil, spiffeID)
	for _, c := range []struct {
		name   string
		server *testpki.Identity
		more   func(*tlsctx.Builder)
		want   trustkeep.Code // empty if accepted
	}{
		{"exact", svid, byID, ""},
		{"trust domain", svid, byDomain, ""},
		{"both", svid, both, ""},
		{"with a DNS name besides", workload(t, pki, []string{host}, spiffeID), byID, ""},
		{"the name counts too if it is set", workload(t, pki, []string{host}, spiffeID), named, ""},
		{"and is missing", svid, named, truststore.CodeNameMismatch},
		{"no URI set", svid, func(b *tlsctx.Builder) {}, truststore.CodeNameMismatch},
		{"a DNS name and no URI", pki.Server(host), byID, truststore.CodeNameMismatch},
		{"a DNS name and no ID", pki.Server(host), byDomain, truststore.CodeNameMismatch},
		{"another path", workload(t, pki, nil, "spiffe://domain.example/db"), byID, truststore.CodeNameMismatch},
		{"another path of the domain", workload(t, pki, nil, "spiffe://domain.example/db"), byDomain, ""},
		{"below the path", workload(t, pki, nil, spiffeID+"/x"), byID, truststore.CodeNameMismatch},
		{"a subdomain", workload(t, pki, nil, "spiffe://sub.domain.example/web"), byDomain, truststore.CodeNameMismatch},
		{"a longer domain", workload(t, pki, nil, "spiffe://domain.example.evil/web"), byDomain, truststore.CodeNameMismatch},
		{"another scheme", workload(t, pki, nil, "https://domain.example/web"), byDomain, truststore.CodeNameMismatch},
		{"another case", workload(t, pki, nil, "spiffe://Domain.example/web"), both, truststore.CodeNameMismatch},
		{"with a port", workload(t, pki, nil, "spiffe://domain.example:1/web"), byDomain, truststore.CodeNameMismatch},
		{"two URIs", workload(t, pki, nil, spiffeID, "spiffe://domain.example/db"), byID, truststore.CodeNameMismatch},
		{"another URI, not of SPIFFE", workload(t, pki, nil, "urn:service:web"), func(b *tlsctx.Builder) { b.ServerURI = "urn:service:web" }, ""},
		{"a stranger's", workload(t, other, nil, spiffeID), byID, truststore.CodeUnknownIssuer},
		{"revoked", svid, revoked, truststore.CodeRevoked},
		{"expired", pki.Issue(testpki.Request{CommonName: "w", NotBefore: pki.Now().Add(-2 * time.Hour), NotAfter: pki.Now().Add(-time.Hour), Edit: func(c *x509.Certificate) { c.URIs = svid.Cert.URIs }}), byID, truststore.CodeExpired},
	} {
		for _, version := range versions {
			b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, MaxVersion: version}
			c.more(&b)
			server := mustServer(t, tlsctx.Builder{Identity: identity(c.server), Clock: pki.Now})
			atHost := b.For(host + ":443")
			check := func(way string, err error, explain func(error) error) {
				t.Helper()
				if (err == nil) != (c.want == "") {
					t.Errorf("%s, %s, %s: %v", c.name, way, tls.VersionName(version), err)
				} else if err != nil {
					if e := explained(t, explain(err)); e.Code != c.want {
						t.Errorf("%s, %s: %s: %v", c.name, way, e.Code, e)
					}
				}
			}
			asIs := func(err error) error { return err }
			for way, cfg := range map[string]*tls.Config{"Client": mustClient(t, atHost), "LiveClient": asLive["LiveClient"](t, atHost)} {
				for i := range 2 {
					o := connect(t, cfg, server)
					check(way, o.clientErr, atHost.ExplainError)
					if o.ok() && (o.server.ServerName != host || o.client.DidResume != (i == 1 && way == "Client")) {
						t.Errorf("%s, %s: sent %q, resumed %v", c.name, way, o.server.ServerName, o.client.DidResume)
					}
				}
			}
			e := newEcho(t, server)
			d := mustDialer(t, b)
			for range 2 {
				_, err := e.dial(t, d, host+":443")
				check("Dialer", err, asIs)
			}
			destinations := &tlsctx.Destinations{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, e.address)
			}}
			must(t, destinations.Set("*", b))
			conn, err := destinations.DialContext(t.Context(), "tcp", host+":443")
			if err == nil {
				conn.Close()
			}
			check("Destinations", err, asIs)
		}
	}
}

// TestServerURIOfHTTP: requests go by the URI, and the connection is given up when its trust ends.
func TestServerURIOfHTTP(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := (&echo{hangsUp: true}).start(t, mustServer(t, tlsctx.Builder{Identity: identity(workload(t, pki, nil, spiffeID)), Clock: pki.Now, NextProtos: []string{"http/1.1"}}))
	for uri, ok := range map[string]bool{spiffeID: true, spiffeID + "x": false} {
		transport, err := tlsctx.Builder{Trusted: store(pki.Root), ServerURI: uri, Clock: pki.Now}.Transport(&http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.address)
		}})
		must(t, err)
		r, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
		if err == nil {
			r.Body.Close()
		}
		_, refused := errors.AsType[*truststore.VerifyError](err)
		if accepted := e.last.Swap(nil) != nil && !refused; accepted != ok {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestOpenConnectionsByURI: what is open is judged again by the URI.
func TestOpenConnectionsByURI(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	trust := store(pki.Root, other.Root)
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(workload(t, pki, nil, spiffeID)), Clock: pki.Now}))
	d := mustDialer(t, tlsctx.Builder{Trusted: trust, ServerURI: spiffeID, Clock: pki.Now})
	d.Track = true
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}
	conn, err := d.DialContext(t.Context(), "tcp", host+":443")
	must(t, err)
	defer conn.Close()
	if s := d.Stale(); len(s) != 0 {
		t.Errorf("%v", s[0].Err)
	}
	must(t, trust.RemoveCertificate(pki.Root.Cert))
	if s := d.Stale(); len(s) != 1 || d.Recheck() != 1 {
		t.Errorf("%v", s)
	}
}

// TestClientURI: a server accepts clients by URI or trust domain, whether crypto/tls verifies
// them or not, and lets none pass that only has a certificate.
func TestClientURI(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for name, c := range map[string]struct {
		client  *testpki.Identity
		uri     string
		domain  string
		accepts bool
	}{
		"exact":          {workload(t, pki, nil, spiffeID), spiffeID, "", true},
		"trust domain":   {workload(t, pki, nil, spiffeID), "", "domain.example", true},
		"another":        {workload(t, pki, nil, spiffeID+"2"), spiffeID, "", false},
		"another domain": {workload(t, pki, nil, spiffeID), "", "example", false},
		"no URI":         {pki.Client("me"), spiffeID, "", false},
		"two":            {workload(t, pki, nil, spiffeID, "spiffe://domain.example/db"), spiffeID, "", false},
	} {
		for _, version := range versions {
			for how, more := range map[string]func(*tlsctx.Builder){
				"crypto/tls": func(*tlsctx.Builder) {}, "concealed": func(b *tlsctx.Builder) { b.ConcealCAs = true },
				"requested": func(b *tlsctx.Builder) { b.ClientAuth = tlsctx.RequestClientAuth },
			} {
				b := tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, ClientURI: c.uri, TrustDomain: c.domain, Clock: pki.Now}
				more(&b)
				server := mustServer(t, b)
				client := &tls.Config{RootCAs: pki.Roots(), ServerName: host, Time: pki.Now, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(0), Certificates: []tls.Certificate{c.client.TLSCertificate()}}
				for _, resumed := range []bool{false, true} {
					o := connect(t, client, server)
					if o.ok() != c.accepts || o.ok() && o.client.DidResume != resumed {
						t.Errorf("%s, %s, %s: resumed %v: %v, %v", name, how, tls.VersionName(version), o.client.DidResume, o.clientErr, o.serverErr)
					}
					if !c.accepts {
						if e := explained(t, b.ExplainServerError(o.serverErr)); e.Code != truststore.CodeNameMismatch {
							t.Errorf("%s, %s: %v", name, how, e)
						}
					}
				}
				client.Certificates, client.ClientSessionCache = nil, nil
				if o := connect(t, client, server); o.ok() != (how == "requested") {
					t.Errorf("%s, %s, without a certificate: %v", name, how, o.serverErr)
				}
			}
		}
	}
}

// TestTrustDomainsMeet: with a bundle for each domain, an authority of one vouches for nobody of
// the other, in either direction.
func TestTrustDomainsMeet(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	bundles := truststore.Union(truststore.Bundle("a.example", store(a.Root)), truststore.Bundle("b.example", store(b.Root)))
	for _, c := range []struct {
		server, client *testpki.Identity
		ok             bool
	}{
		{workload(t, a, nil, "spiffe://a.example/s"), workload(t, b, nil, "spiffe://b.example/c"), true},
		{workload(t, b, nil, "spiffe://a.example/s"), workload(t, b, nil, "spiffe://b.example/c"), false},
		{workload(t, a, nil, "spiffe://a.example/s"), workload(t, a, nil, "spiffe://b.example/c"), false},
	} {
		server := mustServer(t, tlsctx.Builder{Identity: identity(c.server), Trusted: bundles, ClientAuth: tlsctx.RequireClientAuth, TrustDomain: "b.example", Clock: a.Now})
		client := mustClient(t, tlsctx.Builder{Identity: identity(c.client), Trusted: bundles, ServerURI: "spiffe://a.example/s", Clock: a.Now})
		if o := connect(t, client, server); o.ok() != c.ok {
			t.Errorf("%v, %v: %v, %v", c.server.Cert.URIs, c.client.Cert.URIs, o.clientErr, o.serverErr)
		}
	}
}

// TestURIsAreShown: what is asked for is explained, and what cannot be is a wrong call.
func TestURIsAreShown(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Trusted: store(pki.Root), ServerURI: spiffeID, ClientURI: "urn:client", TrustDomain: "domain.example"}
	for _, want := range []string{spiffeID, "urn:client", `domain.example`} {
		if !strings.Contains(b.Explain().String(), want) || !strings.Contains(b.String(), want) {
			t.Errorf("%s is not shown:\n%s\n%s", want, b.Explain(), b)
		}
	}
	for name, b := range map[string]tlsctx.Builder{
		"no scheme":      {ServerURI: "domain.example/web"},
		"malformed":      {ServerURI: "spiffe://Domain.example/web"},
		"escapes":        {ServerURI: "spiffe://domain.example/%77eb"},
		"domain is none": {TrustDomain: "spiffe://domain.example"},
		"client":         {ClientURI: "x"},
	} {
		b.Trusted, b.Identity, b.ClientAuth = store(pki.Root), identity(pki.Server(host)), tlsctx.RequireClientAuth
		_, clientErr := b.Client()
		_, dialerErr := b.Dialer()
		_, serverErr := b.Server()
		for _, err := range []error{clientErr, dialerErr, serverErr} {
			if !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := (tlsctx.Builder{Identity: identity(pki.Server(host)), ClientURI: spiffeID}).Server(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("ClientURI of nobody: %v", err)
	}

	// With a ServerName, crypto/tls verifies as ever, and the URI narrows.
	b.ServerName = host
	if cfg := mustClient(t, b); cfg.InsecureSkipVerify || cfg.RootCAs == nil {
		t.Error("crypto/tls does not verify the name")
	}
}

// TestQuestionHasTheWholePolicy: whatever a question about a peer can hold, the Builder gives it,
// so that handshakes, rechecks, explanations and plans ask the same.
func TestQuestionHasTheWholePolicy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{
		Clock: pki.Now, Allow: truststore.JavaHTTPS(), Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}, Policy: truststore.Strict(),
		Revocation: revokes(nobody), RevocationExempt: []*x509.Certificate{pki.Root.Cert}, ServerName: host, ServerURI: spiffeID, ClientURI: spiffeID, TrustDomain: "domain.example",
	}
	for _, purpose := range []truststore.Purpose{truststore.Server, truststore.Client} {
		o := reflect.ValueOf(b.VerifyOptions(purpose, host))
		for i := range o.NumField() {
			switch name := o.Type().Field(i).Name; name {
			case "Purpose", "Intermediates", "Staple", "Context":
			default:
				if o.Field(i).IsZero() {
					t.Errorf("%s: %s is not set", purpose, name)
				}
			}
		}
	}
}
