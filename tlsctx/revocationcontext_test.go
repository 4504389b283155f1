package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// A handshake whose context ends does not wait for a list to be fetched.
func TestRevocationEndsWithTheHandshake(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	request := testpki.Request{Names: []string{"localhost"}, Edit: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/"} }}
	server, client := pki.Issue(request), pki.Issue(request)
	for _, side := range []string{"dialer", "server"} {
		t.Run(side, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			checker, err := revocation.New(revocation.Options{Timeout: 5 * time.Second, Coverage: revocation.LeafOnly,
				FetchCRL: func(fetching context.Context, _ string) ([]byte, error) {
					cancel()
					<-fetching.Done()
					ended <- fetching.Err()
					return nil, fetching.Err()
				}})
			if err != nil {
				t.Fatal(err)
			}
			sb := tlsctx.Builder{Identity: tlsctx.StaticIdentity(server.TLSCertificate()), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth}
			cb := tlsctx.Builder{Identity: tlsctx.StaticIdentity(client.TLSCertificate()), Trusted: store(pki.Root), ServerName: "localhost"}
			if side == "server" {
				sb.Revocation = checker
			} else {
				cb.Revocation = checker
			}
			scfg, err := sb.Server()
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer theirs.Close()
				of := context.Background()
				if side == "server" {
					of = ctx
				}
				tls.Server(theirs, scfg).HandshakeContext(of)
			}()
			switch side {
			case "dialer":
				d, err := cb.Dialer()
				if err != nil {
					t.Fatal(err)
				}
				d.Handshake(ctx, ours, "localhost:443")
			default:
				cfg, err := cb.Client()
				if err != nil {
					t.Fatal(err)
				}
				tls.Client(ours, cfg).Handshake()
				ours.Close()
			}
			<-done
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("fetching ended by %v", err)
			}
		})
	}
}

// DialContext does not outlive its context, even while revocation is asked by a hook that
// heeds none, and where trust is asked for once more at the end of the handshake.
func TestDialContextDoesNotOutliveItsContext(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Issue(testpki.Request{Names: []string{"localhost"}, Edit: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/"} }})
	server := mustServer(t, tlsctx.Builder{Identity: tlsctx.StaticIdentity(id.TLSCertificate()), Clock: pki.Now})
	for _, track := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		checker, err := revocation.New(revocation.Options{Timeout: time.Hour, Coverage: revocation.LeafOnly, Clock: pki.Now,
			FetchCRL: func(context.Context, string) ([]byte, error) { cancel(); <-release; return nil, errors.New("the end") }})
		if err != nil {
			t.Fatal(err)
		}
		d, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Revocation: checker}.Dialer()
		if err != nil {
			t.Fatal(err)
		}
		d.Track = track
		ours, theirs := net.Pipe()
		go tls.Server(theirs, server).Handshake()
		if conn, err := d.Handshake(ctx, ours, "localhost:443"); !errors.Is(err, context.Canceled) || conn != nil {
			t.Errorf("track %t: %v", track, err)
		}
		close(release)
		theirs.Close()
	}
}
