package tlsctx_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// BenchmarkHandshake compares full TLS 1.3 handshakes of built configurations
// with those of hand-written ones of the same settings. The two take turns, and
// the ratio is that of their medians.
func BenchmarkHandshake(b *testing.B) {
	pki := testpki.New(b, testpki.Options{Seed: "bench"})
	for _, anchors := range []int{1, 144} {
		for _, mutual := range []bool{false, true} {
			name := map[bool]string{false: "server auth", true: "mutual"}[mutual] + "/" + map[int]string{1: "1 anchor", 144: "144 anchors"}[anchors]
			b.Run(name, func(b *testing.B) {
				certs := []*x509.Certificate{pki.Root.Cert}
				for len(certs) < anchors {
					certs = append(certs, pki.Issue(testpki.Request{CA: true, SelfSigned: true, CommonName: "CA " + string(rune('A'+len(certs)))}).Cert)
				}
				trust := truststore.New(certs...)
				pool := x509.NewCertPool()
				for _, c := range certs {
					pool.AddCert(c)
				}
				server, client := pki.Server(host).TLSCertificate(), pki.Client("client").TLSCertificate()
				sb := tlsctx.Builder{Identity: tlsctx.StaticIdentity(server)}
				cb := tlsctx.Builder{Trusted: trust, ServerName: host}
				plainServer := &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12}
				plainClient := &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}
				if mutual {
					sb.ClientAuth, sb.Trusted, cb.Identity = tlsctx.RequireClientAuth, trust, tlsctx.StaticIdentity(client)
					plainServer.ClientAuth, plainServer.ClientCAs = tls.RequireAndVerifyClientCert, pool
					plainClient.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil }
				}
				builtServer, builtClient := mustServer(b, sb), mustClient(b, cb)
				// Full handshakes only: nobody keeps sessions.
				builtClient.ClientSessionCache = nil

				plain := func() { handshake(b, plainClient, plainServer) }
				built := func() { handshake(b, builtClient, builtServer) }
				plain()
				built()
				var plains, builts []time.Duration
				for b.Loop() {
					plains = append(plains, timed(plain))
					builts = append(builts, timed(built))
				}
				b.StopTimer()
				slices.Sort(plains)
				slices.Sort(builts)
				b.ReportMetric(float64(plains[len(plains)/2].Microseconds()), "plain-µs")
				b.ReportMetric(float64(builts[len(builts)/2])/float64(plains[len(plains)/2]), "built/plain")
				b.ReportMetric(testing.AllocsPerRun(50, built)-testing.AllocsPerRun(50, plain), "extra-allocs")
			})
		}
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// handshake runs both ends over a pipe in memory.
func handshake(tb testing.TB, client, server *tls.Config) {
	c, s := bufferedPipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(s, server).Handshake() }()
	if err := tls.Client(c, client).Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
}

// bufferedPipe is net.Pipe with buffers: writes do not wait for reads, without
// which both ends of a handshake can wait for each other.
func bufferedPipe() (net.Conn, net.Conn) {
	a, b := newBuffer(), newBuffer()
	return &pipeEnd{a, b}, &pipeEnd{b, a}
}

type buffer struct {
	mu    sync.Mutex
	ready sync.Cond
	data  []byte
}

func newBuffer() *buffer {
	b := &buffer{data: make([]byte, 0, 8192)}
	b.ready.L = &b.mu
	return b
}

type pipeEnd struct{ in, out *buffer }

func (p *pipeEnd) Read(b []byte) (int, error) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	for len(p.in.data) == 0 {
		p.in.ready.Wait()
	}
	n := copy(b, p.in.data)
	p.in.data = p.in.data[n:]
	return n, nil
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	p.out.data = append(p.out.data, b...)
	p.out.ready.Signal()
	return len(b), nil
}

func (*pipeEnd) Close() error                     { return io.ErrClosedPipe }
func (*pipeEnd) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (*pipeEnd) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (*pipeEnd) SetDeadline(time.Time) error      { return nil }
func (*pipeEnd) SetReadDeadline(time.Time) error  { return nil }
func (*pipeEnd) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkClient is what a configuration costs that is made per connection.
func BenchmarkClient(b *testing.B) {
	pki := testpki.New(b, testpki.Options{Seed: "bench"})
	builder := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Identity: identity(pki.Client("c"))}
	b.ReportAllocs()
	for b.Loop() {
		mustClient(b, builder)
	}
}
