package environment_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// opened dials and says something.
func opened(t *testing.T, d *tlsctx.Dialer, address string) net.Conn {
	t.Helper()
	c := check(d.DialContext(t.Context(), "tcp", address))(t)
	t.Cleanup(func() { c.Close() })
	must(t, says(c))
	return c
}

// ends expects that a connection is closed on this side, without anybody asking for it.
func ends(t *testing.T, what string, c net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(c, make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%s: an open connection goes on: %v", what, err)
	}
}

// Connections without settings end like those of a definition.
func TestImplicitEndsWhatIsNoLongerTrusted(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	b := f.atom.Implicit()
	b.ServerName = "localhost"
	d := check(b.Dialer())(t)
	open := opened(t, d, f.a)
	must(t, f.test.Deploy(t.Context(), "b"))
	settled(t, f.atom, func(*environment.Atom) bool { return connected(d.DialContext(t.Context(), "tcp", f.b)) == nil })
	must(t, says(open))
	must(t, f.test.Undeploy(t.Context(), "a"))
	ends(t, "withdrawn", open)
}

// Whatever ends a definition ends what is open, and what comes back under its name counts again.
func TestWhatEndsADefinition(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	d := check(check(f.atom.Connection("c"))(t).Dialer())(t)
	refused := func(what string, sentinel error) {
		t.Helper()
		if _, err := d.DialContext(ctx, "tcp", f.a); !errors.Is(err, sentinel) {
			t.Errorf("%s: %v", what, err)
		}
	}
	change := func(do func() error) {
		t.Helper()
		changed := f.atom.Changed()
		must(t, do())
		wait(t, changed)
	}
	open := opened(t, d, f.a)
	change(func() error { return f.DeleteConnection(ctx, "c") })
	ends(t, "deleted", open)
	refused("deleted", trustkeep.ErrNotFound)
	f.set(environment.Connection{ID: "c", ServerName: "localhost"})
	open = opened(t, d, f.a)
	check(f.CreateEnvironment(ctx, "staging"))(t)
	f.set(environment.Connection{ID: "c", ServerName: "localhost", Environments: []string{"staging"}, Revision: check(f.Connection(ctx, "c"))(t).Revision})
	ends(t, "elsewhere", open)
	refused("elsewhere", trustkeep.ErrNotFound)
	f.set(environment.Connection{ID: "c", ServerName: "localhost", Revision: check(f.Connection(ctx, "c"))(t).Revision})
	open = opened(t, d, f.a)
	must(t, f.test.Detach(ctx, f.atom.ID()))
	change(func() error { return f.DeleteEnvironment(ctx, "test") })
	ends(t, "the environment is deleted", open)
	refused("the environment is deleted", trustkeep.ErrNotFound)
}

// An atom that is closed changes nothing any more: what it handed out keeps its last state.
func TestClosedAtomEndsNothing(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	d := check(check(f.atom.Connection("c"))(t).Dialer())(t)
	open := opened(t, d, f.a)
	must(t, f.atom.Close())
	must(t, f.test.Override(t.Context(), "c", trustB))
	must(t, says(open))
	must(t, connected(d.DialContext(t.Context(), "tcp", f.a)))
	if n := d.Recheck(); n != 0 {
		t.Errorf("Recheck ended %d", n)
	}
}

// A member that leaves a partner takes the open connections with it that it was trusted for.
func TestFormerMemberEndsOpenConnections(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	member := func(id string) environment.PartnerMember {
		return environment.PartnerMember{Component: id, Uses: partner.VerifyTLS}
	}
	must(t, f.SetPartner(ctx, environment.Partner{ID: "p", Members: []environment.PartnerMember{member("a"), member("b")}}))
	f.set(environment.Connection{ID: "c", ServerName: "localhost", TrustedPartner: "p", Revision: check(f.Connection(ctx, "c"))(t).Revision})
	d := check(check(f.atom.Connection("c"))(t).Dialer())(t)
	a, b := opened(t, d, f.a), opened(t, d, f.b)
	p := check(f.Registry.Partner(ctx, "p"))(t)
	p.Members = []environment.PartnerMember{member("b")}
	must(t, f.SetPartner(ctx, p))
	ends(t, "no member any more", a)
	must(t, says(b))
	if connected(d.DialContext(ctx, "tcp", f.a)) == nil {
		t.Error("the former member is trusted")
	}
}

