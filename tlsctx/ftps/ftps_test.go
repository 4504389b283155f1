package ftps_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

// ftpsServer is the TLS side of an FTPS server: a control connection that answers each
// octet with one, and data connections that take an upload.
type ftpsServer struct {
	config        *tls.Config
	control, data net.Listener
	uploads       chan upload
}

type upload struct {
	content []byte
	state   tls.ConnectionState
	err     error
}

func newFTPSServer(t *testing.T, cfg *tls.Config) *ftpsServer {
	t.Helper()
	s := &ftpsServer{config: cfg, uploads: make(chan upload, 16)}
	listen := func(serve func(*tls.Conn)) net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		testnet.ServeOn(t, l, func(raw net.Conn) { serve(tls.Server(raw, cfg)) })
		return l
	}
	s.control = listen(func(c *tls.Conn) { io.Copy(c, c); c.Close() })
	s.data = listen(func(c *tls.Conn) {
		var u upload
		if u.err = c.Handshake(); u.err == nil {
			u.state = c.ConnectionState()
			// In small pieces, so that what is under way when the client closes is much.
			var all bytes.Buffer
			_, u.err = io.CopyBuffer(struct{ io.Writer }{&all}, struct{ io.Reader }{c}, make([]byte, 1024))
			u.content = all.Bytes()
			c.Close()
		}
		s.uploads <- u
	})
	return s
}

// session is an FTPS session by the Builder, whose control connection has been answered.
func (s *ftpsServer) session(t *testing.T, b tlsctx.Builder) *ftps.Session {
	t.Helper()
	f, err := ftps.New(b, net.JoinHostPort(host, "21"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", s.control.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	control, err := f.Control(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if control.ConnectionState().DidResume {
		t.Error("a control connection resumed another session")
	}
	command := make([]byte, 1)
	if _, err := control.Write(command); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(control, command); err != nil {
		t.Fatal(err)
	}
	if !f.CanResume() {
		t.Error("no session to resume after an answer")
	}
	return f
}

func (s *ftpsServer) upload(ctx context.Context, f *ftps.Session, content []byte) (upload, error) {
	raw, err := net.Dial("tcp", s.data.Addr().String())
	if err != nil {
		return upload{}, err
	}
	data := f.Data(ctx, raw)
	if err := data.Handshake(); err != nil {
		<-s.uploads
		return upload{}, err
	}
	_, err = data.Write(content)
	if err := errors.Join(err, data.Close()); err != nil {
		return upload{}, err
	}
	return <-s.uploads, nil
}

// Data connections resume the session of their control connection, one after another, and
// lose nothing although the client never reads.
func TestFTPS(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	me := pki.Client("me")
	content := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	for _, version := range versions {
		s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), MaxVersion: version}))
		for what, b := range map[string]tlsctx.Builder{"chain": {Trusted: store(pki.Root)}, "pinned": {Trusted: truststore.Pinned(truststore.PinCertificate(s.leaf(t)))}} {
			b.Identity, b.Clock = identity(me), pki.Now
			f := s.session(t, b)
			for i := range 6 {
				u, err := s.upload(t.Context(), f, content)
				if err != nil || u.err != nil || !u.state.DidResume || !bytes.Equal(u.content, content) {
					t.Fatalf("%s, %s, data connection %d: %v, %v, resumed %v, %d of %d octets", tls.VersionName(version), what, i, err, u.err, u.state.DidResume, len(u.content), len(content))
				}
				if !u.state.PeerCertificates[0].Equal(me.Cert) {
					t.Errorf("presented %s", u.state.PeerCertificates[0].Subject)
				}
			}
			if u, err := s.upload(t.Context(), f, nil); err != nil || u.err != nil || len(u.content) != 0 {
				t.Errorf("an empty upload: %v, %v", err, u.err)
			}
		}
	}
}

// leaf is the certificate that the server presents.
func (s *ftpsServer) leaf(t *testing.T) (leaf *x509.Certificate) {
	t.Helper()
	chosen, err := s.config.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	return chosen.Certificates[0].Leaf
}

// Trust that grows does not disturb a session, trust that shrinks ends it.
func TestFTPSFollowsTrust(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, version := range versions {
		s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, MaxVersion: version}))
		trust := store(pki.Root)
		f := s.session(t, tlsctx.Builder{Trusted: trust, Clock: pki.Now})
		must(t, trust.Add("", other.Root.Cert))
		if u, err := s.upload(t.Context(), f, []byte("x")); err != nil || !u.state.DidResume {
			t.Errorf("%v, resumed %v", err, u.state.DidResume)
		}
		must(t, trust.RemoveCertificate(pki.Root.Cert))
		_, err := s.upload(t.Context(), f, []byte("x"))
		if e, ok := errors.AsType[*tlsctx.HandshakeError](err); !ok || e.Verify == nil || e.ServerName != host {
			t.Errorf("%v", err)
		}
	}
}

