package environment_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// echo runs a server by a Builder that answers what it gets.
func echo(t *testing.T, b tlsctx.Builder) string {
	t.Helper()
	config := check(b.Server())(t)
	return testnet.Serve(t, func(raw net.Conn) {
		defer raw.Close()
		c := tls.Server(raw, config)
		io.Copy(c, c)
	})
}

// says reports whether the other end answers.
func says(c net.Conn) error {
	if _, err := c.Write([]byte{'!'}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// following is a world with a connection "c" without settings, A deployed and B not, and servers
// of both.
type following struct {
	*world
	atom *environment.Atom
	a, b string
}

func newFollowing(t *testing.T, o environment.AtomOptions) *following {
	t.Helper()
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.test.Deploy(t.Context(), "a"))
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "c", ServerName: "localhost"}))
	f := &following{world: w, atom: w.attach("one", o)}
	f.a = echo(t, tlsctx.Builder{Identity: check(f.atom.Identity("server-a"))(t), Clock: w.clock.Now})
	f.b = echo(t, tlsctx.Builder{Identity: check(f.atom.Identity("server-b"))(t), Clock: w.clock.Now})
	return f
}

// override changes the connection and waits until the atom has seen it.
func (f *following) override(o environment.Override) {
	f.t.Helper()
	changed := f.atom.Changed()
	must(f.t, f.test.Override(f.t.Context(), "c", o))
	wait(f.t, changed)
}

func (f *following) set(c environment.Connection) {
	f.t.Helper()
	changed := f.atom.Changed()
	must(f.t, f.SetConnection(f.t.Context(), c))
	wait(f.t, changed)
}

func wait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
}

var trustB = environment.Override{Trusted: &[]string{"b"}}

// A way to use a Builder: it connects and says something.
var ways = map[string]func(*testing.T, tlsctx.Builder) func(address string) error{
	"Dialer": func(t *testing.T, b tlsctx.Builder) func(string) error {
		d := check(b.Dialer())(t)
		return func(address string) error { return connected(d.DialContext(t.Context(), "tcp", address)) }
	},
	"Destinations": func(t *testing.T, b tlsctx.Builder) func(string) error {
		d := new(tlsctx.Destinations)
		must(t, d.Set("*", b))
		return func(address string) error { return connected(d.DialContext(t.Context(), "tcp", address)) }
	},
	"LiveClient": func(t *testing.T, b tlsctx.Builder) func(string) error {
		cfg := check(b.LiveClient())(t)
		return func(address string) error {
			c, err := tls.Dial("tcp", address, cfg)
			if err != nil {
				return err
			}
			return connected(c, err)
		}
	},
}

func connected(c net.Conn, err error) error {
	if err != nil {
		return err
	}
	defer c.Close()
	return says(c)
}

func TestConnectionFollowsItsDefinition(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			f := newFollowing(t, environment.AtomOptions{})
			dial := way(t, check(f.atom.Connection("c"))(t))
			expect := func(when string, a, b bool) {
				t.Helper()
				for address, want := range map[string]bool{f.a: a, f.b: b} {
					if err := dial(address); (err == nil) != want {
						t.Errorf("%s: server A %v, accepted should be %v: %v", when, address == f.a, want, err)
					}
				}
			}
			expect("as it was", true, false)
			f.override(trustB)
			expect("overridden to trust B", false, true)
			f.override(environment.Override{})
			expect("as it was again", true, false)
			leaf := check(f.atom.Component("b"))(t)
			both := environment.Connection{ID: "c", ServerName: "localhost", Trusted: []string{"a", "b"}}
			f.set(both)
			expect("set to trust both", true, true)
			both.Pins = []truststore.Pin{truststore.PinCertificate(certificateOf(t, leaf))}
			f.set(both)
			expect("pinned to B", false, true)
			both.Pins = nil
			f.set(both)
			expect("pinned no more", true, true)
			changed := f.atom.Changed()
			must(t, f.DeleteConnection(t.Context(), "c"))
			wait(t, changed)
			expect("deleted", false, false)
			if err := dial(f.a); !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("deleted: %v", err)
			}
		})
	}
}

