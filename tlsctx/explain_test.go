package tlsctx_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestExplain(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	b := tlsctx.Builder{
		Global: store(pki.Root, pki.Intermediate), Trusted: store(pki.Server(host)),
		Identity: identity(pki.Expired("partner")), ServerName: host + "\x1b", ClientAuth: tlsctx.RequestClientAuth, Clock: pki.Now,
		MaxVersion: tls.VersionTLS12,
	}
	e := b.Explain()
	if e.Trust.Origin != tlsctx.FromTrusted || e.Trust.Anchors != 1 || len(e.Ignored) != 1 || e.Ignored[0].Origin != tlsctx.FromGlobal ||
		e.Ignored[0].Anchors != 2 || e.Identity == nil || e.Identity.Issuers != 1 || len(e.Errors) != 0 {
		t.Errorf("%+v", e)
	}
	text := e.String()
	for _, want := range []string{
		"trust: the connection's own trust (1 certificate)",
		"ignored: the environment's trust (2 certificates): the connection's own trust replaces it",
		"identity: CN=partner", "issued by CN=A Intermediate CA", "not valid now: it expired on",
		`server name: server.example\x1b`, "client certificates: requested", "versions: TLS 1.2 to TLS 1.2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	data, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(data), `"origin":"trusted"`) {
		t.Errorf("%s, %v", data, err)
	}

	b.Trusted = nil
	if e := b.Explain(); e.Trust.Origin != tlsctx.FromGlobal || len(e.Ignored) != 1 || e.Ignored[0].Origin != tlsctx.FromSystem {
		t.Errorf("global: %+v", e)
	}
	if e := (tlsctx.Builder{}).Explain(); e.Trust.Origin != tlsctx.FromSystem || len(e.Ignored) != 0 || e.Identity != nil {
		t.Errorf("zero builder: %+v", e)
	}
}

// TestExplainErrorHTTP: the errors of http.Client carry the name.
func TestExplainErrorHTTP(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	server.TLS = mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), NextProtos: []string{"h2", "http/1.1"}})
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()

	get := func(b tlsctx.Builder) error {
		transport := &http.Transport{TLSClientConfig: mustClient(t, b), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err == nil {
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if string(body) != "HTTP/2.0" {
				t.Errorf("protocol %s", body)
			}
		}
		return err
	}
	b := tlsctx.Builder{Trusted: store(pki.Root)}
	e := explained(t, b.ExplainError(get(b))) // the URL names 127.0.0.1
	if e.Code != "name-mismatch" || e.ServerName != "127.0.0.1" || !strings.Contains(e.Error(), `made out to server.example, not to "127.0.0.1"`) {
		t.Error(e)
	}
	if _, ok := errors.AsType[*url.Error](e); !ok {
		t.Error("the error of http.Client is lost")
	}
	b.ServerName = host
	if err := get(b); err != nil {
		t.Error(b.ExplainError(err))
	}
	b.Trusted = store(pki.SelfSigned(host))
	if e := explained(t, b.ExplainError(get(b))); e.Code != "unknown-issuer" {
		t.Error(e)
	}

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: mustClient(t, b)}}).Get(strings.Replace(plain.URL, "http:", "https:", 1))
	if e := explained(t, b.ExplainError(err)); e.Code != tlsctx.CodeNotTLS || !strings.Contains(e.Error(), "plain HTTP") {
		t.Error(e)
	}
}

// TestExplainErrorPeers explains what peers do that are not TLS servers.
func TestExplainErrorPeers(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host}
	tests := []struct {
		name  string
		serve func(net.Conn)
		code  trustkeep.Code
		text  string
	}{
		{"ftp", func(c net.Conn) { io.WriteString(c, "220 ready\r\n") }, tlsctx.CodeNotTLS, "STARTTLS"},
		{"imap", func(c net.Conn) { io.WriteString(c, "* OK IMAP4rev1\r\n") }, tlsctx.CodeNotTLS, "IMAP"},
		{"ssh", func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n") }, tlsctx.CodeNotTLS, "SSH"},
		{"http", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, tlsctx.CodeNotTLS, "plain HTTP"},
		{"hang up", func(c net.Conn) {}, tlsctx.CodeClosed, "no identity to present"},
		{"reset", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, tlsctx.CodeClosed, "hang up like this"},
		{"garbage", func(c net.Conn) { c.Write([]byte{22, 3, 3, 0, 4, 99, 0, 0, 0}) }, tlsctx.CodeTLS, "unexpected"},
		{"silence", nil, tlsctx.CodeTimeout, "did not answer"},
		{"handshake_failure", func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, tlsctx.CodeNothingInCommon, "Builder.Identity"},
		{"access_denied", func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 49}) }, tlsctx.CodeAccessDenied, "denied"},
		{"unrecognized_name", func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 112}) }, tlsctx.CodeUnknownName, "ServerName"},
		{"internal_error", func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 80}) }, tlsctx.CodeAlert, "log"},
		{"unknown alert", func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 200}) }, tlsctx.CodeAlert, "200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := listener.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				hello := make([]byte, 5)
				io.ReadFull(c, hello) // or closing would reset the connection
				io.CopyN(io.Discard, c, int64(hello[3])<<8|int64(hello[4]))
				if tt.serve == nil {
					io.Copy(io.Discard, c) // until the client gives up
					return
				}
				tt.serve(c)
			}()
			raw, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { raw.Close(); <-done }()
			raw.SetDeadline(time.Now().Add(time.Minute))
			if tt.serve == nil {
				raw.SetDeadline(time.Now().Add(50 * time.Millisecond))
			}
			err = tls.Client(raw, mustClient(t, b)).Handshake()
			e := explained(t, b.ExplainError(err))
			t.Log(e)
			if e.Code != tt.code || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("code %q, want %q: %v", e.Code, tt.code, e)
			}
			if len(e.Error()) > 2048 {
				t.Errorf("%d bytes", len(e.Error()))
			}
			if data, err := json.Marshal(e); err != nil || !strings.Contains(string(data), `"code":"`+string(tt.code)+`"`) {
				t.Errorf("json %s, %v", data, err)
			}
		})
	}
}