// Every setting reaches a Dialer that was made before, loosened and tightened, and the connections that it
// has opened.
func TestEverySettingReachesWhatIsOpen(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	leaf := certificateOf(t, check(f.atom.Component("a"))(t))
	other := certificateOf(t, check(f.atom.Component("b"))(t))
	base := environment.Connection{ID: "c", ServerName: "localhost", Trusted: []string{"a"}}
	set := func(change func(*environment.Connection)) {
		t.Helper()
		c := base
		change(&c)
		c.Revision = check(f.Connection(ctx, "c"))(t).Revision
		f.set(c)
	}
	set(func(*environment.Connection) {})
	d := check(check(f.atom.Connection("c"))(t).Dialer())(t)
	weak := tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	for _, c := range []struct {
		name     string
		change   func(*environment.Connection)
		accepted bool // the server, and with it what is open
		open     bool
	}{
		{"pins that fit", func(c *environment.Connection) { c.Pins = []truststore.Pin{truststore.PinCertificate(leaf)} }, true, true},
		{"pins of another", func(c *environment.Connection) { c.Pins = []truststore.Pin{truststore.PinCertificate(other)} }, false, false},
		{"another name", func(c *environment.Connection) { c.ServerName = "other.example" }, false, false},
		{"another name, allowed", func(c *environment.Connection) {
			c.ServerName, c.Allow = "other.example", []truststore.Relaxation{truststore.AllowAnyName}
		}, true, true},
		{"lowest version", func(c *environment.Connection) { c.MinVersion = tls.VersionTLS13 }, true, true},
		{"highest version", func(c *environment.Connection) { c.MaxVersion = tls.VersionTLS12 }, true, false},
		{"protocols", func(c *environment.Connection) { c.NextProtos = []string{"x"} }, true, true},
		{"suites of TLS 1.2", func(c *environment.Connection) { c.CipherSuites = []uint16{weak} }, true, true},
		{"URI", func(c *environment.Connection) { c.ServerURI = "spiffe://domain.example/x" }, false, false},
		{"trust domain", func(c *environment.Connection) { c.TrustDomain = "domain.example" }, false, false},
		{"policy", func(c *environment.Connection) { c.Policy = truststore.Policy{KeyTypes: []string{"P-521"}} }, false, false},
		{"client authentication", func(c *environment.Connection) { c.ClientAuth = tlsctx.RequireClientAuth }, true, true},
		{"trust", func(c *environment.Connection) { c.Trusted = []string{"b"} }, false, false},
	} {
		open := opened(t, d, f.a)
		set(c.change)
		if err := connected(d.DialContext(ctx, "tcp", f.a)); (err == nil) != c.accepted {
			t.Errorf("%s: %v", c.name, err)
		}
		if closed := d.Recheck() > 0; closed == c.open {
			t.Errorf("%s: what was open is closed: %v", c.name, closed)
		} else if c.open {
			must(t, says(open))
		}
		open.Close()
		set(func(*environment.Connection) {})
		if err := connected(d.DialContext(ctx, "tcp", f.a)); err != nil {
			t.Errorf("%s, taken back: %v", c.name, err)
		}
	}
}

// Changes that do not concern a connection leave its pool alone.
func TestPoolsAreKept(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	ctx := t.Context()
	address := serveHTTP(t, f)
	transport := check(check(f.atom.Connection("c"))(t).Transport(nil))(t)
	reused := func() (reused bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
		r := check(http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), "GET", "https://"+address+"/", nil))(t)
		response := check(transport.RoundTrip(r))(t)
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return reused
	}
	reused()
	step := func(what string, want bool, do func() error) {
		t.Helper()
		changed := f.atom.Changed()
		must(t, do())
		wait(t, changed)
		if reused() != want {
			t.Errorf("%s: reused %v", what, !want)
		}
	}
	step("another connection", true, func() error {
		return f.SetConnection(ctx, environment.Connection{ID: "d", Trusted: []string{"b"}})
	})
	step("another's override", true, func() error { return f.test.Override(ctx, "d", environment.Override{ServerName: new("x.example")}) })
	step("settings of servers", true, func() error {
		return f.test.Override(ctx, "c", environment.Override{ClientAuth: new(tlsctx.RequestClientAuth)})
	})
	step("something is deployed", false, func() error { return f.test.Deploy(ctx, "b") })
	step("pins", false, func() error {
		return f.test.Override(ctx, "c", environment.Override{Revision: check(f.test.Overrides(ctx))(t)["c"].Revision, Pins: &[]truststore.Pin{truststore.PinCertificate(certificateOf(t, check(f.atom.Component("a"))(t)))}})
	})
}

// Asking for a connection costs nothing that lasts.
func TestConnectionsLeaveNothingBehind(t *testing.T) {
	f := newFollowing(t, environment.AtomOptions{})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	ask := func(n int) {
		for range n {
			check(check(f.atom.Connection("c"))(t).Dialer())(t)
			f.atom.Implicit()
		}
	}
	ask(1000)
	routines, before := runtime.NumGoroutine(), heap()
	ask(50_000)
	if n := runtime.NumGoroutine(); n > routines {
		t.Errorf("%d goroutines more", n-routines)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("the heap has grown by %d KiB", (after-before)>>10)
	}
}

// OnChange may call back into the atom and what it has handed out.
func TestOnChangeCallsBack(t *testing.T) {
	var f *following
	var d *tlsctx.Dialer
	told := make(chan int, 16)
	ready := make(chan struct{})
	f = newFollowing(t, environment.AtomOptions{OnChange: func() {
		select {
		case <-ready:
		default:
			return
		}
		if _, err := f.atom.Connection("c"); err != nil {
			t.Error(err)
		}
		f.atom.Implicit()
		f.atom.Changed()
		told <- d.Recheck()
	}})
	d = check(check(f.atom.Connection("c"))(t).Dialer())(t)
	open := opened(t, d, f.a)
	close(ready)
	must(t, f.test.Override(t.Context(), "c", trustB))
	if n := <-told; n != 1 {
		t.Errorf("Recheck ended %d", n)
	}
	ends(t, "overridden", open)
}
