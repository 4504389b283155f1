package tlsctx_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// stolen is another's certificate without its key: whoever has it signs with a key of his own.
func stolen(t *testing.T, of, by *testpki.Identity) tls.Certificate {
	t.Helper()
	c := of.TLSCertificate()
	c.PrivateKey = thief{by.Key, of.Key.Public()}
	return c
}

type thief struct {
	crypto.Signer
	claims crypto.PublicKey
}

func (t thief) Public() crypto.PublicKey { return t.claims }

// heard collects what Accepted is told.
type heard struct {
	mu    sync.Mutex
	peers []tlsctx.Peer
}

func (h *heard) note(p tlsctx.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers = append(h.peers, p)
}

func (h *heard) take() []tlsctx.Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.peers
	h.peers = nil
	return taken
}

// A certificate is public. Whoever sends it without having its key leaves no trace, on either
// side and under both versions.
func TestStolenCertificateLeavesNoTrace(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	mine, theirs := pki.Client("owner"), pki.Client("thief")
	for _, version := range versions {
		for _, auth := range []tlsctx.ClientAuth{tlsctx.RequestClientAuth, tlsctx.RequireClientAuth} {
			for _, conceal := range []bool{false, true} {
				var seen heard
				inner, err := net.Listen("tcp", "127.0.0.1:0")
				must(t, err)
				l, err := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: auth, Trusted: store(pki.Root), ConcealCAs: conceal, Accepted: seen.note}.Listen(inner)
				must(t, err)
				testnet.ServeOn(t, l, func(conn net.Conn) {
					if conn.(*tls.Conn).Handshake() == nil {
						conn.Write([]byte{'!'})
						io.Copy(io.Discard, conn)
					}
				})
				dial := func(cert tls.Certificate) error {
					cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version})
					cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
					conn, err := tls.Dial("tcp", inner.Addr().String(), cfg)
					if err != nil {
						return err
					}
					defer conn.Close()
					_, err = conn.Read(make([]byte, 1))
					return err
				}
				if err := dial(stolen(t, mine, theirs)); err == nil {
					t.Fatal("a certificate without its key was accepted")
				}
				if p := seen.take(); len(p) != 0 {
					t.Errorf("%s, %s, concealed %v: noted %s", tls.VersionName(version), auth, conceal, p[0].Certificates[0].Subject)
				}
				if err := dial(mine.TLSCertificate()); err != nil {
					t.Fatal(err)
				}
				if p := seen.take(); len(p) != 1 || !p[0].Certificates[0].Equal(mine.Cert) || p[0].Purpose != truststore.Client || p[0].ServerName != host {
					t.Errorf("%s, %s: the owner was noted as %+v", tls.VersionName(version), auth, p)
				}
			}
		}
	}
}

// The same of a server, towards everything that dials.
func TestStolenServerCertificateLeavesNoTrace(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	for _, version := range versions {
		for name, allow := range map[string][]truststore.Relaxation{"crypto/tls": nil, "taken over": truststore.JavaHTTPS()} {
			for _, honest := range []bool{false, true} {
				cert := stolen(t, leaf, pki.Server(host))
				if honest {
					cert = leaf.TLSCertificate()
				}
				web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version}
				web.Config.ErrorLog = quiet()
				web.StartTLS()
				address := web.Listener.Addr().String()
				proxy := httptest.NewServer(tunnel(t, address))
				at, err := url.Parse(proxy.URL)
				must(t, err)
				direct := func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, address)
				}
				var seen heard
				b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Allow: allow, Accepted: seen.note}
				d := mustDialer(t, b)
				d.Dial = direct
				for what, dial := range map[string]func() error{
					"Dialer": func() error {
						conn, err := d.DialContext(t.Context(), "tcp", host+":443")
						if err == nil {
							conn.Close()
						}
						return err
					},
					"Transport":                requestOver(t, b, &http.Transport{DialContext: direct}),
					"Transport behind a proxy": requestOver(t, b, &http.Transport{Proxy: http.ProxyURL(at)}),
				} {
					if err := dial(); (err == nil) != honest {
						t.Errorf("%s, %s, %s, honest %v: %v", tls.VersionName(version), name, what, honest, err)
					}
					p := seen.take()
					switch {
					case !honest && len(p) > 0:
						t.Errorf("%s, %s, %s: noted without having the key", tls.VersionName(version), name, what)
					case honest && (len(p) != 1 || !p[0].Certificates[0].Equal(leaf.Cert) || p[0].ServerName != host || p[0].Purpose != truststore.Server):
						t.Errorf("%s, %s, %s: noted as %+v", tls.VersionName(version), name, what, p)
					}
				}
				web.Close()
				proxy.Close()
			}
		}
	}
}

