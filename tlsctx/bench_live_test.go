package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// BenchmarkLive compares handshakes of live clients with those of a hand-written
// tls.Config, full and resumed, against stores of any size. The two take turns, and the
// ratio is that of their medians.
func BenchmarkLive(b *testing.B) {
	pki := testpki.New(b, testpki.Options{Seed: "bench"})
	id := pki.Server(host)
	serverCert := id.TLSCertificate()
	for _, anchors := range []int{1, 144, 10_000} {
		certs := []*x509.Certificate{pki.Root.Cert}
		for i := len(certs); i < anchors; i++ {
			certs = append(certs, pki.Issue(testpki.Request{CA: true, SelfSigned: true, CommonName: fmt.Sprint("CA ", i), KeyOf: pki.Root}).Cert)
		}
		trust := truststore.New(certs...)
		snapshot, err := trust.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		for _, resumed := range []bool{false, true} {
			for _, kind := range []string{"dialer", "dialer with pins", "dialer with revocation"} {
				b.Run(fmt.Sprintf("%d anchors/resumed %v/%s", anchors, resumed, kind), func(b *testing.B) {
					plainServer := &tls.Config{Certificates: []tls.Certificate{serverCert}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}
					plainClient := &tls.Config{RootCAs: snapshot.Pool(), ServerName: host, MinVersion: tls.VersionTLS12}
					cb := tlsctx.Builder{Trusted: trust, MinVersion: tls.VersionTLS12}
					switch kind {
					case "dialer with pins":
						cb.Pins = []truststore.Pin{truststore.PinKey(id.Cert)}
					case "dialer with revocation":
						cb.Revocation = revokes(func(*x509.Certificate) bool { return false })
					}
					d := mustDialer(b, cb)
					if resumed {
						plainClient.ClientSessionCache = tls.NewLRUClientSessionCache(0)
					}
					plain := func() { handshake(b, plainClient, plainServer) }
					built := func() {
						c, s := bufferedPipe()
						done := make(chan error, 1)
						cfg := plainServer
						if !resumed {
							cfg = plainServer.Clone()
							cfg.SessionTicketsDisabled = true
						}
						go func() { done <- tls.Server(s, cfg).Handshake() }()
						conn, err := d.Handshake(context.Background(), c, host+":443")
						if err != nil {
							b.Fatal(err)
						}
						if err := <-done; err != nil {
							b.Fatal(err)
						}
						_ = conn
					}
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
					b.ReportMetric(float64(builts[len(builts)/2])/float64(plains[len(plains)/2]), "live/plain")
					b.ReportMetric(testing.AllocsPerRun(50, built)-testing.AllocsPerRun(50, plain), "extra-allocs")
				})
			}
		}
	}
}
