package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func dialerOf(t *testing.T, trusted *truststore.Truststore, me *keystore.Identity, now time.Time) *tlsctx.Dialer {
	t.Helper()
	d, err := tlsctx.Builder{Trusted: trusted, Identity: me, Clock: func() time.Time { return now }}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestInteropPostgresTLS is what README.md shows, against a server that wants a certificate by A.
func TestInteropPostgresTLS(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "postgres", "initdb", "pg_ctl")
	testtool.Exchange{Peer: "postgres", Mode: "storage, TLS", What: "records with client certificates, the second of two hosts; another trust and another client refused"}.Log(t)
	o := pkitest.Options{Now: time.Now()} // the server has the machine's clock
	a, b := o.New(t), o.New(t)
	s := newServer(t)
	s.run("initdb", "-D", s.data(), "-U", "me", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	s.write("data/pg_hba.conf", "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n")
	encode := func(e interface {
		Encode(trustkeep.SaveOptions) ([]byte, error)
	}) string {
		data, err := e.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	store := keystore.New()
	if err := store.SetIdentity("server", a.Server); err != nil {
		t.Fatal(err)
	}
	certificate, ca := s.write("server.pem", encode(store)), s.write("ca.pem", encode(a.Trust()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s.more = []string{"-c", "listen_addresses=127.0.0.1", "-p", port, "-c", "ssl=on", "-c", "ssl_cert_file=" + certificate, "-c", "ssl_key_file=" + certificate, "-c", "ssl_ca_file=" + ca}
	s.begin()
	// The first host has no server.
	config := func(d *tlsctx.Dialer) *pgxpool.Config {
		c, err := pgxpool.ParseConfig(fmt.Sprintf("postgres://me@none.invalid:%s,localhost:%s/postgres", port, port))
		if err != nil {
			t.Fatal(err)
		}
		if err := UseTLS(c, d); err != nil {
			t.Fatal(err)
		}
		return c
	}
	open := func(d *tlsctx.Dialer) (*Storage, error) {
		p, err := pgxpool.NewWithConfig(t.Context(), config(d))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return Open(t.Context(), p, Options{Heartbeat: testBeat})
	}
	d := dialerOf(t, a.Trust(), a.Client, a.Now())
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, _ := net.SplitHostPort(address)
		if host != "localhost" {
			return nil, errors.New("no such host")
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	storage, err := open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer storage.Close()
	updates, err := storage.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, storage, "a", "1", 0)
	until(t, updates, func(u environment.Update) bool { return len(u.Records) == 1 })
	var version string
	if err := storage.pool.QueryRow(t.Context(), `SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&version); err != nil || version != "TLSv1.3" {
		t.Errorf("TLS %q, %v", version, err)
	}
	var refused *tlsctx.HandshakeError
	other, stranger := dialerOf(t, b.Trust(), a.Client, a.Now()), dialerOf(t, a.Trust(), b.Client, a.Now())
	other.Dial, stranger.Dial = d.Dial, d.Dial
	if _, err := open(other); !errors.As(err, &refused) {
		t.Errorf("a server that is not trusted: %v", err)
	}
	if _, err := open(stranger); err == nil {
		t.Error("a client of another CA is let in")
	} else {
		t.Logf("a client of another CA: %v", err)
	}
}

// A server without TLS, or one in the middle that says so, gets nothing in clear.
func TestNoTLS(t *testing.T) {
	a := pkitest.New(t)
	got := make(chan string, 10)
	address := testnet.Serve(t, func(c net.Conn) {
		asked := make([]byte, 100)
		n, _ := c.Read(asked)
		c.Write([]byte("N"))
		m, _ := c.Read(asked[n:])
		got <- string(asked[:n+m])
	})
	for _, mode := range []string{"disable", "prefer", "require"} {
		c, err := pgxpool.ParseConfig("postgres://me:secret@" + address + "/registry?sslmode=" + mode)
		if err != nil {
			t.Fatal(err)
		}
		if err := UseTLS(c, dialerOf(t, a.Trust(), a.Client, a.Now())); err != nil {
			t.Fatal(err)
		}
		p, err := pgxpool.NewWithConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := Open(t.Context(), p, Options{}); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", mode, err)
		}
		if sent := <-got; sent != string(sslRequest) {
			t.Errorf("%s: sent %q", mode, sent)
		}
	}
	socket, err := pgxpool.ParseConfig("host=/tmp user=me")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*pgxpool.Config{nil, {}, socket} {
		if err := UseTLS(c, dialerOf(t, a.Trust(), a.Client, a.Now())); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("UseTLS(%v): %v", c, err)
		}
	}
}