// requestOver makes one request.
func requestOver(t *testing.T, b tlsctx.Builder, base *http.Transport) func() error {
	return func() error {
		transport, err := b.Transport(base)
		must(t, err)
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get("https://" + host)
		if err != nil {
			return err
		}
		return r.Body.Close()
	}
}

// Accepted is told about resumed handshakes too, and not about what is refused.
func TestAcceptedByAll(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf, me := pki.Server(host), pki.Client("me")
	for _, pins := range [][]truststore.Pin{nil, {truststore.PinKey(leaf.Cert)}} {
		var clients, servers heard
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		l, err := tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Accepted: clients.note}.Listen(inner)
		must(t, err)
		testnet.ServeOn(t, l, func(conn net.Conn) {
			conn.Write([]byte{'!'})
			io.Copy(io.Discard, conn)
		})
		d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(me), Accepted: servers.note, Pins: pins})
		d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
		}
		for i := range 2 {
			conn, err := d.DialContext(t.Context(), "tcp", host+":443")
			must(t, err)
			conn.Read(make([]byte, 1))
			conn.Close()
			for purpose, h := range map[truststore.Purpose]*heard{truststore.Server: &servers, truststore.Client: &clients} {
				p := h.take()
				if len(p) != 1 || p[0].Purpose != purpose || p[0].ServerName != host || p[0].Resumed != (i == 1) || !p[0].Proved || p[0].Verdict != nil {
					t.Errorf("handshake %d, %s: %+v", i, purpose, p)
				}
			}
		}
		if conn, err := d.DialContext(t.Context(), "tcp", "wrong.example:443"); err == nil {
			conn.Close()
			t.Error("another name is accepted")
		}
		if p := servers.take(); len(p) != 0 {
			t.Errorf("told about a server that was refused: %+v", p)
		}
	}
}

// Nobody learns when a handshake by a bare configuration is complete, so there is none with
// Accepted, unless it may miss them.
func TestAcceptedNeedsTheEndOfHandshakes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	told := false
	b := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth,
		Identity: identity(pki.Issue(testpki.Request{Names: []string{host}})), // of either side
		Accepted: func(tlsctx.Peer) { told = true }}
	bare := map[string]func(tlsctx.Builder) (*tls.Config, error){"Client": tlsctx.Builder.Client, "LiveClient": tlsctx.Builder.LiveClient, "Server": tlsctx.Builder.Server}
	for name, build := range bare {
		if cfg, err := build(b); cfg != nil || !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.AcceptedBestEffort = true
	configs := make(map[string]*tls.Config)
	for name, build := range bare {
		cfg, err := build(b)
		must(t, err)
		configs[name] = cfg
	}
	accept(t, configs["Client"], configs["Server"], false)
	accept(t, configs["LiveClient"], configs["Server"], false)
	if told {
		t.Error("told about a bare configuration")
	}
}

// Authorize is told that the peer has proved nothing yet.
func TestAuthorizeDecidesBeforeTheProof(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	mine, theirs := pki.Client("owner"), pki.Client("thief")
	var asked heard
	b := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root),
		Authorize: func(_ context.Context, p tlsctx.Peer) error { asked.note(p); return nil }}
	cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
	cert := stolen(t, mine, theirs)
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	refuse(t, cfg, mustServer(t, b))
	if p := asked.take(); len(p) != 1 || p[0].Proved || !p[0].Certificates[0].Equal(mine.Cert) {
		t.Errorf("%+v", p)
	}
}
