package extract

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// preamble is the server's part before TLS: what it says, and after which lines
// of the client's.
func preamble(cfg *tls.Config, says ...string) func(net.Conn) {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for i, s := range says {
			if i > 0 {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
			}
			io.WriteString(conn, s)
		}
		secure(conn, cfg)
	}
}

// secure is a TLS server that waits for the client to leave.
func secure(conn net.Conn, cfg *tls.Config) {
	if cfg == nil {
		return
	}
	s := tls.Server(conn, cfg)
	if s.Handshake() == nil {
		io.Copy(io.Discard, s)
	}
}

// ldapServer answers the StartTLS request with the bytes given.
func ldapServer(cfg *tls.Config, answer string) func(net.Conn) {
	return func(conn net.Conn) {
		request := make([]byte, len(startTLSRequest))
		if _, err := io.ReadFull(conn, request); err != nil || string(request) != startTLSRequest {
			return
		}
		io.WriteString(conn, answer)
		secure(conn, cfg)
	}
}

func TestFetch(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := pki.Server("127.0.0.1", "localhost")
	cfg := &tls.Config{Certificates: []tls.Certificate{server.TLSCertificate()}}
	for name, c := range map[string]struct {
		handle   func(net.Conn)
		startTLS Protocol
	}{
		"TLS":                 {func(conn net.Conn) { secure(conn, cfg) }, ""},
		"FTP":                 {preamble(cfg, "220 ready\r\n", "234 go on\r\n"), FTP},
		"FTP, long greeting":  {preamble(cfg, "220-welcome\r\nto all\r\n 220 of you\r\n220 ready\r\n", "234 go on\r\n"), FTP},
		"SMTP":                {preamble(cfg, "220 mx ESMTP\r\n", "250-mx\r\n250-SIZE 1000\r\n250 STARTTLS\r\n", "220 go on\r\n"), SMTP},
		"IMAP":                {preamble(cfg, "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", "* CAPABILITY IMAP4rev1\r\na1 OK go on\r\n"), IMAP},
		"LDAP":                {ldapServer(cfg, "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"), LDAP},
		"LDAP, long lengths":  {ldapServer(cfg, "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"), LDAP},
		"client certificates": {func(conn net.Conn) { secure(conn, clientAuth(cfg, pki, tls.VersionTLS13)) }, ""},
		"the same, TLS 1.2":   {func(conn net.Conn) { secure(conn, clientAuth(cfg, pki, tls.VersionTLS12)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := Fetch(t.Context(), testnet.Serve(t, c.handle), Options{StartTLS: c.startTLS})
			if err != nil {
				t.Fatal(err)
			}
			if len(chain.Certificates) != 2 || !chain.Certificates[0].Equal(server.Cert) || chain.ServerName != "127.0.0.1" {
				t.Errorf("%v", chain)
			}
			if want := strings.Contains(name, "1.2") || strings.Contains(name, "client"); chain.ClientCertificate != want || (len(chain.AcceptableCAs) == 1) != want {
				t.Errorf("client certificate: %v, of %d authorities", chain.ClientCertificate, len(chain.AcceptableCAs))
			}
		})
	}
}

func clientAuth(cfg *tls.Config, pki *testpki.PKI, max uint16) *tls.Config {
	cfg = cfg.Clone()
	cfg.ClientAuth, cfg.ClientCAs, cfg.MaxVersion = tls.RequireAndVerifyClientCert, pki.Roots(), max
	return cfg
}

func TestFetchErrors(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := pki.Server()
	cfg := &tls.Config{Certificates: []tls.Certificate{server.TLSCertificate()}}
	for name, c := range map[string]struct {
		handle   func(net.Conn)
		startTLS Protocol
		want     error
	}{
		"plain text":              {preamble(nil, "220 I speak first, and no TLS\r\n"), "", trustkeep.ErrUnsupported},
		"FTP declines":            {preamble(nil, "220 ready\r\n", "502 no TLS\r\n"), FTP, trustkeep.ErrUnsupported},
		"FTP is full":             {preamble(nil, "421 too many\r\n"), FTP, trustkeep.ErrUnsupported},
		"SMTP without STARTTLS":   {preamble(nil, "220 mx\r\n", "250 mx\r\n", "502 what\r\n"), SMTP, trustkeep.ErrUnsupported},
		"IMAP declines":           {preamble(nil, "* OK ready\r\n", "a1 NO not here\r\n"), IMAP, trustkeep.ErrUnsupported},
		"IMAP says goodbye":       {preamble(nil, "* BYE\r\n"), IMAP, trustkeep.ErrUnsupported},
		"LDAP declines":           {ldapServer(nil, "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"), LDAP, trustkeep.ErrUnsupported},
		"LDAP is something else":  {ldapServer(nil, "HTTP/1.1 400 Bad Request\r\n\r\n"+strings.Repeat(" ", 100)), LDAP, trustkeep.ErrCorrupt},
		"LDAP is endless":         {ldapServer(nil, "\x30\x84\x7f\xff\xff\xff"), LDAP, trustkeep.ErrLimit},
		"unknown protocol":        {preamble(nil, "hello\r\n"), "xmpp", trustkeep.ErrInvalid},
		"not a reply":             {preamble(nil, "hello\r\n"), SMTP, trustkeep.ErrCorrupt},
		"words before TLS":        {preamble(cfg, "220 ready\r\n", "234 go on\r\n230 you are logged in\r\n"), FTP, trustkeep.ErrCorrupt},
		"endless line":            {preamble(nil, strings.Repeat("2", maxLine+1)), FTP, trustkeep.ErrLimit},
		"endless greeting":        {preamble(nil, strings.Repeat("220-hello\r\n", maxPreamble/8)), FTP, trustkeep.ErrLimit},
		"closes before the reply": {preamble(nil, "220-wait"), FTP, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := Fetch(t.Context(), testnet.Serve(t, c.handle), Options{StartTLS: c.startTLS})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, %v", chain, err)
			}
		})
	}
	if _, err := Fetch(t.Context(), "no port", Options{}); err == nil {
		t.Error("an address without a port")
	}
}

