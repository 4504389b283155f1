package tlsctx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

const ticketSecret = "0123456789abcdef0123456789abcdef"

// fleet is what servers under one name have in common, and their clients.
type fleet struct {
	pki, other *testpki.PKI
	id, me     *testpki.Identity
	clock      *clock
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{pki: testpki.New(t, testpki.Options{}), other: testpki.New(t, testpki.Options{Name: "Other"})}
	f.clock = &clock{now: f.pki.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)} // noon
	year := f.clock.now.AddDate(1, 0, 0)
	f.id = f.pki.Issue(testpki.Request{Names: []string{host}, NotAfter: year, NotBefore: f.clock.now.AddDate(0, 0, -7)})
	f.me = f.pki.Issue(testpki.Request{CommonName: "me", NotAfter: year, NotBefore: f.clock.now.AddDate(0, 0, -7)})
	return f
}

// builder is of one server; each has a store of its own.
func (f *fleet) builder() tlsctx.Builder {
	return tlsctx.Builder{
		Identity: identity(f.id), Trusted: store(f.pki.Root, f.other.Root), ClientAuth: tlsctx.RequireClientAuth,
		TicketSecret: trustkeep.Password(ticketSecret), Clock: f.clock.Now,
	}
}

func (f *fleet) client(version uint16) *tls.Config {
	me := f.me.TLSCertificate()
	roots := f.pki.Roots()
	roots.AddCert(f.pki.Intermediate.Cert)
	return &tls.Config{RootCAs: roots, ServerName: host, Time: f.clock.Now, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(0),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &me, nil }}
}

// TestSharedTickets: servers in the same state resume each other's sessions; the ticket of one
// in another state, such as without an anchor that this one has dropped, leads to a full handshake.
func TestSharedTickets(t *testing.T) {
	f := newFleet(t)
	pki, other := f.pki, f.other
	anyone := func(context.Context, tlsctx.Peer) error { return nil }
	destinations := func(b tlsctx.Builder) *tls.Config {
		d := new(tlsctx.Destinations)
		must(t, d.Set(host, b))
		return d.Server()
	}
	routed := func(b tlsctx.Builder) *tls.Config {
		r := new(tlsctx.Routes)
		must(t, r.Set(host, b.Identity))
		b.Identity, b.Routes = nil, r
		return mustServer(t, b)
	}
	scoped := store(pki.Root, other.Root)
	must(t, scoped.SetScope(scoped.Aliases()[1], truststore.Scope{Names: []string{"x.example"}}))
	again := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: f.id, NotBefore: f.id.Cert.NotBefore, NotAfter: f.id.Cert.NotAfter})
	for _, c := range []struct {
		name    string
		more    func(*tlsctx.Builder)
		resumes bool
	}{
		{"the same", func(*tlsctx.Builder) {}, true},
		{"another order, another copy", func(b *tlsctx.Builder) { b.Trusted = store(other.Root, pki.Root) }, true},
		{"another way to the same trust", func(b *tlsctx.Builder) {
			b.Trusted, b.Global = nil, truststore.Union(store(pki.Root), store(other.Root))
		}, true},
		{"an anchor was dropped", func(b *tlsctx.Builder) { b.Trusted = store(pki.Root) }, false},
		{"an anchor was added", func(b *tlsctx.Builder) { b.Trusted = store(pki.Root, other.Root, other.Intermediate) }, false},
		{"a scope", func(b *tlsctx.Builder) { b.Trusted = scoped }, false},
		{"another secret", func(b *tlsctx.Builder) { b.TicketSecret = trustkeep.Password(strings.ToUpper(ticketSecret)) }, false},
		{"no secret", func(b *tlsctx.Builder) { b.TicketSecret = nil }, false},
		{"a renewed certificate", func(b *tlsctx.Builder) { b.Identity = identity(again) }, false},
		{"no chain", func(b *tlsctx.Builder) {
			short := f.id.TLSCertificate()
			short.Certificate = short.Certificate[:1]
			b.Identity = tlsctx.StaticIdentity(short)
		}, false},
		{"certificates not required", func(b *tlsctx.Builder) { b.ClientAuth = tlsctx.RequestClientAuth }, false},
		{"pins", func(b *tlsctx.Builder) { b.Pins = []truststore.Pin{truststore.PinKey(f.me.Cert)} }, false},
		{"relaxations", func(b *tlsctx.Builder) { b.Allow = truststore.JavaHTTPS() }, false},
		{"authorization", func(b *tlsctx.Builder) { b.Authorize = anyone }, false},
		{"revocation", func(b *tlsctx.Builder) { b.Revocation = revokes(nobody) }, false},
		{"application protocols", func(b *tlsctx.Builder) { b.NextProtos = []string{"h2"} }, false},
	} {
		for _, version := range versions {
			for way, build := range map[string]func(tlsctx.Builder) *tls.Config{
				"Server": func(b tlsctx.Builder) *tls.Config { return mustServer(t, b) }, "Destinations": destinations, "Routes": routed,
			} {
				two := f.builder()
				c.more(&two)
				first, second := build(f.builder()), build(two)
				client := f.client(version)
				accept(t, client, first, false)
				o := connect(t, client, second)
				if !o.ok() || o.client.DidResume != c.resumes || len(o.server.PeerCertificates) == 0 {
					t.Errorf("%s, %s, %s: resumed %v: %v, %v", c.name, way, tls.VersionName(version), o.client.DidResume, o.clientErr, o.serverErr)
				}
				accept(t, client, second, true) // what it got there
			}
		}
	}
}

func nobody(*x509.Certificate) bool { return false }

