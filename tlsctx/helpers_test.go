package tlsctx_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

const host = "server.example"

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func identity(id *testpki.Identity) trustkeep.Identity {
	return tlsctx.StaticIdentity(id.TLSCertificate())
}

func store(ids ...*testpki.Identity) *truststore.Truststore {
	var certs []*x509.Certificate
	for _, id := range ids {
		certs = append(certs, id.Cert)
	}
	return truststore.New(certs...)
}

func mustClient(t testing.TB, b tlsctx.Builder) *tls.Config {
	t.Helper()
	cfg, err := b.Client()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func mustServer(t testing.TB, b tlsctx.Builder) *tls.Config {
	t.Helper()
	cfg, err := b.Server()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// outcome is what both sides made of a connection.
type outcome struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

func (o outcome) ok() bool { return o.clientErr == nil && o.serverErr == nil }

// connect makes a connection over loopback TCP, and waits until each side knows
// what the other made of it: the server's first octet carries its TLS 1.3
// verdict and session tickets to the client.
func connect(t testing.TB, client, server *tls.Config) outcome {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var o outcome
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := listener.Accept()
		if err != nil {
			o.serverErr = err
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(time.Minute))
		conn := tls.Server(raw, server)
		if o.serverErr = conn.Handshake(); o.serverErr != nil {
			return
		}
		o.server = conn.ConnectionState()
		if _, o.serverErr = conn.Write([]byte{'!'}); o.serverErr != nil {
			return
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			o.serverErr = err
		}
	})
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw.SetDeadline(time.Now().Add(time.Minute))
	conn := tls.Client(raw, client)
	if o.clientErr = conn.Handshake(); o.clientErr == nil {
		if _, o.clientErr = conn.Read(make([]byte, 1)); o.clientErr == nil {
			o.client = conn.ConnectionState()
		}
		conn.Close()
	}
	raw.Close()
	wg.Wait()
	return o
}

// accept checks that a connection comes about.
func accept(t testing.TB, client, server *tls.Config, resumed bool) outcome {
	t.Helper()
	o := connect(t, client, server)
	if !o.ok() {
		t.Fatalf("refused: client %v, server %v", o.clientErr, o.serverErr)
	}
	if o.client.DidResume != resumed {
		t.Fatalf("resumed: %v, want %v", o.client.DidResume, resumed)
	}
	return o
}

// refuse checks that no connection comes about, and returns why the client
// thinks so.
func refuse(t testing.TB, client, server *tls.Config) outcome {
	t.Helper()
	o := connect(t, client, server)
	if o.clientErr == nil {
		t.Fatal("accepted")
	}
	return o
}

// explained returns the explanation of an error.
func explained(t testing.TB, err error) *tlsctx.HandshakeError {
	t.Helper()
	var e *tlsctx.HandshakeError
	if !errors.As(err, &e) {
		t.Fatalf("not explained: %v", err)
	}
	return e
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// swap is an identity that changes.
type swap struct {
	mu   sync.Mutex
	cert *tls.Certificate
	err  error
}

func (s *swap) TLSCertificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cert, s.err
}

func (s *swap) set(id *testpki.Identity, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cert, s.err = nil, err
	if id != nil {
		c := id.TLSCertificate()
		s.cert = &c
	}
}

// quiet is a log that nobody reads.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
