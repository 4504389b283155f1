package tlsctx_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

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
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(20 * time.Second))
					io.Copy(conn, conn)
				}()
			}
		}()
		clientTrust := store(a.Root, b.Root)
		dial := func(id tlsctx.Identity) (*tlsctx.Dialer, net.Conn) {
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
			conn.SetDeadline(time.Now().Add(20 * time.Second))
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
		if n := listener.Recheck() + d.Recheck(); n != 0 {
			t.Errorf("%d were closed although nothing has changed", n)
		}
		if err := serverTrust.RemoveCertificate(b.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if n := listener.Recheck(); n != 1 || works(ofB) || !works(ofA) || !works(none) {
			t.Errorf("%s: %d were closed", tls.VersionName(version), n)
		}
		if err := clientTrust.RemoveCertificate(a.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if n := d.Recheck(); n != 1 || works(none) || d.Recheck() != 0 {
			t.Errorf("%s: %d were closed", tls.VersionName(version), n)
		}
		ofA.Close()
		inner.Close()
		<-done
	}
	if _, err := (tlsctx.Builder{Trusted: truststore.New()}).Listen(nil); err == nil {
		t.Error("a server without identity")
	}
}