// A server that says nothing is left when the context ends.
func TestFetchEndsWithItsContext(t *testing.T) {
	for _, protocol := range []Protocol{"", FTP} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		address := testnet.Serve(t, func(conn net.Conn) {
			cancel()
			io.Copy(io.Discard, conn)
		})
		if _, err := Fetch(ctx, address, Options{StartTLS: protocol}); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v", protocol, err)
		}
	}
}

// proxy is an HTTP proxy that asks for a name and password and tunnels.
func proxy(t *testing.T, secure bool) *url.URL {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" || r.Header.Get("Authorization") != "" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		target, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "unreachable", http.StatusBadGateway)
			return
		}
		defer target.Close()
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		// In one packet with what the server says first.
		greeting := make([]byte, 11)
		n, _ := target.Read(greeting[:min(len(greeting), greetingSize(r))])
		fmt.Fprintf(rw, "HTTP/1.1 200 connected\r\n\r\n%s", greeting[:n])
		rw.Flush()
		go func() {
			io.Copy(target, rw)
			target.Close() // the client has left
		}()
		io.Copy(conn, target)
	})
	var s *httptest.Server
	if secure {
		s = httptest.NewTLSServer(handler)
	} else {
		s = httptest.NewServer(handler)
	}
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("me", "secret")
	return u
}

// greetingSize is how much the server behind the proxy says first: "220 ready\r\n",
// or nothing for one of TLS, told apart by the host that is asked for.
func greetingSize(r *http.Request) int {
	if strings.HasPrefix(r.Host, "localhost:") {
		return 11
	}
	return 0
}

