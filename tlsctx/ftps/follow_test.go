package ftps_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testdef"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

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
			d := testdef.Of(good)
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
			d.Set(unrelated)
			must(t, says())
			d.Set(bad)
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
			if n := d.Watchers(); n != 0 {
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
		d := testdef.Of(good)
		server := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, MaxVersion: version}))
		b, err := tlsctx.Follow(d)
		must(t, err)
		b.Authorize = func(context.Context, tlsctx.Peer) error { d.Set(bad); return nil } // the trust has been asked
		f, err := ftps.New(b, host+":21")
		must(t, err)
		raw, err := net.Dial("tcp", server.control.Addr().String())
		must(t, err)
		if c, err := f.Control(t.Context(), raw); err == nil {
			c.Close()
			t.Errorf("%s: accepted by trust of before", tls.VersionName(version))
		}
		if n := d.Watchers(); n != 0 {
			t.Errorf("%d watchers remain", n)
		}
	}
}

// Servers compare identities within a session, so another one needs another session.
func TestDefinitionWithAnotherIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	first := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("one"))}
	d := testdef.Of(first)
	b, err := tlsctx.Follow(d)
	must(t, err)
	f := server.session(t, b)
	second := first
	second.Identity = identity(pki.Client("two"))
	d.Set(second)
	if _, err := server.upload(t.Context(), f, nil); !errors.Is(err, trustkeep.ErrOutdated) {
		t.Errorf("%v", err)
	}
	d.Set(first)
	if _, err := server.upload(t.Context(), f, nil); err != nil {
		t.Error(err)
	}
}
