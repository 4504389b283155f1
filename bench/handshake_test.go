package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// BenchmarkHandshakeSPIFFE compares a client's full handshakes with those of go-spiffe,
// which makes a pool of all authorities for each. The two take turns, and the ratio is
// that of their medians.
func BenchmarkHandshakeSPIFFE(b *testing.B) {
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	ca, err := issue.New(issue.Options{DNSNames: []string{"ca.example"}, Purposes: issue.ForCA})
	check(err)
	id, err := issue.New(issue.Options{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/server"}}, DNSNames: []string{"server.example"}, Issuer: ca, Purposes: issue.ForServer})
	check(err)
	// An SVID has one name, the URI (SPIFFE X.509-SVID section 2).
	svid, err := issue.New(issue.Options{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/server"}}, Issuer: ca})
	check(err)
	server := func(id *keystore.Identity) *tls.Config {
		cert, err := id.TLSCertificate()
		check(err)
		return &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	ours, theirs := server(id), server(svid)
	for _, anchors := range []int{1, 144} {
		b.Run(fmt.Sprint(anchors, " anchors"), func(b *testing.B) {
			certs := []*x509.Certificate{ca.Leaf()}
			for i := 1; i < anchors; i++ {
				other, err := issue.New(issue.Options{DNSNames: []string{fmt.Sprintf("ca%d.example", i)}, Purposes: issue.ForCA})
				check(err)
				certs = append(certs, other.Leaf())
			}
			dialer, err := tlsctx.Builder{Trusted: truststore.New(certs...)}.Dialer()
			check(err)
			spiffe := tlsconfig.TLSClientConfig(x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("example.org"), certs), tlsconfig.AuthorizeAny())
			run := func(cfg *tls.Config, client func(net.Conn) error) time.Duration {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				check(err)
				defer l.Close()
				done := make(chan error, 1)
				go func() {
					raw, err := l.Accept()
					if err == nil {
						err = tls.Server(raw, cfg).Handshake()
						raw.Close()
					}
					done <- err
				}()
				raw, err := net.Dial("tcp", l.Addr().String())
				check(err)
				defer raw.Close()
				start := time.Now()
				check(client(raw))
				check(<-done)
				return time.Since(start)
			}
			builts, peers := []time.Duration{}, []time.Duration{}
			for b.Loop() {
				plain := ours.Clone()
				plain.SessionTicketsDisabled = true
				builts = append(builts, run(plain, func(raw net.Conn) error {
					_, err := dialer.Handshake(b.Context(), raw, "server.example:443")
					return err
				}))
				peers = append(peers, run(theirs, func(raw net.Conn) error { return tls.Client(raw, spiffe).Handshake() }))
			}
			slices.Sort(builts)
			slices.Sort(peers)
			b.ReportMetric(float64(builts[len(builts)/2])/float64(peers[len(peers)/2]), "ours/go-spiffe")
		})
	}
}