// A control connection that a library makes by Config begins a session that data connections
// resume, verified by crypto/tls, and trust that shrinks afterwards counts for it.
func TestConfigBeginsTheSession(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, version := range versions {
		leaf := pki.Server(host)
		s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now, MaxVersion: version}))
		trust := store(pki.Root, other.Root)
		f, err := ftps.New(tlsctx.Builder{Trusted: trust, Clock: pki.Now, Pins: []truststore.Pin{truststore.PinKey(leaf.Cert)}}, host+":21")
		must(t, err)
		cfg := f.Config()
		dial := func() (*tls.Conn, error) {
			t.Helper()
			conn, err := tls.Dial("tcp", s.control.Addr().String(), cfg)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { conn.Close() })
			conn.Write([]byte("x"))
			_, err = io.ReadFull(conn, make([]byte, 1))
			return conn, err
		}
		conn, err := dial()
		if err != nil || len(conn.ConnectionState().VerifiedChains) == 0 || cfg.RootCAs == nil {
			t.Fatalf("%v", err)
		}
		if u, err := s.upload(t.Context(), f, []byte("x")); err != nil || !u.state.DidResume {
			t.Errorf("%v, resumed %v", err, u.state.DidResume)
		}
		must(t, trust.RemoveCertificate(pki.Root.Cert))
		if _, err := dial(); err == nil {
			t.Error("the configuration does not follow trust that shrinks")
		}
		must(t, trust.RemoveCertificate(other.Root.Cert))
		cfg = f.Config()
		if _, err := dial(); err == nil {
			t.Error("accepted without trust")
		}
	}
}

// Accepted is told about connections whose handshake is complete, and about no other.
func TestFTPSTellsAccepted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	var peers []tlsctx.Peer
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Accepted: func(p tlsctx.Peer) { peers = append(peers, p) }}
	s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(leaf), Clock: pki.Now}))
	f := s.session(t, b)
	if _, err := s.upload(t.Context(), f, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if len(peers) != 2 || peers[0].Resumed || !peers[1].Resumed || !peers[0].Proved || peers[0].ServerName != host || !peers[1].Certificates[0].Equal(leaf.Cert) {
		t.Errorf("%+v", peers)
	}
	peers = nil
	for _, version := range versions {
		stolen := leaf.TLSCertificate()
		stolen.PrivateKey = thief{pki.Server(host).Key, leaf.Key.Public()}
		s := newFTPSServer(t, &tls.Config{Certificates: []tls.Certificate{stolen}, MaxVersion: version})
		f, err := ftps.New(b, host+":21")
		must(t, err)
		raw, err := net.Dial("tcp", s.control.Addr().String())
		must(t, err)
		if _, err := f.Control(t.Context(), raw); err == nil || len(peers) > 0 {
			t.Errorf("%s: another's certificate: %v, %+v", tls.VersionName(version), err, peers)
		}
	}
}

// thief signs with a key of his own and claims another's.
type thief struct {
	crypto.Signer
	claims crypto.PublicKey
}

func (t thief) Public() crypto.PublicKey { return t.claims }