// TestExplainErrorPasses: what is not about TLS stays as it is.
func TestExplainErrorPasses(t *testing.T) {
	b := tlsctx.Builder{}
	if err := b.ExplainError(nil); err != nil {
		t.Error(err)
	}
	_, dial := net.Dial("tcp", "127.0.0.1:1")
	for _, err := range []error{errors.New("disk full"), dial} {
		if got := b.ExplainError(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	once := b.ExplainError(io.EOF)
	if twice := b.ExplainError(once); twice != once {
		t.Error("explained twice")
	}
}

// TestExplainErrorHostile: explanations of hostile certificates are short and
// clean.
func TestExplainErrorHostile(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	names := make([]string, 1000)
	for i := range names {
		names[i] = strings.Repeat("x", 50) + ".example"
	}
	nasty := pki.Issue(testpki.Request{CommonName: strings.Repeat("\x1b[2J\n", 100), Names: names, SelfSigned: true})
	b := tlsctx.Builder{Trusted: store(pki.Root), Global: store(nasty), ServerName: host}
	o := refuse(t, mustClient(t, b), &tls.Config{Certificates: []tls.Certificate{nasty.TLSCertificate()}})
	e := explained(t, b.ExplainError(o.clientErr))
	if text := e.Error(); len(text) > 2048 || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}

// TestExplainChanged: trust that changed since the handshake is not blamed.
func TestExplainChanged(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	trusted := store(pki.SelfSigned("x"))
	b := tlsctx.Builder{Trusted: trusted, ServerName: host}
	o := refuse(t, mustClient(t, b), mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host))}))
	must(t, trusted.Add("", pki.Root.Cert))
	if e := explained(t, b.ExplainError(o.clientErr)); e.Code != tlsctx.CodeChanged || e.Verify != nil {
		t.Error(e)
	}
}

// TestExplainWithoutName: a dialler that knows the name gets it from there, and
// the explanation still holds without it.
func TestExplainWithoutName(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Trusted: store(pki.Root)}
	for name, id := range map[trustkeep.Code]*testpki.Identity{
		"expired": pki.Expired(host), "name-mismatch": pki.WrongName(), "self-signed": pki.SelfSigned("127.0.0.1"),
	} {
		client := mustClient(t, b)
		client.ServerName = host // as tls.Dial does
		if name == "self-signed" {
			client.ServerName = "127.0.0.1"
		}
		o := refuse(t, client, &tls.Config{Certificates: []tls.Certificate{id.TLSCertificate()}})
		if e := explained(t, b.ExplainError(o.clientErr)); e.Code != name {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// TestSystemRoots runs itself again in a process whose system roots are known.
func TestSystemRoots(t *testing.T) {
	const child = "TRUSTKEEP_TEST_SYSTEM_ROOTS"
	pki := testpki.New(t, testpki.Options{Name: "System", Seed: "system roots"})
	if os.Getenv(child) == "" {
		bundle := filepath.Join(t.TempDir(), "roots.pem")
		must(t, os.WriteFile(bundle, pki.Root.ChainPEM(), 0o600))
		cmd := exec.Command(os.Args[0], "-test.run=^TestSystemRoots$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "SSL_CERT_FILE="+bundle, "SSL_CERT_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if s, err := truststore.System(); err != nil || s.Len() != 1 {
		t.Skipf("system roots cannot be replaced here: %v, %v", s, err)
	}
	other := testpki.New(t, testpki.Options{Name: "Other"})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host))})
	accept(t, mustClient(t, tlsctx.Builder{ServerName: host}), server, false)
	refuse(t, mustClient(t, tlsctx.Builder{ServerName: host}), mustServer(t, tlsctx.Builder{Identity: identity(other.Server(host))}))

	// They are the same trust for each request and connection: connections are kept, and
	// sessions resumed.
	var opened atomic.Int64
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.DidResume)
	}))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server(host).TLSCertificate()}}
	web.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	web.StartTLS()
	defer web.Close()
	at := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, web.Listener.Addr().String())
	}
	transport, err := tlsctx.Builder{}.Transport(&http.Transport{DialContext: at})
	must(t, err)
	defer transport.CloseIdleConnections()
	get := func() string {
		t.Helper()
		r, err := (&http.Client{Transport: transport}).Get("https://" + host)
		must(t, err)
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		must(t, err)
		return string(body)
	}
	for range 10 {
		get()
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("10 requests opened %d connections", n)
	}
	transport.CloseIdleConnections()
	if got := get(); got != "true" {
		t.Errorf("the second connection resumed: %s", got)
	}

	// Any trust that is set replaces the system's.
	b := tlsctx.Builder{ServerName: host, Global: store(other.Root)}
	o := refuse(t, mustClient(t, b), server)
	e := explained(t, b.ExplainError(o.clientErr))
	if len(e.Ignored) != 1 || e.Ignored[0].Origin != tlsctx.FromSystem || !e.Ignored[0].WouldAccept {
		t.Errorf("%+v", e.Ignored)
	}
}