func TestFetchThroughProxy(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := pki.Server("localhost")
	cfg := &tls.Config{Certificates: []tls.Certificate{server.TLSCertificate()}}
	plain := testnet.Serve(t, func(conn net.Conn) { secure(conn, cfg) })
	ftp := testnet.Serve(t, preamble(cfg, "220 ready\r\n", "234 go on\r\n"))
	_, port, err := net.SplitHostPort(ftp)
	if err != nil {
		t.Fatal(err)
	}
	through := proxy(t, false)
	for address, protocol := range map[string]Protocol{plain: "", net.JoinHostPort("localhost", port): FTP} {
		chain, err := Fetch(t.Context(), address, Options{Proxy: through, StartTLS: protocol})
		if err != nil || !chain.Certificates[0].Equal(server.Cert) {
			t.Errorf("%q: %v, %v", protocol, chain, err)
		}
	}

	stranger := *through
	stranger.User = url.UserPassword("me", "hunter2")
	if _, err := Fetch(t.Context(), plain, Options{Proxy: &stranger}); err == nil || !strings.Contains(err.Error(), "407") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if _, err := Fetch(t.Context(), plain, Options{Proxy: &url.URL{Scheme: "socks5", Host: "x"}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	// The proxy's own certificate is verified, unlike the one that is looked at.
	if _, err := Fetch(t.Context(), plain, Options{Proxy: proxy(t, true)}); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("%v", err)
	}
}

func TestChainIsPutInOrder(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	other := testpki.New(t, testpki.Options{Name: "Other"})
	leaf := pki.Server()
	c := &Chain{Certificates: []*x509.Certificate{leaf.Cert, other.Root.Cert, pki.Root.Cert, pki.Intermediate.Cert}}
	c.order()
	for i, want := range []*x509.Certificate{leaf.Cert, pki.Intermediate.Cert, pki.Root.Cert, other.Root.Cert} {
		if !c.Certificates[i].Equal(want) {
			t.Errorf("%d: %s", i, c.Certificates[i].Subject)
		}
	}
}

func TestChainIsCompleted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	name := func(urls ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.IssuingCertificateURL = urls }
	}
	ca := pki.Issue(testpki.Request{CommonName: "Issuing CA", CA: true, Issuer: pki.Root, Edit: name("http://ca/root.cer")})
	leaf := pki.Issue(testpki.Request{Names: []string{"localhost"}, Issuer: ca, Edit: name("http://ca/gone", "http://ca/wrong.cer", "http://ca/issuing.pem")})
	published := map[string][]byte{
		"http://ca/wrong.cer":   pki.Intermediate.DER,
		"http://ca/issuing.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.DER}),
		"http://ca/root.cer":    pki.Root.DER,
	}
	fetch := func(_ context.Context, url string) ([]byte, error) {
		if data := published[url]; data != nil {
			return data, nil
		}
		return nil, errors.New("gone")
	}
	address := testnet.Serve(t, func(conn net.Conn) {
		secure(conn, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.DER}, PrivateKey: leaf.Key}}})
	})
	chain, err := Fetch(t.Context(), address, Options{FetchIssuer: fetch})
	if err != nil || chain.Incomplete != nil || len(chain.Completed) != 2 || !chain.Completed[0].Equal(ca.Cert) || !chain.Completed[1].Equal(pki.Root.Cert) {
		t.Fatalf("%v, %v", chain, err)
	}
	// What was completed serves as any other to decide upon.
	trusted := truststore.New(chain.Completed[1])
	if _, err := trusted.Verify(chain.All(), truststore.VerifyOptions{Name: "localhost"}); err != nil {
		t.Error(err)
	}

	delete(published, "http://ca/root.cer")
	chain, err = Fetch(t.Context(), address, Options{FetchIssuer: fetch})
	if err != nil || len(chain.Completed) != 1 || chain.Incomplete == nil || !strings.Contains(chain.String(), "incomplete: http://ca/root.cer: gone") {
		t.Errorf("%v, %v", chain, err)
	}
}

func TestAccept(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server("localhost")
	c := &Chain{Address: "localhost:443", Certificates: []*x509.Certificate{leaf.Cert}, Completed: []*x509.Certificate{pki.Intermediate.Cert}}
	plain := trustkeep.DescribeCertificate(leaf.Cert).SHA256
	var colons []string
	for i := 0; i < len(plain); i += 2 {
		colons = append(colons, strings.ToUpper(plain[i:i+2]))
	}
	for _, f := range []string{plain, strings.Join(colons, ":"), "sha256:" + plain, "SHA256: " + strings.Join(colons, " ")} {
		if cert, err := c.Accept(f); err != nil || cert != leaf.Cert {
			t.Errorf("%s: %v", f, err)
		}
	}
	if cert, err := c.Accept(trustkeep.DescribeCertificate(pki.Intermediate.Cert).SHA256); err != nil || cert != pki.Intermediate.Cert {
		t.Error(err)
	}
	if _, err := c.Accept(trustkeep.DescribeCertificate(pki.Root.Cert).SHA256); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
	for _, f := range []string{"", "abc", plain[:20], plain + "00"} {
		if _, err := c.Accept(f); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q: %v", f, err)
		}
	}
}

