package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testdef"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func follow(t testing.TB, d tlsctx.Definition) tlsctx.Builder {
	t.Helper()
	b, err := tlsctx.Follow(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// swapped are two authorities, a server of the first, and settings that trust one of them.
type swapped struct {
	pki, other *testpki.PKI
	good, bad  tlsctx.Builder
}

func newSwapped(t testing.TB) *swapped {
	s := &swapped{pki: testpki.New(t, testpki.Options{}), other: testpki.New(t, testpki.Options{})}
	s.good = tlsctx.Builder{Trusted: store(s.pki.Root), Clock: s.pki.Now, ServerName: host}
	s.bad = s.good
	s.bad.Trusted = store(s.other.Root)
	return s
}

// Settings that change while a handshake is under way decide about it: a hook that is asked in its midst
// exchanges them.
func TestDefinitionChangesDuringHandshake(t *testing.T) {
	s := newSwapped(t)
	for _, version := range versions {
		plain := mustServer(t, tlsctx.Builder{Identity: identity(s.pki.Server(host)), Clock: s.pki.Now, MaxVersion: version})
		for name, make := range map[string]func(tlsctx.Builder) (*tls.Config, error){"Client": tlsctx.Builder.Client, "LiveClient": tlsctx.Builder.LiveClient} {
			d := testdef.Of(s.good)
			b := follow(t, d)
			b.Authorize = func(context.Context, tlsctx.Peer) error { d.Set(s.bad); return nil }
			cfg, err := make(b)
			if err != nil {
				t.Fatal(err)
			}
			if o := connect(t, cfg, plain); o.clientErr == nil {
				t.Errorf("%s, %s: the server is accepted by trust of before", name, tls.VersionName(version))
			}
		}
		me := tlsctx.Builder{Trusted: store(s.pki.Root), Clock: s.pki.Now, ServerName: host, Identity: identity(s.pki.Client("me"))}
		for name, tighten := range map[string]func(*tlsctx.Builder){
			"trust": func(b *tlsctx.Builder) { b.Trusted = s.bad.Trusted },
			"pins": func(b *tlsctx.Builder) {
				b.Pins = []truststore.Pin{truststore.PinCertificate(s.other.Root.Cert)}
			},
			"demanded": func(b *tlsctx.Builder) { b.ClientAuth = tlsctx.RequireClientAuth },
		} {
			settings := tlsctx.Builder{Identity: identity(s.pki.Server(host)), Clock: s.pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(s.pki.Root), MaxVersion: version}
			client := me
			if name == "demanded" {
				settings.ClientAuth, client.Identity = tlsctx.RequestClientAuth, nil
			}
			next := settings
			tighten(&next)
			d := testdef.Of(settings)
			b := follow(t, d)
			b.Authorize = func(context.Context, tlsctx.Peer) error { d.Set(next); return nil }
			if o := connect(t, mustClient(t, client), mustServer(t, b)); o.serverErr == nil {
				t.Errorf("Server, %s, %s: the client is accepted by settings of before", name, tls.VersionName(version))
			}
		}
	}
}

// A configuration for once that was refused during a change is good again when the change is taken back.
func TestOneOffConfigurationAfterThereAndBack(t *testing.T) {
	s := newSwapped(t)
	server := mustServer(t, tlsctx.Builder{Identity: identity(s.pki.Server(host)), Clock: s.pki.Now})
	d := testdef.Of(s.good)
	cfg := mustClient(t, follow(t, d))
	accept(t, cfg, server, false)
	for _, change := range []func(*tlsctx.Builder){
		func(b *tlsctx.Builder) { *b = s.bad },
		func(b *tlsctx.Builder) { b.MinVersion = tls.VersionTLS13 },
		func(b *tlsctx.Builder) { b.NextProtos = []string{"x"} },
	} {
		next := s.good
		change(&next)
		d.Set(next)
		for range 2 { // net/http and others clone it
			if o := refuse(t, cfg.Clone(), server); !errors.Is(o.clientErr, trustkeep.ErrOutdated) || strings.Contains(o.clientErr.Error(), "()") {
				t.Errorf("%v", o.clientErr)
			}
		}
		d.Set(s.good)
		if o := connect(t, cfg.Clone(), server); !o.ok() {
			t.Errorf("taken back: %v", o.clientErr)
		}
	}
	d.Fail(trustkeep.ErrNotFound)
	if o := refuse(t, cfg, server); !errors.Is(o.clientErr, trustkeep.ErrNotFound) {
		t.Errorf("deleted: %v", o.clientErr)
	}
}

// Open connections end when their version, suite or key exchange is no longer permitted, and not when
// others are.
func TestOpenConnectionsOfOtherParameters(t *testing.T) {
	s := newSwapped(t)
	weak := tlsctx.Builder{Identity: identity(s.pki.Server(host)), Clock: s.pki.Now, MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP384}}
	l := listen(t, weak)
	permitted := s.good
	for _, c := range []struct {
		name    string
		allows  bool
		setting func(*tlsctx.Builder, tls.ConnectionState)
	}{
		{"protocols", true, func(b *tlsctx.Builder, _ tls.ConnectionState) { b.NextProtos = []string{"x"} }},
		{"the same suite", true, func(b *tlsctx.Builder, open tls.ConnectionState) { b.CipherSuites = []uint16{open.CipherSuite} }},
		{"other suites", false, func(b *tlsctx.Builder, open tls.ConnectionState) {
			for _, suite := range []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384} {
				if suite != open.CipherSuite {
					b.CipherSuites = []uint16{suite}
				}
			}
		}},
		{"lowest version", false, func(b *tlsctx.Builder, _ tls.ConnectionState) { b.MinVersion = tls.VersionTLS13 }},
		{"key exchange", false, func(b *tlsctx.Builder, _ tls.ConnectionState) { b.CurvePreferences = []tls.CurveID{tls.X25519} }},
	} {
		d := testdef.Of(permitted)
		dialer, err := follow(t, d).Dialer()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dialer.DialContext(t.Context(), "tcp", l)
		if err != nil {
			t.Fatal(err)
		}
		next := permitted
		c.setting(&next, conn.(*tls.Conn).ConnectionState())
		d.Set(next)
		if closed := dialer.Recheck() == 1; closed == c.allows {
			t.Errorf("%s: closed %v", c.name, closed)
		}
		conn.Close()
		if n := d.Watchers(); n != 0 {
			t.Errorf("%s: %d watchers remain", c.name, n)
		}
	}
}

