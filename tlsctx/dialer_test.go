package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// echo is a TLS server that says one octet, with what the last client presented.
type echo struct {
	address string
	last    atomic.Pointer[tls.ConnectionState]
	hangsUp bool // instead of waiting for the client to
}

func newEcho(t testing.TB, cfg *tls.Config) *echo { return new(echo).start(t, cfg) }

func (e *echo) start(t testing.TB, cfg *tls.Config) *echo {
	t.Helper()
	e.address = testnet.Serve(t, func(raw net.Conn) {
		conn := tls.Server(raw, cfg)
		if conn.Handshake() != nil {
			return
		}
		s := conn.ConnectionState()
		e.last.Store(&s)
		conn.Write([]byte{'!'})
		if e.hangsUp {
			conn.Close()
		}
		io.Copy(io.Discard, raw)
	})
	return e
}

// dial connects and waits for the server's octet.
func (e *echo) dial(t testing.TB, d *tlsctx.Dialer, as string) (*tls.ConnectionState, error) {
	t.Helper()
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", as)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	s := conn.(*tls.Conn).ConnectionState()
	return &s, nil
}

func mustDialer(t testing.TB, b tlsctx.Builder) *tlsctx.Dialer {
	t.Helper()
	d, err := b.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDialerFollowsTrust(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, version := range versions {
		for name, more := range map[string]func(*tlsctx.Builder){
			"crypto/tls": func(*tlsctx.Builder) {},
			"policy":     func(b *tlsctx.Builder) { b.Allow = truststore.JavaHTTPS() },
		} {
			trust := store(other.Root)
			b := tlsctx.Builder{Trusted: trust, Clock: pki.Now, MaxVersion: version}
			more(&b)
			d := mustDialer(t, b)
			e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
			at := net.JoinHostPort(host, "443")
			var failed *tlsctx.HandshakeError
			if _, err := e.dial(t, d, at); !errors.As(err, &failed) || failed.ServerName != host {
				t.Errorf("%s: before: %v", name, err)
			}
			if err := trust.Add("", pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			for _, resumed := range []bool{false, true} {
				if s, err := e.dial(t, d, at); err != nil || s.DidResume != resumed {
					t.Errorf("%s: added: %v", name, err)
				}
			}
			if _, err := e.dial(t, d, "elsewhere.example:443"); err == nil {
				t.Errorf("%s: accepted under another name", name)
			}
			if err := trust.RemoveCertificate(pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if _, err := e.dial(t, d, at); err == nil {
				t.Errorf("%s: accepted after its authority was removed", name)
			}
			if err := trust.Add("", pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if s, err := e.dial(t, d, at); err != nil || s.DidResume {
				t.Errorf("%s: a session outlived the trust it began with: %v", name, err)
			}
		}
	}
}

// IP addresses are names too, although they are not sent.
func TestDialerByAddress(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("127.0.0.1")), Clock: pki.Now}))
	for _, b := range []tlsctx.Builder{{}, {Allow: truststore.JavaHTTPS()}} {
		b.Trusted, b.Clock = store(pki.Root), pki.Now
		d := mustDialer(t, b)
		if _, err := e.dial(t, d, "127.0.0.1:443"); err != nil {
			t.Error(err)
		}
		if _, err := e.dial(t, d, "127.0.0.2:443"); err == nil {
			t.Error("accepted under another address")
		}
	}
}

// Each destination gets its identity, and no session goes from one to another.
func TestDialerRoutes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	routes := new(tlsctx.Routes)
	for pattern, name := range map[string]string{"a.example": "for a", "a.example:8443": "for a at 8443", "*.example": "for the rest"} {
		if err := routes.Set(pattern, identity(pki.Client(name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := routes.Set("nobody.example", nil); err != nil {
		t.Fatal(err)
	}
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("a.example", "b.example", "nobody.example", "host.test")), Clock: pki.Now, ClientAuth: tlsctx.RequestClientAuth, Trusted: store(pki.Root)}))
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("fallback")), Routes: routes})
	check := func(at, want string) {
		t.Helper()
		for range 2 {
			if _, err := e.dial(t, d, at); err != nil {
				t.Fatal(err)
			}
			got := ""
			if certs := e.last.Load().PeerCertificates; len(certs) > 0 {
				got = certs[0].Subject.CommonName
				if len(certs) != 2 {
					t.Errorf("%d certificates were sent", len(certs))
				}
			}
			if got != want {
				t.Errorf("%s: presented %q, want %q", at, got, want)
			}
		}
	}
	check("a.example:443", "for a")
	check("a.example:8443", "for a at 8443")
	check("b.example:443", "for the rest")
	check("nobody.example:443", "")
	check("host.test:443", "fallback")
	if err := routes.Set("a.example", identity(pki.Client("new for a"))); err != nil {
		t.Fatal(err)
	}
	check("a.example:443", "new for a")
}

