package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// listening returns a Listener on loopback.
func listening(t *testing.T, b tlsctx.Builder) *tlsctx.Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l, err := b.Listen(inner)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// silent opens connections that say nothing.
func silent(t *testing.T, l *tlsctx.Listener, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// A client that says nothing delays nobody, and what Accept returns has shaken hands.
func TestSlowClientDelaysNobody(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	l := listening(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now})
	silent(t, l, 50)
	cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
	dialled := make(chan error, 1)
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), cfg)
		if err == nil {
			conn.Close()
		}
		dialled <- err
	}()
	conn, err := l.Accept()
	must(t, err)
	defer conn.Close()
	if !conn.(*tls.Conn).ConnectionState().HandshakeComplete {
		t.Error("the handshake is not complete")
	}
	must(t, <-dialled)
}

// Handshakes are bounded in number: further clients wait until one has ended, and in time.
func TestHandshakesAreBounded(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l, err := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}.Listen(&atMost{Listener: inner, t: t, limit: 2})
	must(t, err)
	l.MaxHandshakes = 2
	failed := make(chan error, 16)
	l.OnRefused = func(_ net.Addr, err error) { failed <- err }
	slow := silent(t, l, 2)
	cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	dialled := make(chan error, 1)
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), cfg)
		if err == nil {
			conn.Close()
		}
		dialled <- err
	}()
	slow[0].Close()
	if e := explained(t, <-failed); !e.Server || e.Code != tlsctx.CodeClosed {
		t.Errorf("%v", e)
	}
	(<-accepted).Close()
	must(t, <-dialled)
	l.Close()
	for range accepted {
	}

	l = listening(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now})
	l.HandshakeTimeout = time.Millisecond
	l.OnRefused = func(_ net.Addr, err error) { failed <- err }
	go l.Accept()
	if _, err := silent(t, l, 1)[0].Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client that says nothing is kept: %v", err)
	}
	if e := explained(t, <-failed); e.Code != tlsctx.CodeTimeout {
		t.Errorf("%s: %v", e.Code, e)
	}
}

// atMost is a listener of which more than limit connections may not be open at once.
type atMost struct {
	net.Listener
	t     *testing.T
	limit int32
	open  atomic.Int32
}

func (l *atMost) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.open.Add(1) > l.limit {
		l.t.Errorf("more than %d handshakes at once", l.limit)
	}
	return &countedConn{Conn: conn, l: l}, nil
}

type countedConn struct {
	net.Conn
	l    *atMost
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.l.open.Add(-1) })
	return c.Conn.Close()
}

// Close ends what is under way, and no goroutine is left.
func TestCloseEndsHandshakes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	before := runtime.NumGoroutine()
	l := listening(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now})
	l.OnRefused = func(_ net.Addr, err error) { t.Errorf("told of a handshake that Close has ended: %v", err) }
	done := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	conns := silent(t, l, 8)
	must(t, l.Close())
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	for _, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("still open: %v", err)
		}
	}
	testnet.Goroutines(t, before)
}

// Errors of single clients do not end Accept and are explained; those of the listener below
// are returned as they are, and the next Accept goes on.
func TestErrorsOfClientsDoNotEndAccept(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	full := &fullOnce{Listener: inner, err: &net.OpError{Op: "accept", Err: errors.New("too many open files")}}
	panics := errors.New("a hook")
	l, err := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root),
		Authorize: func(_ context.Context, p tlsctx.Peer) error {
			if p.Certificates[0].Subject.CommonName == "panic" {
				panic(panics)
			}
			return nil
		}}.Listen(full)
	must(t, err)
	defer l.Close()
	failed := make(chan error, 16)
	l.OnRefused = func(client net.Addr, err error) {
		if client == nil {
			t.Error("no address")
		}
		failed <- err
	}
	if _, err := l.Accept(); err != full.err {
		t.Errorf("%v", err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte{'!'})
			conn.Close()
		}
	}()
	dial := func(id *testpki.Identity) error {
		conn, err := tls.Dial("tcp", inner.Addr().String(), mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Identity: identity(id)}))
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		return err
	}
	if dial(other.Client("stranger")) == nil {
		t.Error("a stranger was accepted")
	}
	if e := explained(t, <-failed); e.Verify == nil || !e.Server || e.ServerName != host || len(e.Chain) == 0 {
		t.Errorf("%v", e)
	}
	if dial(pki.Client("panic")) == nil {
		t.Error("accepted although the hook has panicked")
	}
	if e := explained(t, <-failed); e.Code != tlsctx.CodeSetup || !strings.Contains(e.Text, panics.Error()) {
		t.Errorf("%v", e)
	}
	plain, err := net.Dial("tcp", inner.Addr().String())
	must(t, err)
	io.WriteString(plain, "GET / HTTP/1.0\r\n\r\n")
	if e := explained(t, <-failed); e.Code != tlsctx.CodeNotTLS {
		t.Errorf("%v", e)
	}
	plain.Close()
	must(t, dial(pki.Client("friend")))
}

