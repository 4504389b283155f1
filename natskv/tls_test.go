package natskv

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// secureBroker is a server that asks for client certificates, with TLS of this library on
// its side too.
func secureBroker(t *testing.T, pki *pkitest.PKI, edit func(*server.Options)) *broker {
	t.Helper()
	config, err := tlsctx.Builder{Identity: pki.Server, Trusted: pki.Trust(), ClientAuth: tlsctx.RequireClientAuth}.Server()
	if err != nil {
		t.Fatal(err)
	}
	return newBroker(t, func(o *server.Options) {
		o.TLSConfig, o.TLSTimeout = config, 10
		if edit != nil {
			edit(o)
		}
	})
}

func newDialer(t *testing.T, b tlsctx.Builder) *tlsctx.Dialer {
	t.Helper()
	d, err := b.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// connectTLS fails unless there is a connection after 10 seconds.
func connectTLS(t *testing.T, b *broker, d *tlsctx.Dialer, first bool, o Options) (*Storage, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	url := strings.Replace(b.ClientURL(), "tls://", "nats://", 1)
	s, err := Connect(ctx, Server{URLs: []string{url}, TLS: d, TLSFirst: first, NATS: []nats.Option{
		nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(time.Millisecond, time.Millisecond),
	}}, o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// Keystore and truststore files, as an administrator hands them out, to NATS and back.
func TestConnectWithStoresFromFiles(t *testing.T) {
	pki := pkitest.New(t)
	trust, err := truststore.Load(pki.TruststoreFile(trustkeep.PKCS12), trustkeep.Password(pkitest.Password))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Load(pki.KeystoreFile(trustkeep.JKS), trustkeep.Password(pkitest.Password))
	if err != nil {
		t.Fatal(err)
	}
	client, err := keys.Identity("client")
	if err != nil {
		t.Fatal(err)
	}
	d := newDialer(t, tlsctx.Builder{Trusted: trust, Identity: client})
	for name, first := range map[string]bool{"TLS after the greeting": false, "TLS first": true} {
		t.Run(name, func(t *testing.T) {
			b := secureBroker(t, pki, func(o *server.Options) { o.TLSHandshakeFirst = first })
			s, err := connectTLS(t, b, d, first, Options{})
			if err != nil {
				t.Fatal(err)
			}
			revision, err := s.Put(t.Context(), "components/a", []byte("secret"), 0)
			if err != nil {
				t.Fatal(err)
			}
			b.restart() // and a handshake of its own
			r, err := s.Get(t.Context(), "components/a")
			if err != nil || string(r.Value) != "secret" || r.Revision != revision {
				t.Errorf("Get = %+v, %v", r, err)
			}
		})
	}
}

func TestConnectRefusesAndIsRefused(t *testing.T) {
	pki, other := pkitest.New(t), pkitest.Options{Name: "Other"}.New(t)
	secure := secureBroker(t, pki, nil)
	plain := newBroker(t, nil)
	for name, test := range map[string]struct {
		broker *broker
		with   tlsctx.Builder
		check  func(error) bool
	}{
		"a server that is not trusted": {secure, tlsctx.Builder{Trusted: other.Trust(), Identity: pki.Client}, isHandshake},
		"a server of another name":     {secure, tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.Client, ServerName: "nats.example"}, isHandshake},
		"a server without TLS":         {plain, tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.Client}, func(err error) bool { return errors.Is(err, nats.ErrSecureConnWanted) }},
		"a client without identity":    {secure, tlsctx.Builder{Trusted: pki.Trust()}, isHandshakeOrAlert},
		"a client who is not trusted":  {secure, tlsctx.Builder{Trusted: pki.Trust(), Identity: other.Client}, isHandshakeOrAlert},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := connectTLS(t, test.broker, newDialer(t, test.with), false, Options{})
			if err == nil {
				s.Close()
			}
			if !test.check(err) {
				t.Errorf("error %T: %v", err, err)
			}
		})
	}
}

func isHandshake(err error) bool {
	var h *tlsctx.HandshakeError
	return errors.As(err, &h)
}

// The server objects after the handshake, in TLS 1.3.
func isHandshakeOrAlert(err error) bool {
	var alert tls.AlertError
	return isHandshake(err) || errors.As(err, &alert) || err != nil && strings.Contains(err.Error(), "remote error: tls")
}