// The first connection after a change of identity presents the new one.
func TestDialerFollowsIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := new(swap)
	id.set(pki.Client("one"), nil)
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: id, ServerName: host}
	d := mustDialer(t, b)
	for _, name := range []string{"one", "two"} {
		id.set(pki.Client(name), nil)
		for range 2 {
			if _, err := e.dial(t, d, "x.example:443"); err != nil || e.last.Load().PeerCertificates[0].Subject.CommonName != name {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	id.set(nil, errors.New("the token is gone"))
	if _, err := e.dial(t, d, "x.example:443"); err == nil {
		t.Error("connected without its identity")
	}
}

// One connection fails where the server's new certificate is not trusted, and the
// first where it is succeeds, whatever was resumed before.
func TestDialerAfterRotation(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := new(swap)
	id.set(pki.Server(host), nil)
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: id, Clock: pki.Now}))
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now})
	for range 3 {
		for _, resumed := range []bool{false, true} {
			if s, err := e.dial(t, d, host+":443"); err != nil || s.DidResume != resumed {
				t.Errorf("resumed %v: %v", resumed, err)
			}
		}
		id.set(pki.Server(host), nil)
	}
}

func TestDialerContext(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root)})
	ctx, cancel := context.WithCancel(t.Context())
	d.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
		defer cancel()
		return net.Dial(network, address)
	}
	if _, err := d.DialContext(ctx, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := d.Handshake(t.Context(), closed{}, "no port"); err == nil {
		t.Error("an address without a port")
	}
}

type closed struct{ net.Conn }

func (closed) Close() error { return nil }

// A certificate that is revoked and replaced while the trust stays as it is: the first
// connection after that succeeds, although the server would resume.
func TestDialerAfterRevocation(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, version := range versions {
		old, fresh := pki.Server(host), pki.Server(host)
		certs := map[*testpki.Identity]*tls.Certificate{}
		for _, id := range []*testpki.Identity{old, fresh} {
			c := id.TLSCertificate()
			certs[id] = &c
		}
		var now atomic.Pointer[tls.Certificate]
		now.Store(certs[old])
		// Unlike that of a Builder, this server resumes what an old certificate began.
		e := newEcho(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return now.Load(), nil }, Time: pki.Now})
		var revoked atomic.Bool
		d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, MaxVersion: version, Revocation: revokes(func(c *x509.Certificate) bool { return revoked.Load() && c.Equal(old.Cert) })})
		for _, resumed := range []bool{false, true} {
			if s, err := e.dial(t, d, host+":443"); err != nil || s.DidResume != resumed {
				t.Fatalf("resumed %v: %v", resumed, err)
			}
		}
		now.Store(certs[fresh])
		revoked.Store(true)
		if s, err := e.dial(t, d, host+":443"); err != nil || !s.PeerCertificates[0].Equal(fresh.Cert) {
			t.Errorf("%v", err)
		}
		now.Store(certs[old])
		if _, err := e.dial(t, mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Revocation: revokes(func(*x509.Certificate) bool { return true })}), host+":443"); !errors.Is(err, trustkeep.ErrRevoked) {
			t.Errorf("%v", err)
		}
	}
}

// revokes is a checker by predicate.
type revokes func(*x509.Certificate) bool

func (r revokes) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	if r(q.Chain[0]) {
		return nil, trustkeep.ErrRevoked
	}
	return nil, nil
}
