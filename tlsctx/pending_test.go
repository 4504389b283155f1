package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// pipes is a listener within a bubble of package synctest.
type pipes struct {
	conns chan net.Conn
	ctx   context.Context
	end   context.CancelFunc
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.end(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// dial leaves a connection to be accepted.
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// Clients that open many connections and say nothing keep nobody out for long, although handshakes
// are bounded in number; without a crowd, slow ones have their time.
func TestSilentCrowdKeepsNobodyOut(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	synctest.Test(t, func(t *testing.T) {
		below := &pipes{conns: make(chan net.Conn, 1000)}
		below.ctx, below.end = context.WithCancel(t.Context())
		l, err := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}.Listen(below)
		must(t, err)
		defer l.Close()
		failed := make(chan error, 1000)
		l.OnRefused = func(_ net.Addr, err error) { failed <- err }
		l.MaxHandshakes = 10
		accepted := make(chan net.Conn, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- conn
			}
		}()
		cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
		shake := func() time.Duration {
			start := time.Now()
			raw := below.dial()
			must(t, tls.Client(raw, cfg).Handshake())
			took := time.Since(start)
			raw.Close() // nobody reads the last alert
			(<-accepted).Close()
			return took
		}
		for range 9 {
			below.dial()
		}
		synctest.Wait()
		<-time.After(5 * time.Second) // of the bubble
		if took := shake(); took != 0 || len(failed) != 0 {
			t.Errorf("with a free slot: %s, %d failed", took, len(failed))
		}
		below.dial()
		<-time.After(time.Second / 2) // of the bubble
		synctest.Wait()
		if n := len(failed); n != 1 {
			t.Errorf("%d make room for one", n)
		}
		for range 60 {
			below.dial()
		}
		if took := shake(); took > 10*time.Second {
			t.Errorf("kept out for %s", took)
		}
		if e := explained(t, <-failed); e.Code != tlsctx.CodeTimeout || !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%s: %v", e.Code, e)
		}
	})
}