// listen runs a server that answers what it gets, and returns its address.
func listen(t testing.TB, b tlsctx.Builder) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	return inner.Addr().String()
}

// incomparable is a source that has no ==.
type incomparable struct {
	truststore.Source
	_ func()
}

// Settings that nobody can compare would be taken for those of the program, and never follow.
func TestIncomparableSettings(t *testing.T) {
	s := newSwapped(t)
	bad := s.good
	bad.Trusted = incomparable{Source: s.good.Trusted}
	if _, err := tlsctx.Follow(testdef.Of(bad)); !errors.Is(err, trustkeep.ErrInvalid) || !strings.Contains(err.Error(), "Trusted") {
		t.Errorf("%v", err)
	}
}

// What a program assigns counts, even if it is what the definition has; all else follows, by For and in copies too.
func TestAssignedFieldsOfAFollowedBuilder(t *testing.T) {
	s := newSwapped(t)
	server := mustServer(t, tlsctx.Builder{Identity: identity(s.pki.Server(host)), Clock: s.pki.Now})
	d := testdef.Of(s.good)
	b := follow(t, d)
	copied := b.For(host + ":1").For(host + ":443")
	copied.NextProtos = []string{"x"}
	same := b
	same.ServerName = host // as it is: no change
	d.Set(s.bad)
	for name, b := range map[string]tlsctx.Builder{"copied": copied, "the same name": same} {
		b.NextProtos = nil
		refuse(t, mustClient(t, b), server)
		dialer, err := b.Dialer()
		if err != nil {
			t.Fatal(err)
		}
		if now, err := b.Current(); err != nil || now.Trusted != s.bad.Trusted {
			t.Errorf("%s: %v", name, err)
		}
		near, far := net.Pipe()
		go func() { tls.Server(far, server).Handshake(); far.Close() }()
		if _, err := dialer.Handshake(t.Context(), near, host+":443"); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// 1,000 swaps under handshakes: once the last swap is done, nothing succeeds by settings of before, and no
// connection that did so before it is left open.
func TestSwapsUnderHandshakes(t *testing.T) {
	s := newSwapped(t)
	server := identity(s.pki.Server(host))
	client := identity(s.pki.Client("me"))
	d := testdef.Of(s.good)
	b := follow(t, d)
	address := listen(t, tlsctx.Builder{Identity: server, Clock: s.pki.Now})
	demanding := s.good
	demanding.Identity, demanding.ClientAuth = server, tlsctx.RequireClientAuth
	ds := testdef.Of(demanding)
	strict := demanding
	strict.Trusted = s.bad.Trusted
	followed := listen(t, follow(t, ds))
	me := tlsctx.Builder{Trusted: store(s.pki.Root), Clock: s.pki.Now, ServerName: host, Identity: client}
	dialer, err := b.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	visitor, err := me.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	live, err := b.LiveClient()
	if err != nil {
		t.Fatal(err)
	}
	says := func(c net.Conn) error {
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	var swaps atomic.Int32
	const last = 1000
	var mu sync.Mutex
	var open []net.Conn
	var succeeded [3]atomic.Int32
	one := func(i int, ctx context.Context) {
		began := swaps.Load()
		var c net.Conn
		var err error
		switch i {
		case 0:
			c, err = dialer.DialContext(ctx, "tcp", address)
		case 1:
			c, err = visitor.DialContext(ctx, "tcp", followed)
			if err == nil {
				err = says(c)
			}
		case 2:
			c, err = (&tls.Dialer{Config: live}).DialContext(ctx, "tcp", address)
		}
		if c == nil {
			return
		}
		if err == nil {
			succeeded[i].Add(1)
			if began == last {
				t.Errorf("way %d succeeds after the last swap", i)
			}
		}
		if i == 2 || err != nil {
			c.Close()
			return
		}
		mu.Lock()
		open = append(open, c)
		mu.Unlock()
	}
	attempt := make(chan struct{})
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for swaps.Load() < last && t.Context().Err() == nil {
				select {
				case attempt <- struct{}{}:
				default:
				}
				one(i%3, t.Context())
			}
			for range 20 {
				one(i%3, t.Context())
			}
		})
	}
	for i := range last {
		d.Set([]tlsctx.Builder{s.good, s.bad}[i%2])
		ds.Set([]tlsctx.Builder{demanding, strict}[i%2])
		if i == last-1 {
			swaps.Store(last)
			break
		}
		<-attempt // a handshake for each
	}
	all.Wait()
	for i := range succeeded {
		t.Logf("way %d: %d handshakes", i, succeeded[i].Load())
	}
	for _, c := range open {
		if err := says(c); err == nil {
			t.Error("an open connection of before goes on")
		}
		c.Close()
	}
	if n := d.Watchers() + ds.Watchers(); n != 0 {
		t.Errorf("%d watchers remain", n)
	}
}