// TestSharedTicketsOfTheDropped: a session with a server that still trusts the client's authority
// does not get it past one that has dropped it, and both go by their own change at once.
func TestSharedTicketsOfTheDropped(t *testing.T) {
	f := newFleet(t)
	for _, version := range versions {
		one, two := f.builder(), f.builder()
		trust := store(f.pki.Root, f.other.Root)
		one.Trusted = trust
		first, second := mustServer(t, one), mustServer(t, two)
		client := f.client(version)
		accept(t, client, second, false)
		accept(t, client, first, true)
		must(t, trust.RemoveCertificate(f.other.Root.Cert))
		accept(t, client, second, true)
		accept(t, client, first, false) // full, and no error
		accept(t, client, second, false)
		must(t, trust.Add("", f.other.Root.Cert))
		accept(t, client, first, true) // the same state again
		must(t, trust.RemoveCertificate(f.pki.Root.Cert))
		accept(t, client, second, true)
		refuse(t, client, first)
	}
}

// TestSharedTicketsAreJudged: what decides about resumed handshakes is that of the server that
// they reach.
func TestSharedTicketsAreJudged(t *testing.T) {
	f := newFleet(t)
	for _, version := range versions {
		for name, more := range map[string]func(b *tlsctx.Builder, refuses bool){
			"Authorize": func(b *tlsctx.Builder, refuses bool) {
				b.Authorize = func(_ context.Context, p tlsctx.Peer) error {
					if refuses && p.Resumed {
						return errors.New("not here")
					}
					return nil
				}
			},
			"Revocation": func(b *tlsctx.Builder, refuses bool) {
				b.Revocation = revokes(func(*x509.Certificate) bool { return refuses })
			},
		} {
			one, two := f.builder(), f.builder()
			more(&one, false)
			more(&two, true)
			client := f.client(version)
			first := mustServer(t, one)
			accept(t, client, first, false)
			accept(t, client, first, true)
			if o := refuse(t, client, mustServer(t, two)); o.serverErr == nil {
				t.Errorf("%s, %s", name, tls.VersionName(version))
			}
		}
	}
}

// TestSharedTicketsRotate: the keys change with the day of each server's clock; a day before
// and after counts, and no more.
func TestSharedTicketsRotate(t *testing.T) {
	f := newFleet(t)
	const day = 24 * time.Hour
	for _, version := range versions {
		for _, c := range []struct {
			ahead   time.Duration // of the server that the session is offered to
			resumes bool
		}{{0, true}, {11 * time.Hour, true}, {13 * time.Hour, true}, {35 * time.Hour, true}, {37 * time.Hour, false}, {-day, true}, {-day - 13*time.Hour, false}, {6 * day, false}} {
			one, two := f.builder(), f.builder()
			at := &clock{now: f.clock.Now()}
			two.Clock = at.Now
			first, second := mustServer(t, one), mustServer(t, two)
			at.advance(c.ahead)
			client := f.client(version)
			accept(t, client, first, false)
			accept(t, client, second, c.resumes)
		}
		// One server that runs for days takes each of its tickets for one day after.
		b := f.builder()
		at := &clock{now: f.clock.Now()}
		b.Clock = at.Now
		server := mustServer(t, b)
		client := f.client(version)
		accept(t, client, server, false)
		for range 3 {
			at.advance(day)
			accept(t, client, server, true) // which brings a new ticket
		}
		at.advance(2 * day)
		accept(t, client, server, false)
	}
}

// TestTicketSecret: one that is short, missing or fails is an error, and it prints nowhere.
func TestTicketSecret(t *testing.T) {
	f := newFleet(t)
	failed := errors.New("no vault")
	for name, c := range map[string]struct {
		secret trustkeep.PasswordSource
		want   error
	}{
		"short":       {trustkeep.Password(ticketSecret[1:]), trustkeep.ErrInvalid},
		"empty":       {trustkeep.Password(""), trustkeep.ErrInvalid},
		"nil func":    {trustkeep.PasswordFunc(nil), trustkeep.ErrInvalid},
		"fails":       {trustkeep.PasswordFunc(func() ([]byte, error) { return nil, failed }), failed},
		"not in file": {trustkeep.PasswordFromFile(t.TempDir() + "/none"), io.EOF},
	} {
		b := f.builder()
		b.TicketSecret = c.secret
		if _, err := b.Server(); err == nil || c.want != io.EOF && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Asked for when the keys change and not for each handshake; a failure refuses.
	asked := 0
	var fails error
	b := f.builder()
	var given []byte
	b.TicketSecret = trustkeep.PasswordFunc(func() ([]byte, error) {
		asked++
		given = []byte(ticketSecret)
		return given, fails
	})
	at := &clock{now: f.clock.Now()}
	b.Clock = at.Now
	server := mustServer(t, b)
	for range 3 {
		accept(t, f.client(tls.VersionTLS13), server, false)
	}
	if asked != 1 || bytes.Contains(given, []byte("0123")) {
		t.Errorf("asked %d times, left %q", asked, given)
	}
	at.advance(24 * time.Hour)
	accept(t, f.client(tls.VersionTLS13), server, false)
	at.advance(24 * time.Hour)
	fails = failed
	if o := refuse(t, f.client(tls.VersionTLS13), server); !errors.Is(o.serverErr, failed) {
		t.Errorf("%v", o.serverErr)
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}

	b = f.builder()
	server = mustServer(t, b)
	chosen, err := server.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
	must(t, err)
	for _, v := range []any{b, &b, server, chosen, b.Explain(), b.ExplainError(io.EOF)} {
		testleak.Check(t, v, []byte(ticketSecret))
	}
	if !slices.ContainsFunc(strings.Split(b.Explain().String(), "\n"), func(s string) bool { return strings.HasPrefix(s, "sessions: ") }) {
		t.Errorf("%s", b.Explain())
	}
}
