package ftps_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// definition is one whose settings a test exchanges.
type definition struct {
	mu       sync.Mutex
	now      *tlsctx.Builder
	watchers map[*func(context.Context)]bool
}

func (d *definition) Settings() (*tlsctx.Builder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now, nil
}

func (d *definition) Notify(changed func(context.Context)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = make(map[*func(context.Context)]bool)
	}
	d.watchers[&changed] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, &changed)
	}
}

func (*definition) String() string { return "connection c" }

// set exchanges the settings, and returns when all have been told.
func (d *definition) set(b tlsctx.Builder) {
	d.mu.Lock()
	d.now = &b
	var all []func(context.Context)
	for changed := range d.watchers {
		all = append(all, *changed)
	}
	d.mu.Unlock()
	for _, changed := range all {
		changed(context.Background())
	}
}

func (d *definition) watched() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.watchers)
}

// A control connection, in either way, and data connections end when the definition no longer accepts
// the server.
func TestDefinitionEndsOpenConnections(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{})
	server := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	good := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	bad := good
	bad.Trusted = store(other.Root)
	below := func(address string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	for name, open := range map[string]func(f *ftps.Session) (net.Conn, error){
		"Control": func(f *ftps.Session) (net.Conn, error) {
			raw, err := net.Dial("tcp", server.control.Addr().String())
			must(t, err)
			return f.Control(t.Context(), raw)
		},
		"implicit": func(f *ftps.Session) (net.Conn, error) {
			return f.DialFunc(t.Context())("tcp", host+":21")
		},
		"Config": func(f *ftps.Session) (net.Conn, error) {
			config := f.Config()
			raw, err := f.DialFunc(t.Context())("tcp", host+":21")
			must(t, err)
			c := tls.Client(raw, config)
			return c, c.Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &definition{now: &good}
			b, err := tlsctx.Follow(d)
			must(t, err)
			f, err := ftps.Options{Implicit: name == "implicit", Dial: below(server.control.Addr().String())}.New(b, host+":21")
			must(t, err)
			control, err := open(f)
			must(t, err)
			defer control.Close()
			says := func() error {
				control.SetDeadline(time.Now().Add(10 * time.Second))
				_, err := control.Write([]byte{1})
				if err == nil {
					_, err = io.ReadFull(control, make([]byte, 1))
				}
				return err
			}
			must(t, says())
			raw, err := net.Dial("tcp", server.data.Addr().String())
			must(t, err)
			data := f.Data(t.Context(), raw)
			_, err = data.Write([]byte("a part"))
			must(t, err)
			unrelated := good
			unrelated.NextProtos = []string{"ftp"}
			d.set(unrelated)
			must(t, says())
			d.set(bad)
			if err := says(); err == nil {
				t.Error("the control connection goes on")
			}
			if _, err := data.Write([]byte("another")); err == nil {
				t.Error("the data connection goes on")
			}
			if err := data.Close(); err == nil && (<-server.uploads).err == nil {
				t.Error("the server takes the part for the whole")
			}
			control.Close()
			if n := d.watched(); n != 0 {
				t.Errorf("%d watchers remain", n)
			}
		})
	}
}

// A definition that changes during a handshake counts, and a connection that is closed watches nothing.
func TestDefinitionChangesDuringHandshake(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{})
	good := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	bad := good
	bad.Trusted = store(other.Root)
	for _, version := range versions {
		d := &definition{now: &good}
		server := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, MaxVersion: version}))
		b, err := tlsctx.Follow(d)
		must(t, err)
		b.Authorize = func(context.Context, tlsctx.Peer) error { d.set(bad); return nil } // the trust has been asked
		f, err := ftps.New(b, host+":21")
		must(t, err)
		raw, err := net.Dial("tcp", server.control.Addr().String())
		must(t, err)
		if c, err := f.Control(t.Context(), raw); err == nil {
			c.Close()
			t.Errorf("%s: accepted by trust of before", tls.VersionName(version))
		}
		if n := d.watched(); n != 0 {
			t.Errorf("%d watchers remain", n)
		}
	}
}

// Servers compare identities within a session, so another one needs another session.
func TestDefinitionWithAnotherIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	first := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("one"))}
	d := &definition{now: &first}
	b, err := tlsctx.Follow(d)
	must(t, err)
	f := server.session(t, b)
	second := first
	second.Identity = identity(pki.Client("two"))
	d.set(second)
	if _, err := server.upload(t.Context(), f, nil); !errors.Is(err, trustkeep.ErrOutdated) {
		t.Errorf("%v", err)
	}
	d.set(first)
	if _, err := server.upload(t.Context(), f, nil); err != nil {
		t.Error(err)
	}
}