// fullOnce is a listener whose first Accept fails.
type fullOnce struct {
	net.Listener
	err    error
	failed bool
}

func (f *fullOnce) Accept() (net.Conn, error) {
	if !f.failed {
		f.failed = true
		return nil, f.err
	}
	return f.Listener.Accept()
}

// An http.Server on a Listener speaks HTTP/2, and knows the client.
func TestListenerServesHTTP2(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	l := listening(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), NextProtos: []string{"h2", "http/1.1"}})
	server := &http.Server{ErrorLog: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.TLS.PeerCertificates[0].Subject.CommonName)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("me"))}.Transport(&http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		},
	})
	must(t, err)
	for range 2 {
		r, err := (&http.Client{Transport: transport}).Get("https://" + host)
		must(t, err)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(body) != "HTTP/2.0 me" {
			t.Errorf("%q, %v", body, err)
		}
	}
	transport.CloseIdleConnections()
	must(t, server.Close())
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("%v", err)
	}
}

// Destinations on a Listener: each client is served, told to Accepted and explained by the
// Builder for the name that it asks for. Server, whose handshakes end unheard, refuses Accepted.
func TestDestinationsListen(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	destinations := new(tlsctx.Destinations)
	told := map[string]*heard{"a.example": {}, "b.example": {}}
	for name, pki := range map[string]*testpki.PKI{"a.example": a, "b.example": b} {
		must(t, destinations.Set(name, tlsctx.Builder{Identity: identity(pki.Server(name)), Clock: a.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Accepted: told[name].note}))
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := destinations.Listen(inner)
	failed := make(chan error, 16)
	l.OnRefused = func(_ net.Addr, err error) { failed <- err }
	testnet.ServeOn(t, l, func(conn net.Conn) { conn.Write([]byte{'!'}) })
	dial := func(name string, id *testpki.Identity) error {
		cfg := mustClient(t, tlsctx.Builder{Trusted: store(a.Root, b.Root), ServerName: name, Clock: a.Now, Identity: identity(id)})
		conn, err := tls.Dial("tcp", inner.Addr().String(), cfg)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		return err
	}
	ofA, ofB := a.Client("of A"), b.Client("of B")
	must(t, dial("a.example", ofA))
	must(t, dial("b.example", ofB))
	for name, id := range map[string]*testpki.Identity{"a.example": ofA, "b.example": ofB} {
		if p := told[name].take(); len(p) != 1 || !p[0].Certificates[0].Equal(id.Cert) || p[0].ServerName != name {
			t.Errorf("%s was told %+v", name, p)
		}
	}
	if dial("a.example", ofB) == nil {
		t.Error("accepted by the trust of another name")
	}
	if e := explained(t, <-failed); e.Verify == nil || e.ServerName != "a.example" || e.Identity == nil {
		t.Errorf("%v", e)
	}
	if dial("c.example", ofA) == nil {
		t.Error("an unknown name is served")
	}
	if e := explained(t, <-failed); e.Code != tlsctx.CodeUnknownName {
		t.Errorf("%v", e)
	}
	if p := append(told["a.example"].take(), told["b.example"].take()...); len(p) != 0 {
		t.Errorf("told of whom was refused: %+v", p)
	}
	o := refuse(t, mustClient(t, tlsctx.Builder{Trusted: store(a.Root), ServerName: "a.example", Clock: a.Now, Identity: identity(ofA)}), destinations.Server())
	if !errors.Is(o.serverErr, trustkeep.ErrInvalid) {
		t.Errorf("%v", o.serverErr)
	}
}
