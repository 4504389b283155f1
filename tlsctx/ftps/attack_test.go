package ftps_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// noticing tells of each Write.
type noticing struct {
	net.Conn
	wrote chan struct{}
	reset *atomic.Bool
}

// SetLinger is how a TCP connection is told to end by a reset.
func (n noticing) SetLinger(int) error {
	n.reset.Store(true)
	return nil
}

func (n noticing) Write(b []byte) (int, error) {
	select {
	case n.wrote <- struct{}{}:
	default:
	}
	return n.Conn.Write(b)
}

// pipe is a data connection without buffers, and the server's end of it.
func pipe(t *testing.T, o ftps.Options) (*ftps.DataConn, noticing, *tls.Conn) {
	t.Helper()
	pki := testpki.New(t, testpki.Options{})
	f, err := o.New(tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, MaxVersion: tls.VersionTLS12}, host+":21")
	must(t, err)
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	raw := noticing{client, make(chan struct{}, 1), new(atomic.Bool)}
	return f.Data(t.Context(), raw), raw, tls.Server(server, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
}

// within fails the test if the function does not return.
func within(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// Close while another goroutine is in Write ends both, and no part is taken for the whole.
func TestCloseDuringWrite(t *testing.T) {
	d, raw, server := pipe(t, ftps.Options{DrainTimeout: time.Minute})
	go server.Handshake()
	must(t, d.Handshake())
	<-raw.wrote // in the handshake
	failed := make(chan error, 1)
	go func() {
		_, err := d.Write(make([]byte, 1<<16))
		failed <- err
	}()
	<-raw.wrote
	within(t, "Close", d.Close)
	if err := within(t, "Write", func() error { return <-failed }); err == nil || !raw.reset.Load() {
		t.Errorf("%v, reset %v", err, raw.reset.Load())
	}
}

// Close while ReadFrom waits for its source says nothing about an end of the content.
func TestCloseDuringReadFrom(t *testing.T) {
	d, raw, server := pipe(t, ftps.Options{DrainTimeout: time.Minute})
	began := make(chan struct{})
	go func() {
		io.ReadFull(server, make([]byte, 1))
		close(began)
		io.Copy(io.Discard, server)
		server.Close()
	}()
	source, feed := io.Pipe()
	defer feed.Close()
	go d.ReadFrom(source)
	feed.Write([]byte("x"))
	<-began
	within(t, "Close", d.Close)
	if !raw.reset.Load() {
		t.Error("the server takes the part for the whole")
	}
}

// Close while another goroutine shakes hands with a silent server does not wait for that.
func TestCloseDuringHandshake(t *testing.T) {
	d, raw, _ := pipe(t, ftps.Options{Timeout: time.Minute, DrainTimeout: 10 * time.Millisecond})
	failed := make(chan error, 1)
	go func() {
		_, err := d.Read(make([]byte, 1))
		failed <- err
	}()
	<-raw.wrote
	within(t, "Close", d.Close)
	if err := within(t, "Read", func() error { return <-failed }); err == nil {
		t.Error("read something")
	}
}

// Abort ends a Close that waits for the server, and that Close reports it.
func TestAbortDuringClose(t *testing.T) {
	d, _, server := pipe(t, ftps.Options{DrainTimeout: time.Minute})
	all := make(chan struct{})
	go func() {
		io.Copy(io.Discard, server)
		close(all) // and does not hang up
	}()
	_, err := d.Write([]byte("x"))
	must(t, err)
	closing := make(chan error, 1)
	go func() { closing <- d.Close() }()
	<-all
	within(t, "Abort", d.Abort)
	if err := within(t, "Close", func() error { return <-closing }); err == nil {
		t.Error("Close says that the server has confirmed")
	}
}

// After Close there is nothing to use.
func TestUseAfterClose(t *testing.T) {
	for name, end := range map[string]func(*ftps.DataConn) error{"Close": (*ftps.DataConn).Close, "Abort": (*ftps.DataConn).Abort} {
		d, _, server := pipe(t, ftps.Options{})
		if name == "Close" {
			go func() { io.Copy(io.Discard, server); server.Close() }()
			must(t, d.Handshake())
		}
		end(d)
		_, readErr := d.Read(make([]byte, 1))
		_, writeErr := d.Write([]byte("x"))
		_, fromErr := d.ReadFrom(bytes.NewReader([]byte("x")))
		for _, err := range []error{readErr, writeErr, fromErr} {
			if _, explained := errors.AsType[*tlsctx.HandshakeError](err); !errors.Is(err, net.ErrClosed) || explained {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := d.Handshake(); name == "Abort" && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// In active mode the server connects, and this side still is the client of TLS.
func TestActiveMode(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, version := range versions {
		s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, MaxVersion: version}))
		f := s.session(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		accept := func(serve func(*tls.Conn)) *ftps.DataConn {
			go func() {
				raw, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				conn := tls.Server(raw, s.config)
				defer conn.Close()
				serve(conn)
			}()
			raw, err := l.Accept()
			must(t, err)
			return f.Data(context.Background(), raw)
		}
		taken := make(chan []byte, 1)
		up := accept(func(c *tls.Conn) {
			all, _ := io.ReadAll(c)
			taken <- all
		})
		_, err = up.Write(content)
		if err = errors.Join(err, up.Close()); err != nil || !up.ConnectionState().DidResume || !bytes.Equal(<-taken, content) {
			t.Errorf("%s: upload: %v, resumed %v", tls.VersionName(version), err, up.ConnectionState().DidResume)
		}
		down := accept(func(c *tls.Conn) { c.Write(content) })
		got, err := io.ReadAll(down)
		if err = errors.Join(err, down.Close()); err != nil || !down.ConnectionState().DidResume || !bytes.Equal(got, content) {
			t.Errorf("%s: download: %v, resumed %v", tls.VersionName(version), err, down.ConnectionState().DidResume)
		}
	}
}