// The reproducer: an old Transport still reached A, and Recheck closed nothing.
func TestTightenedConnectionEndsWhatIsOpen(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	b := check(f.atom.Connection("c"))(t)
	transport := check(b.Transport(nil))(t)
	server := serveHTTP(t, f)
	get := func() error {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+server+"/", nil)
		must(t, err)
		response, err := transport.RoundTrip(r)
		if err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		return err
	}
	must(t, get())
	d := check(b.Dialer())(t)
	d.Track = true
	open := check(d.DialContext(t.Context(), "tcp", f.a))(t)
	defer open.Close()
	must(t, says(open))

	f.override(trustB)
	if n := d.Recheck(); n != 1 {
		t.Errorf("Recheck of the Dialer ended %d connections", n)
	}
	if n := transport.Recheck(); n != 1 {
		t.Errorf("Recheck of the Transport ended %d connections", n)
	}
	if err := says(open); err == nil {
		t.Error("an open connection goes on")
	}
	if err := get(); err == nil {
		t.Error("the Transport still reaches A")
	}
}

func serveHTTP(t *testing.T, f *following) string {
	t.Helper()
	inner := check(net.Listen("tcp", "127.0.0.1:0"))(t)
	l := check(tlsctx.Builder{Identity: check(f.atom.Identity("server-a"))(t), Clock: f.clock.Now}.Listen(inner))(t)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Shutdown(context.WithoutCancel(t.Context())); s.Close(); <-done })
	return inner.Addr().String()
}

func certificateOf(t *testing.T, c *component.Component) *x509.Certificate {
	t.Helper()
	return check(keystore.CertificateOf(c))(t)
}

// What a process was deployed with is stale when a definition or an override changes as well.
func TestStaleDefinitions(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	must(t, f.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"c"}}))
	must(t, f.test.DeployProcess(ctx, "orders"))
	expect := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, s := range check(f.test.Stale(ctx))(t) {
			for _, d := range s.Differs {
				got = append(got, s.Process+"/"+s.Connection+": "+d)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", when, got)
		}
	}
	expect("as deployed")
	f.override(trustB)
	expect("overridden", "orders/c: Trusted [b], deployed with unset")
	must(t, f.test.DeployProcess(ctx, "orders"))
	expect("deployed again")
	c := check(f.Connection(ctx, "c"))(t)
	c.ServerName = "other.example"
	f.set(c)
	expect("another name", `orders/c: ServerName "other.example", deployed with "localhost"`)
	p := check(f.Process(ctx, "orders"))(t)
	p.Components = []string{"a"}
	must(t, f.SetProcess(ctx, p))
	expect("another component", "orders/: Components [a], deployed with unset", `orders/c: ServerName "other.example", deployed with "localhost"`)
}

// A process's connections follow its deployment, and end with it.
func TestUndeployedProcessEndsItsConnections(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	must(t, f.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"c"}}))
	must(t, f.test.DeployProcess(ctx, "orders"))
	settled(t, f.atom, func(a *environment.Atom) bool { _, err := a.Process("orders"); return err == nil })
	d := check(check(check(f.atom.Process("orders"))(t).Connection("c"))(t).Dialer())(t)
	f.override(trustB)
	open := check(d.DialContext(ctx, "tcp", f.a))(t) // frozen
	defer open.Close()
	changed := f.atom.Changed()
	must(t, f.test.DeployProcess(ctx, "orders"))
	wait(t, changed)
	if _, err := d.DialContext(ctx, "tcp", f.a); err == nil {
		t.Error("deployed again, and reaches A as before")
	}
	if n := d.Recheck(); n != 1 || says(open) == nil {
		t.Errorf("Recheck ended %d", n)
	}
	last := check(d.DialContext(ctx, "tcp", f.b))(t)
	defer last.Close()
	must(t, f.test.UndeployProcess(ctx, "orders"))
	if _, err := io.ReadFull(last, make([]byte, 1)); err == nil { // nobody calls Recheck
		t.Error("an open connection of a process that was undeployed goes on")
	}
	if _, err := d.DialContext(ctx, "tcp", f.b); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("undeployed: %v", err)
	}
}