// Trust that is taken away ends a connection that is open already, and what comes back
// catches up.
func TestTrustTakenAwayAndGivenBack(t *testing.T) {
	pki := pkitest.New(t)
	b := secureBroker(t, pki, nil)
	trust := pki.Trust()
	if err := trust.Add("spare", pkitest.New(t).CA.Leaf()); err != nil { // one that is empty is another error
		t.Fatal(err)
	}
	d := newDialer(t, tlsctx.Builder{Trusted: trust, Identity: pki.Client})
	d.Track = true
	s, err := connectTLS(t, b, d, false, Options{Timeout: 2 * time.Second}) // in which a loaded machine connects
	if err != nil {
		t.Fatal(err)
	}
	other, err := connectTLS(t, b, newDialer(t, tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.Client}), false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	updates, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if u := next(t, updates); !u.Full || len(u.Records) != 0 {
		t.Fatalf("first update %+v", u)
	}
	if err := trust.RemoveCertificate(pki.CA.Leaf()); err != nil {
		t.Fatal(err)
	}
	if n := d.Recheck(); n != 1 {
		t.Fatalf("%d connections are closed, want 1", n)
	}
	if _, err := s.Put(t.Context(), "k", []byte("x"), 0); err == nil || !isHandshake(err) {
		t.Errorf("Put through a server that is no longer trusted: %v", err)
	}
	if _, err := other.Put(t.Context(), "k", []byte("missed"), 0); err != nil {
		t.Fatal(err)
	}
	nextWith(t, updates, "refusal", func(u environment.Update) bool { return isHandshake(u.Err) })
	if err := trust.Add("again", pki.CA.Leaf()); err != nil {
		t.Fatal(err)
	}
	u := nextWith(t, updates, "update after the trust is back", func(u environment.Update) bool { return u.Err == nil })
	if len(u.Records) != 1 || string(u.Records[0].Value) != "missed" {
		t.Errorf("update after the trust is back: %+v", u)
	}
}

// next waits for an update that says something.
func next(t *testing.T, updates <-chan environment.Update) environment.Update {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				t.Fatal("the watch ended")
			}
			if u.Full || len(u.Records) > 0 || u.Err != nil {
				return u
			}
		case <-timeout.C:
			t.Fatal("no update")
		}
	}
}

// What an attacker between client and server sends in the clear before TLS.
func TestGreeting(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		want error // nil is accepted
	}{
		"TLS required":          {"INFO {\"tls_required\":true}\r\n", nil},
		"TLS available":         {"INFO {\"tls_available\":true}\r\n", nil},
		"TLS stripped":          {"INFO {\"tls_required\":false}\r\n", nats.ErrSecureConnWanted},
		"more than a greeting":  {"INFO {\"tls_required\":true}\r\nPING\r\n", trustkeep.ErrCorrupt},
		"another protocol":      {"220 mail.example ESMTP\r\n", trustkeep.ErrCorrupt},
		"not JSON":              {"INFO tls_required\r\n", trustkeep.ErrCorrupt},
		"half a greeting":       {"INFO {\"tls_req", io.ErrUnexpectedEOF},
		"nothing":               {"", io.ErrUnexpectedEOF},
		"a greeting of a novel": {"INFO {\"x\":\"" + strings.Repeat("x", maxInfo) + "\"}\r\n", trustkeep.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			client, peer := net.Pipe()
			defer client.Close()
			go func() { io.WriteString(peer, test.sent); peer.Close() }()
			line, err := greeting(t.Context(), client)
			if !errors.Is(err, test.want) || err == nil && string(line) != test.sent {
				t.Errorf("greeting = %q, %v; want error %v", line, err, test.want)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		client, peer := net.Pipe()
		defer client.Close()
		defer peer.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := greeting(ctx, client); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestConnectRefusesWebSocketWithTLS(t *testing.T) {
	pki := pkitest.New(t)
	_, err := Connect(t.Context(), Server{URLs: []string{"wss://127.0.0.1:1"}, TLS: newDialer(t, tlsctx.Builder{Trusted: pki.Trust()})}, Options{})
	if !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}
