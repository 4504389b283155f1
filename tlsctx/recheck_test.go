package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// code is that of a *truststore.VerifyError.
func code(err error) trustkeep.Code {
	if v, ok := errors.AsType[*truststore.VerifyError](err); ok {
		return v.Code
	}
	return ""
}

// Connections that are open when trust shrinks are closed where that is asked for, on
// either side, and only those.
func TestRecheck(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	for _, version := range versions {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		serverTrust := store(a.Root, b.Root)
		listener, err := tlsctx.Builder{Identity: identity(a.Server(host)), ClientAuth: tlsctx.RequestClientAuth, Trusted: serverTrust, Clock: a.Now, MaxVersion: version}.Listen(inner)
		if err != nil {
			t.Fatal(err)
		}
		testnet.ServeOn(t, listener, func(conn net.Conn) { io.Copy(conn, conn) })
		clientTrust := store(a.Root, b.Root)
		dial := func(id trustkeep.Identity) (*tlsctx.Dialer, net.Conn) {
			t.Helper()
			d := mustDialer(t, tlsctx.Builder{Trusted: clientTrust, Identity: id, ServerName: host, Clock: a.Now})
			d.Track = true
			conn, err := d.DialContext(context.Background(), "tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return d, conn
		}
		works := func(conn net.Conn) bool {
			conn.SetDeadline(time.Now().Add(time.Minute))
			_, werr := conn.Write([]byte("x"))
			_, rerr := io.ReadFull(conn, make([]byte, 1))
			return werr == nil && rerr == nil
		}
		_, ofA := dial(identity(a.Client("a")))
		_, ofB := dial(identity(b.Client("b")))
		d, none := dial(nil)
		for _, c := range []net.Conn{ofA, ofB, none} {
			if !works(c) {
				t.Fatal("an echo was expected")
			}
		}
		if n := listener.Recheck() + d.Recheck() + len(listener.Stale()) + len(d.Stale()); n != 0 {
			t.Errorf("%d were closed although nothing has changed", n)
		}
		if err := serverTrust.RemoveCertificate(b.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if s := listener.Stale(); len(s) != 1 || s[0].RemoteAddr.String() != ofB.LocalAddr().String() || s[0].ServerName != "" || len(s[0].Chain) != 2 || code(s[0].Err) == "" || !works(ofB) {
			t.Errorf("%s: %+v", tls.VersionName(version), s)
		}
		if n := listener.Recheck(); n != 1 || works(ofB) || !works(ofA) || !works(none) {
			t.Errorf("%s: %d were closed", tls.VersionName(version), n)
		}
		if err := clientTrust.RemoveCertificate(a.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if s := d.Stale(); len(s) != 1 || s[0].ServerName != host || code(s[0].Err) == "" || !works(none) {
			t.Errorf("%s: %+v", tls.VersionName(version), s)
		}
		if n := d.Recheck(); n != 1 || len(d.Stale()) != 0 || works(none) || d.Recheck() != 0 {
			t.Errorf("%s: %d were closed", tls.VersionName(version), n)
		}
		ofA.Close()
		inner.Close()
	}
	if _, err := (tlsctx.Builder{Trusted: truststore.New()}).Listen(nil); err == nil {
		t.Error("a server without identity")
	}
}

// Trust that is gone altogether by the end of a handshake has a code too.
func TestRecheckWithoutTrust(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	trust := store(pki.Root)
	d := mustDialer(t, tlsctx.Builder{Trusted: trust, Clock: pki.Now})
	d.Track = true
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, e.address)
		return &afterWrites{raw, 2, func() {
			must(t, trust.RemoveCertificate(pki.Root.Cert))
			d.Recheck()
		}}, err
	}
	_, err := d.DialContext(t.Context(), "tcp", host+":443")
	if why := explained(t, err); why.Code != tlsctx.CodeSetup || !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("%v", err)
	}
}

// afterWrites calls a function once so many writes have been made.
type afterWrites struct {
	net.Conn
	left int
	then func()
}

func (c *afterWrites) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.left--; c.left == 0 {
		c.then()
	}
	return n, err
}

// Trust that shrinks while a handshake is under way, when the peer has been accepted
// and Recheck cannot see it yet, ends the connection all the same.
func TestRecheckDuringHandshake(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for name, more := range map[string]func(*tlsctx.Builder){
		"crypto/tls": func(*tlsctx.Builder) {},
		"policy":     func(b *tlsctx.Builder) { b.Allow = truststore.JavaHTTPS() },
	} {
		for _, version := range versions {
			for _, shrinks := range []bool{false, true} {
				e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, MaxVersion: version}))
				trust := store(pki.Root, other.Root)
				b := tlsctx.Builder{Trusted: trust, Clock: pki.Now, ServerName: host}
				more(&b)
				d := mustDialer(t, b)
				d.Track = true
				called := false
				d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					raw, err := new(net.Dialer).DialContext(ctx, network, e.address)
					// The second flight of a client follows its verdict on the server.
					return &afterWrites{raw, 2, func() {
						called = true
						if shrinks {
							must(t, trust.RemoveCertificate(pki.Root.Cert))
						}
						d.Recheck()
					}}, err
				}
				conn, err := d.DialContext(t.Context(), "tcp", host+":443")
				if !called {
					t.Fatalf("%s, %s: nothing happened during the handshake: %v", name, tls.VersionName(version), err)
				}
				if !shrinks {
					if err != nil {
						t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
						continue
					}
					conn.Close()
					continue
				}
				if err == nil {
					conn.Close()
					t.Errorf("%s, %s: open although Recheck was called after its trust had gone", name, tls.VersionName(version))
					continue
				}
				if e := explained(t, err); e.Verify == nil || e.ServerName != host {
					t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
				}
			}
		}
	}
}

func TestListenerRecheckDuringHandshake(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, version := range versions {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		trust := store(pki.Root, other.Root)
		var listener *tlsctx.Listener
		b := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: trust, MaxVersion: version}
		b.Authorize = func(_ context.Context, _ tlsctx.Peer) error { // the client is trusted by now
			must(t, trust.RemoveCertificate(pki.Root.Cert))
			listener.Recheck()
			return nil
		}
		if listener, err = b.Listen(inner); err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		listener.OnRefused = func(_ net.Addr, err error) { result <- err }
		go func() {
			if conn, err := listener.Accept(); err == nil {
				conn.Close()
				result <- nil
			}
		}()
		client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(pki.Client("c")), ServerName: host, Clock: pki.Now})
		if conn, err := tls.Dial("tcp", inner.Addr().String(), client); err == nil {
			conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err := <-result; err == nil {
			t.Errorf("%s: open although Recheck was called after its trust had gone", tls.VersionName(version))
		} else if e := explained(t, err); e.Verify == nil || !e.Server {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		listener.Close()
	}
}