// A configuration for once is outdated by a change of the definition, and says so; resumed
// sessions too.
func TestOneOffConfigurationIsOutdated(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	b := check(f.atom.Connection("c"))(t)
	once, live := check(b.Client())(t), check(b.LiveClient())(t)
	dial := func(cfg *tls.Config) (bool, error) {
		c, err := tls.Dial("tcp", f.a, cfg)
		if err != nil {
			return false, err
		}
		defer c.Close()
		return c.ConnectionState().DidResume, says(c)
	}
	for i, want := range []bool{false, true} {
		if resumed, err := dial(once); err != nil || resumed != want {
			t.Fatalf("%d: resumed %v, %v", i, resumed, err)
		}
	}
	f.override(trustB)
	_, err := dial(once)
	if !errors.Is(err, trustkeep.ErrOutdated) || !strings.Contains(err.Error(), "the definition of connection c has changed, ask again") {
		t.Errorf("%v", err)
	}
	var explained *tlsctx.HandshakeError
	if !errors.As(b.ExplainError(err), &explained) || explained.Code != tlsctx.CodeOutdated {
		t.Errorf("%v", explained)
	}
	f.override(environment.Override{})
	if _, err := dial(live); err != nil {
		t.Error(err)
	}
	f.set(environment.Connection{ID: "c", ServerName: "localhost", MinVersion: tls.VersionTLS13, Revision: check(f.Connection(t.Context(), "c"))(t).Revision})
	if _, err := dial(live); !errors.Is(err, trustkeep.ErrOutdated) {
		t.Errorf("another version: %v", err)
	}
}

// A partner's set follows.
func TestPartnerFollows(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	p := environment.Partner{ID: "p", Members: []environment.PartnerMember{{Component: "a", Uses: partner.VerifyTLS}}}
	changed := f.atom.Changed()
	must(t, f.SetPartner(ctx, p))
	wait(t, changed)
	set := check(f.atom.Partner("p"))(t)
	live := partner.Live[*component.Component]{Set: set, Certificate: func(c *component.Component) (*x509.Certificate, error) { return keystore.CertificateOf(c) }}
	dial := ways["Dialer"](t, tlsctx.Builder{Trusted: live.Trust(partner.VerifyTLS), ServerName: "localhost", Clock: f.clock.Now})
	must(t, dial(f.a))
	p = check(f.Registry.Partner(ctx, "p"))(t)
	p.Members[0].Component = "b"
	changed = f.atom.Changed()
	must(t, f.SetPartner(ctx, p))
	wait(t, changed)
	if err := dial(f.a); err == nil {
		t.Error("a former member is trusted")
	}
	must(t, dial(f.b))
	changed = f.atom.Changed()
	must(t, f.DeletePartner(ctx, "p"))
	wait(t, changed)
	if err := dial(f.b); !errors.Is(err, trustkeep.ErrNotFound) || len(set.Members()) != 0 {
		t.Errorf("deleted: %v", err)
	}
	if err := set.Remove("x"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// Definitions are swapped under handshakes: each reaches one of the two servers, none both, and
// nobody else.
func TestDefinitionsChangeUnderHandshakes(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	b := check(f.atom.Connection("c"))(t)
	var ends sync.WaitGroup
	done := make(chan struct{})
	for _, way := range ways {
		dial := way(t, b)
		ends.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					dial(f.a)
					dial(f.b)
				}
			}
		})
	}
	for range 20 {
		f.override(trustB)
		f.override(environment.Override{})
	}
	f.override(trustB)
	close(done)
	ends.Wait()
	for name, way := range ways {
		dial := way(t, b)
		if dial(f.a) == nil || dial(f.b) != nil {
			t.Errorf("%s is not as it was set last", name)
		}
	}
}