func TestFTPSRefusesToBuild(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for name, c := range map[string]struct {
		address string
		b       tlsctx.Builder
		want    error
	}{
		"no trust":    {host + ":21", tlsctx.Builder{Trusted: store()}, trustkeep.ErrEmpty},
		"no key":      {host + ":21", tlsctx.Builder{Trusted: store(pki.Root), Identity: tlsctx.StaticIdentity(tls.Certificate{})}, trustkeep.ErrEmpty},
		"old version": {host + ":21", tlsctx.Builder{Trusted: store(pki.Root), MinVersion: tls.VersionTLS10}, trustkeep.ErrInvalid},
	} {
		if _, err := ftps.New(c.b, c.address); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, address := range []string{host, "", "a b:21", host + ":"} {
		if _, err := ftps.New(tlsctx.Builder{Trusted: store(pki.Root)}, address); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The identity stays that of the beginning, whatever routes say later.
func TestIdentityStays(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	routes := new(tlsctx.Routes)
	must(t, routes.Set(host+":21", identity(pki.Client("at first"))))
	f := s.session(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes, Identity: identity(pki.Client("fallback"))})
	must(t, routes.Set(host+":21", identity(pki.Client("later"))))
	for range 2 {
		if u, err := s.upload(t.Context(), f, []byte("x")); err != nil || u.state.PeerCertificates[0].Subject.CommonName != "at first" {
			t.Errorf("%v, %+v", err, u)
		}
	}
}

// Hooks of the Builder are asked about each connection, under the context of its handshake.
func TestHooksHaveTheContext(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}))
	type key struct{}
	var mu sync.Mutex
	var asked []any
	note := func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, ctx.Value(key{}))
		return nil
	}
	trust := store(pki.Root)
	b := tlsctx.Builder{Trusted: trust, Clock: pki.Now, Revocation: checker(note), Authorize: func(ctx context.Context, _ tlsctx.Peer) error { return note(ctx) }}
	f := s.session(t, b)
	for i := range 2 {
		if u, err := s.upload(context.WithValue(t.Context(), key{}, i), f, []byte("x")); err != nil || !u.state.DidResume {
			t.Errorf("%v, resumed %v", err, u.state.DidResume)
		}
	}
	if want := []any{nil, nil, 0, 0, 1, 1}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	must(t, trust.RemoveCertificate(pki.Root.Cert))
	_, err := s.upload(t.Context(), f, []byte("x"))
	if e, ok := errors.AsType[*tlsctx.HandshakeError](err); !ok || e.Code != truststore.CodeEmptyStore {
		t.Errorf("trust that has run empty: %v", err)
	}
}

type checker func(context.Context) error

func (c checker) CheckRevocation(ctx context.Context, _ truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, c(ctx)
}

// A Session prints no key, in whatever it is held.
func TestSessionDoesNotPrintKeys(t *testing.T) {
	pki := testpki.New(t, testpki.Options{KeyType: testpki.Ed25519})
	me := pki.Client("me")
	f, err := ftps.New(tlsctx.Builder{Trusted: store(pki.Root), Identity: bare{me.TLSCertificate()}}, host+":21")
	must(t, err)
	seed := me.Key.(ed25519.PrivateKey).Seed()
	for _, v := range []any{f, f.Config(), struct{ s *ftps.Session }{f}, []*ftps.Session{f}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			text := fmt.Sprintf(verb, v)
			for _, form := range []string{string(seed), fmt.Sprintf("%x", seed), strings.Trim(fmt.Sprint(seed), "[]")} {
				if strings.Contains(text, form) {
					t.Errorf("%T with %s: %.100s", v, verb, text)
				}
			}
		}
	}
}

// bare is an identity whose key prints.
type bare struct{ Cert tls.Certificate }

func (b bare) TLSCertificate() (*tls.Certificate, error) { return &b.Cert, nil }

const host = "server.example"

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func identity(id *testpki.Identity) trustkeep.Identity {
	return tlsctx.StaticIdentity(id.TLSCertificate())
}

func store(ids ...*testpki.Identity) *truststore.Truststore {
	var certs []*x509.Certificate
	for _, id := range ids {
		certs = append(certs, id.Cert)
	}
	return truststore.New(certs...)
}

func mustServer(t *testing.T, b tlsctx.Builder) *tls.Config {
	t.Helper()
	cfg, err := b.Server()
	must(t, err)
	return cfg
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFTPSByURI: a server without a DNS name is known by its URI, on control and data connections.
func TestFTPSByURI(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	const id = "spiffe://domain.example/ftp"
	svid := pki.Issue(testpki.Request{CommonName: "ftp", Edit: func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "domain.example", Path: "/ftp"}}
	}})
	for _, version := range versions {
		s := newFTPSServer(t, mustServer(t, tlsctx.Builder{Identity: identity(svid), Clock: pki.Now, MaxVersion: version}))
		trust := store(pki.Root)
		b := tlsctx.Builder{Trusted: trust, ServerURI: id, Clock: pki.Now}
		f := s.session(t, b)
		if u, err := s.upload(t.Context(), f, []byte("x")); err != nil || !u.state.DidResume {
			t.Errorf("%v, resumed %v", err, u.state.DidResume)
		}
		b.ServerURI = id + "2"
		wrong, err := ftps.New(b, host+":21")
		must(t, err)
		raw, err := net.Dial("tcp", s.control.Addr().String())
		must(t, err)
		if conn, err := wrong.Control(t.Context(), raw); err == nil {
			conn.Close()
			t.Error("accepted under another URI")
		}
	}
}