func TestComponentOfAnAcceptedCertificate(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{})
	leaf := pki.Server("localhost")
	c := &Chain{
		Certificates: []*x509.Certificate{leaf.Cert, other.Root.Cert},
		Completed:    []*x509.Certificate{pki.Intermediate.Cert, pki.Root.Cert},
	}
	scanned := 0
	o := component.Options{Scanner: trustkeep.ScannerFunc(func(context.Context, string, []byte) error { scanned++; return nil })}
	for cert, length := range map[*x509.Certificate]int{leaf.Cert: 3, pki.Intermediate.Cert: 2, other.Root.Cert: 1} {
		got, err := c.Component(t.Context(), "partner", trustkeep.DescribeCertificate(cert).SHA256, o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Fingerprint() != trustkeep.DescribeCertificate(cert).SHA256 || len(got.Describe()) != length || got.Visibility() != trustkeep.Public {
			t.Errorf("%v with %d certificates, want %d", got, len(got.Describe()), length)
		}
	}
	if scanned != 3 {
		t.Errorf("scanned %d times", scanned)
	}
	if _, err := c.Component(t.Context(), "partner", trustkeep.DescribeCertificate(other.Intermediate.Cert).SHA256, o); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
}

func TestChainDescribesItself(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	evil := pki.Issue(testpki.Request{CommonName: "evil\x1b[31m\nCN=good", Names: []string{"localhost"}})
	c := &Chain{Address: "localhost:443", Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, Certificates: []*x509.Certificate{evil.Cert}, Completed: []*x509.Certificate{pki.Intermediate.Cert}}
	text := c.String()
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\nCN=good") || !strings.Contains(text, trustkeep.DescribeCertificate(evil.Cert).SHA256) || !strings.Contains(text, "not sent") {
		t.Errorf("%q", text)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Version      string
		Certificates []struct{ SHA256 string }
	}
	if err := json.Unmarshal(data, &out); err != nil || out.Version != "TLS 1.3" || out.Certificates[0].SHA256 != trustkeep.DescribeCertificate(evil.Cert).SHA256 {
		t.Errorf("%s, %v", data, err)
	}
}

func TestHTTPFetchesIssuers(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			w.Write(make([]byte, 300<<10))
			return
		}
		w.Write(pki.Root.DER)
	}))
	defer s.Close()
	h := HTTP{Client: s.Client()}
	if data, err := h.FetchIssuer(t.Context(), s.URL); err != nil || !bytes.Equal(data, pki.Root.DER) {
		t.Errorf("%v", err)
	}
	if _, err := h.FetchIssuer(t.Context(), s.URL+"/long"); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	if _, err := h.FetchIssuer(t.Context(), "ldap://ca/cn=root"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func FuzzStartTLS(f *testing.F) {
	for _, s := range []string{"220 a\r\n234 b\r\n", "220-a\r\n220 b\r\n250 c\r\n220 d\r\n", "* OK\r\na1 OK\r\n", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"} {
		for i := range 4 {
			f.Add([]byte(s), byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		protocol := []Protocol{FTP, SMTP, IMAP, LDAP}[which%4]
		err := StartTLS(scripted{r: bytes.NewReader(data)}, protocol)
		typed := errors.Is(err, trustkeep.ErrCorrupt) || errors.Is(err, trustkeep.ErrLimit) || errors.Is(err, trustkeep.ErrUnsupported) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !typed {
			t.Errorf("%v", err)
		}
	})
}

// scripted is a connection to a server whose words are known beforehand.
type scripted struct {
	net.Conn
	r io.Reader
}

func (s scripted) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s scripted) Write(p []byte) (int, error) { return len(p), nil }