// A server's configuration and a Listener follow ClientAuth and the identity. A client without a
// certificate is ended when one is demanded.
func TestListenerFollowsItsDefinition(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	c := environment.Connection{ID: "c", ServerName: "localhost", Identity: "server-a"}
	set := func() {
		c.Revision = check(f.Connection(t.Context(), "c"))(t).Revision
		f.set(c)
	}
	set()
	b := check(f.atom.Connection("c"))(t)
	bare := echo(t, b)
	inner := check(net.Listen("tcp", "127.0.0.1:0"))(t)
	l := check(b.Listen(inner))(t)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	leaf := func(id string) *truststore.Truststore {
		return truststore.New(certificateOf(t, check(f.atom.Component(id))(t)))
	}
	client := tlsctx.Builder{Trusted: leaf("a"), ServerName: "localhost", Clock: f.clock.Now}
	d := check(client.Dialer())(t)
	open := check(d.DialContext(t.Context(), "tcp", inner.Addr().String()))(t)
	defer open.Close()
	must(t, says(open))

	c.ClientAuth = tlsctx.RequireClientAuth
	set()
	if n := l.Recheck(); n != 1 {
		t.Errorf("Recheck ended %d connections", n)
	}
	for _, address := range []string{inner.Addr().String(), bare} {
		if err := connected(d.DialContext(t.Context(), "tcp", address)); err == nil {
			t.Errorf("%s: a client without a certificate is served", address)
		}
	}
	client.Identity = check(f.atom.Identity("server-a"))(t)
	d = check(client.Dialer())(t)
	for _, address := range []string{inner.Addr().String(), bare} {
		must(t, connected(d.DialContext(t.Context(), "tcp", address)))
	}
	c.ClientAuth, c.Identity = tlsctx.NoClientAuth, "server-b"
	set()
	client.Trusted, client.Identity = leaf("b"), nil
	d = check(client.Dialer())(t)
	for _, address := range []string{inner.Addr().String(), bare} {
		must(t, connected(d.DialContext(t.Context(), "tcp", address)))
	}
}

// A followed Builder makes handshakes at the cost of one that follows nothing.
func BenchmarkHandshakeOfAConnection(b *testing.B) {
	for name, of := range map[string]func(tlsctx.Builder) (tlsctx.Builder, error){
		"followed": func(c tlsctx.Builder) (tlsctx.Builder, error) { return c, nil }, "not followed": tlsctx.Builder.Current,
	} {
		b.Run(name, func(b *testing.B) {
			pki := pkitest.New(b)
			settings := &tlsctx.Builder{Trusted: pki.Trust(), ServerName: "localhost", Clock: pki.Now}
			built, err := tlsctx.Follow(constant{settings})
			if err == nil {
				built, err = of(built)
			}
			if err != nil {
				b.Fatal(err)
			}
			server, err := tlsctx.Builder{Identity: pki.NewServer("localhost"), Clock: pki.Now}.Server()
			if err != nil {
				b.Fatal(err)
			}
			d, err := built.Dialer()
			if err != nil {
				b.Fatal(err)
			}
			d.Track = true
			for b.Loop() {
				near, far := net.Pipe()
				go func() { c := tls.Server(far, server); c.Handshake(); io.Copy(io.Discard, c); c.Close() }()
				c, err := d.Handshake(b.Context(), near, "localhost:443")
				if err != nil {
					b.Fatal(err)
				}
				c.(*tls.Conn).NetConn().Close()
			}
		})
	}
}

// constant is a definition that never changes.
type constant struct{ b *tlsctx.Builder }

func (c constant) Settings() (*tlsctx.Builder, error)       { return c.b, nil }
func (constant) Notify(func(context.Context)) (stop func()) { return func() {} }
func (constant) String() string                             { return "a constant" }
