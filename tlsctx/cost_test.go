package tlsctx_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// printAll does with an error what programs do with errors.
func printAll(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if text := err.Error(); len(text) > 4<<10 || strings.ContainsRune(text, 0x1b) {
		t.Errorf("%d bytes: %.300s", len(text), text)
	}
	slog.New(slog.NewJSONHandler(io.Discard, nil)).Error("refused", "err", err)
	var e *tlsctx.HandshakeError
	if errors.As(err, &e) {
		if _, err := json.Marshal(e); err != nil {
			t.Error(err)
		}
		_ = e.Peer()
	}
	var v *truststore.VerifyError
	if errors.As(err, &v) {
		_ = v.Error()
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	}
}

// A refusal costs next to nothing more than that by crypto/tls of the same certificates with
// the same pool, explanation included.
func TestRefusalsCostLittleMoreThanThoseOfTLS(t *testing.T) {
	if testcpu.Raced {
		t.Skip("the race detector makes other things slow than what is measured")
	}
	pki := testpki.New(t, testpki.Options{})
	server := identity(pki.Server(host))
	for _, a := range append(testpki.Costly(t, host), malformed(t)) {
		pool := x509.NewCertPool()
		for _, c := range a.Trusted {
			pool.AddCert(c.Cert)
		}
		trusted := store(a.Trusted...)
		check := func(name string, plain, ours func()) {
			t.Helper()
			slow := strings.Contains(a.Name, "namesakes") // a tenth of a second each
			if slow && !slices.Contains([]string{"Server", "Server, ConcealCAs", "LiveClient", "Dialer"}, name) {
				return
			}
			testcpu.LittleMore(t, a.Name+": "+name, plain, ours)
		}

		// A hostile client.
		client := &tls.Config{InsecureSkipVerify: true, ServerName: host}
		cert := a.ID.TLSCertificate()
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		plainServer := &tls.Config{Certificates: []tls.Certificate{pki.Server(host).TLSCertificate()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
		base := tlsctx.Builder{Identity: server, Trusted: trusted, ClientAuth: tlsctx.RequireClientAuth}
		authorize := func(context.Context, tlsctx.Peer) error { return nil }
		for _, s := range []struct {
			name string
			b    func(*tlsctx.Builder)
		}{
			{"Server", func(*tlsctx.Builder) {}},
			{"Server, Authorize", func(b *tlsctx.Builder) { b.Authorize = authorize }},
			{"Server, ConcealCAs", func(b *tlsctx.Builder) { b.ConcealCAs = true }},
			{"Server, Strict", func(b *tlsctx.Builder) { b.Policy = truststore.Strict() }},
			{"Server, Allow", func(b *tlsctx.Builder) { b.Allow = truststore.JavaHTTPS() }},
		} {
			b := base
			s.b(&b)
			cfg := mustServer(t, b)
			check(s.name,
				func() { refuseClient(t, client, plainServer) },
				func() { printAll(t, b.ExplainServerError(refuseClient(t, client, cfg))) })
		}

		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := base.Listen(inner)
		if err != nil {
			t.Fatal(err)
		}
		turnedAway := make(chan error)
		l.OnRefused = func(_ net.Addr, err error) { turnedAway <- err }
		go l.Accept()
		check("Listener", func() { refuseClient(t, client, plainServer) }, func() {
			raw, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			go func() {
				if conn := tls.Client(raw, client); conn.Handshake() == nil {
					conn.Read(make([]byte, 1))
				}
			}()
			printAll(t, <-turnedAway)
		})
		l.Close()

		// A hostile server.
		hostile := &tls.Config{Certificates: []tls.Certificate{a.ID.TLSCertificate()}}
		plainClient := &tls.Config{RootCAs: pool, ServerName: host}
		plain := func() { refuse(t, plainClient, hostile) }
		b := tlsctx.Builder{Trusted: trusted, Global: store(a.Trusted...), ServerName: host}
		cfg := mustClient(t, b)
		check("Client", plain, func() { printAll(t, b.ExplainError(refuse(t, cfg, hostile).clientErr)) })
		alone := b
		alone.Global = nil // then the system's roots are asked
		check("Client, no Global", plain, func() { printAll(t, alone.ExplainError(refuse(t, cfg, hostile).clientErr)) })
		pins := b
		pins.Pins = []truststore.Pin{truststore.PinCertificate(pki.Root.Cert)}
		pinned := mustClient(t, pins)
		check("Client, Pins", plain, func() { printAll(t, pins.ExplainError(refuse(t, pinned, hostile).clientErr)) })
		live, err := b.LiveClient()
		if err != nil {
			t.Fatal(err)
		}
		check("LiveClient", plain, func() { printAll(t, b.ExplainError(refuse(t, live, hostile).clientErr)) })
		listener := serveTLS(t, hostile)
		plainDial := func() {
			raw, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if tls.Client(raw, plainClient).Handshake() == nil {
				t.Fatal("accepted")
			}
		}
		d := mustDialer(t, b)
		check("Dialer", plainDial, func() {
			_, err := d.DialContext(t.Context(), "tcp", listener.Addr().String())
			printAll(t, err)
		})
		transport, err := b.Transport(nil)
		if err != nil {
			t.Fatal(err)
		}
		get := func(r http.RoundTripper) error {
			request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+listener.Addr().String()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.RoundTrip(request)
			return err
		}
		plainTransport := &http.Transport{TLSClientConfig: plainClient}
		check("Transport", func() {
			if get(plainTransport) == nil {
				t.Fatal("accepted")
			}
		}, func() { printAll(t, get(transport)) })
	}
}

// malformed is a peer whose certificate does not parse, for a URI that crypto/x509 repeats in its
// error.
func malformed(t testing.TB) testpki.CostlyPeer {
	pki := testpki.New(t, testpki.Options{})
	san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte("http://%zz" + strings.Repeat("\x1b", 200_000))}})
	if err != nil {
		t.Fatal(err)
	}
	id := *pki.SelfSigned(host)
	id.DER, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}},
	}, &x509.Certificate{}, id.Key.Public(), id.Key)
	if err != nil {
		t.Fatal(err)
	}
	id.Cert = nil
	return testpki.CostlyPeer{Name: "a URI that does not parse", ID: &id, Trusted: []*testpki.Identity{pki.Root}}
}

// refuseClient returns the server's error of a connection with a client that it refuses.
func refuseClient(t testing.TB, client, server *tls.Config) error {
	t.Helper()
	err := connect(t, client, server).serverErr
	if err == nil {
		t.Fatal("accepted")
	}
	return err
}

// serveTLS answers every connection with a handshake.
func serveTLS(t testing.TB, cfg *tls.Config) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(time.Minute))
				if conn := tls.Server(raw, cfg); conn.Handshake() == nil {
					conn.Read(make([]byte, 1))
				}
			}()
		}
	}()
	return listener
}
