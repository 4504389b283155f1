package tlsctx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// The whole of it: go test -race -run UnderLoad -load.swaps 1000 -load.clients 64 ./tlsctx
var (
	loadSwaps   = flag.Int("load.swaps", testtool.Rounds(20, 100), "how many times identity and trust are swapped under load")
	loadClients = flag.Int("load.clients", 16, "how many clients connect at once")
)

// TestSwapsUnderLoad swaps the server's identity and the clients' trust while clients
// connect, in full handshakes and resumed ones. A handshake lies between a snapshot of
// the trust before it and one after it. If every trust of that time accepts what the
// server presented, it must not fail; if none does, it must not succeed.
func TestSwapsUnderLoad(t *testing.T) {
	pkis := []*testpki.PKI{testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})}
	trust := store(pkis[0].Root)
	clientTrust := store(pkis[0].Root, pkis[1].Root)
	id, own := new(swap), new(swap)
	id.set(pkis[0].Server(host), nil)
	own.set(pkis[0].Client("c"), nil)
	cfg := mustServer(t, tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth, Trusted: clientTrust, Clock: pkis[0].Now})
	address := testnet.Serve(t, func(raw net.Conn) {
		conn := tls.Server(raw, cfg)
		if conn.Handshake() == nil {
			conn.Write([]byte{'!'})
			io.Copy(io.Discard, conn)
		}
	})

	probe := map[*testpki.PKI][]*x509.Certificate{pkis[0]: pkis[0].Server(host).Chain, pkis[1]: pkis[1].Server(host).Chain}
	var accepted, refused, resumed, spurious, wrong atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	unknowing, err := revocation.New(revocation.Options{Mode: revocation.SoftFail, Clock: pkis[0].Now})
	if err != nil {
		t.Fatal(err)
	}
	for i := range *loadClients {
		b := tlsctx.Builder{Trusted: trust, Identity: own, ServerName: host, Clock: pkis[0].Now}
		switch i % 3 {
		case 1:
			b.Allow = truststore.JavaHTTPS() // the way of our own verification
		case 2: // on top of crypto/tls
			b.Revocation = new(revoker)
			b.Authorize = func(context.Context, tlsctx.Peer) error { return nil }
		}
		if i%4 > 1 {
			b.Revocation = unknowing
		}
		d := mustDialer(t, b)
		clients.Go(func() {
			for ctx.Err() == nil {
				before, _ := trust.Snapshot()
				conn, err := d.DialContext(ctx, "tcp", address)
				if ctx.Err() != nil {
					return
				}
				after, _ := trust.Snapshot()
				accepts := func(pki *testpki.PKI) (all, some bool) {
					o := truststore.VerifyOptions{Name: host, Time: pki.Now()}
					chain := probe[pki]
					_, e1 := before.Verify(chain, o)
					_, e2 := after.Verify(chain, o)
					return e1 == nil && e2 == nil && before == after, e1 == nil || e2 == nil || before.Generation()+1 < after.Generation()
				}
				if err != nil {
					refused.Add(1)
					why, ok := errors.AsType[*tlsctx.HandshakeError](err)
					if !ok || len(why.Chain) == 0 {
						spurious.Add(1)
						t.Errorf("failed for another reason: %v", err)
						return
					}
					if all, _ := accepts(authorityOf(pkis, why.Chain)); all {
						spurious.Add(1)
						t.Errorf("refused although its authority was trusted: %v", err)
						return
					}
					continue
				}
				s := conn.(*tls.Conn).ConnectionState()
				conn.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := conn.Read(make([]byte, 1)); err != nil && ctx.Err() == nil {
					spurious.Add(1)
					t.Errorf("the server refused a client that it trusts: %v", err)
				}
				conn.Close()
				accepted.Add(1)
				if s.DidResume {
					resumed.Add(1)
				}
				if _, some := accepts(authorityOf(pkis, s.PeerCertificates)); !some {
					wrong.Add(1)
					t.Error("accepted although its authority was not trusted")
				}
			}
		})
	}
	// until waits for handshakes, so that each state is met by some.
	until := func(n int64) {
		for seen := accepted.Load() + refused.Load(); accepted.Load()+refused.Load() < seen+n && !t.Failed(); {
			runtime.Gosched()
		}
	}
	set := func(roots ...*testpki.PKI) {
		for _, p := range roots {
			if s, _ := trust.Snapshot(); !s.Contains(p.Root.Cert) {
				if err := trust.Add("", p.Root.Cert); err != nil {
					t.Error(err)
				}
			}
		}
		for _, p := range pkis {
			keep := false
			for _, r := range roots {
				keep = keep || r == p
			}
			if s, _ := trust.Snapshot(); !keep && s.Contains(p.Root.Cert) {
				if err := trust.RemoveCertificate(p.Root.Cert); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for i := range *loadSwaps {
		p := pkis[i%2]
		switch i % 3 {
		case 0:
			set(pkis[0], pkis[1])
		case 1:
			set(pkis[i/2%2])
		case 2:
			set(p)
		}
		id.set(p.Server(host), nil)
		own.set(p.Client("c"), nil)
		until(int64(*loadClients) / 4)
	}
	set(pkis[0], pkis[1])
	until(int64(2 * *loadClients))
	stop()
	clients.Wait()
	t.Logf("%d swaps of identity and trust: %d accepted (%d resumed), %d refused; %d wrongly refused, %d wrongly accepted",
		*loadSwaps, accepted.Load(), resumed.Load(), refused.Load(), spurious.Load(), wrong.Load())
	if accepted.Load() == 0 || refused.Load() == 0 || resumed.Load() == 0 {
		t.Error("the load met no refusal, no acceptance or no resumption")
	}
}

// authorityOf returns the PKI that a chain without its root is of.
func authorityOf(pkis []*testpki.PKI, chain []*x509.Certificate) *testpki.PKI {
	last := chain[len(chain)-1]
	return pkis[slices.IndexFunc(pkis, func(p *testpki.PKI) bool { return bytes.Equal(last.RawIssuer, p.Root.Cert.RawSubject) })]
}
