package tlsctx_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// TestTransportExplainsRefusedIdentity: under each version, a server that refuses the client's
// certificate is explained by the Transport, with the certificate, the port and the address.
func TestTransportExplainsRefusedIdentity(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for _, version := range versions {
		for _, http2 := range []bool{false, true} {
			s := &site{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
			s.EnableHTTP2 = http2
			s.TLS = &tls.Config{
				Certificates: []tls.Certificate{pki.Server("127.0.0.1").TLSCertificate()},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pki.Roots(), Time: pki.Now, MaxVersion: version,
			}
			s.Config.ErrorLog = quiet()
			s.StartTLS()
			t.Cleanup(s.Close)
			_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
			serverOnly := pki.Server("not a client")
			for _, c := range []struct {
				name  string
				b     tlsctx.Builder
				texts []string
			}{
				{"another authority's", tlsctx.Builder{Identity: identity(other.Client("stranger"))}, []string{"CN=stranger", "Other Intermediate CA"}},
				{"for servers", tlsctx.Builder{Identity: identity(serverOnly)}, []string{"only for serverAuth", "extended key usage clientAuth"}},
				{"none", tlsctx.Builder{}, []string{"Builder.Identity"}},
			} {
				c.b.Trusted, c.b.Clock = store(pki.Root), pki.Now
				transport, err := c.b.Transport(nil)
				must(t, err)
				request, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader("body"))
				must(t, err)
				r, err := transport.RoundTrip(request)
				if err == nil {
					r.Body.Close()
					t.Fatalf("%s: accepted", c.name)
				}
				e := explained(t, err)
				for _, want := range append(c.texts, "port "+port, s.Listener.Addr().String()) {
					if !strings.Contains(e.Error(), want) {
						t.Errorf("%s, %s, HTTP/2 %v: lacks %q: %v", tls.VersionName(version), c.name, http2, want, e)
					}
				}
				if e.RemoteAddr != s.Listener.Addr().String() || e.Port != port || e.ServerName != "127.0.0.1" {
					t.Errorf("%q, %q, %q", e.RemoteAddr, e.Port, e.ServerName)
				}
				transport.CloseIdleConnections()
			}
		}
	}
}

// TestDialerExplain: what is read and written over a Dialer's connection is explained by it, and
// the connection is a *tls.Conn, which net/http asserts.
func TestDialerExplain(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	routes := new(tlsctx.Routes)
	must(t, routes.Set(host+":8443", identity(other.Client("routed"))))
	must(t, routes.Set("good.example", identity(pki.Client("good"))))
	for _, track := range []bool{false, true} {
		d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Routes: routes, MinVersion: tls.VersionTLS13})
		d.Track = track
		d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.address)
		}
		conn, err := d.DialContext(t.Context(), "tcp", host+":8443")
		must(t, err)
		if _, ok := conn.(*tls.Conn); !ok {
			t.Fatalf("%T", conn)
		}
		_, err = conn.Read(make([]byte, 1))
		why := explained(t, d.Explain(conn, err))
		if why.Identity == nil || !strings.Contains(why.Error(), "CN=routed") || why.Port != "8443" || why.RemoteAddr != e.address || why.Code != tlsctx.CodeIdentityRefused {
			t.Errorf("%s, %+v", why, why.Identity)
		}
		conn.Close()

		conn, err = d.DialContext(t.Context(), "tcp", "good.example:8443")
		must(t, err)
		_, err = conn.Read(make([]byte, 1))
		must(t, err)
		for _, same := range []error{nil, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.Canceled} {
			if got := d.Explain(conn, same); got != same {
				t.Errorf("%v became %v", same, got)
			}
		}
		conn.Close()
		if got := d.Explain(nil, io.EOF); got != io.EOF {
			t.Errorf("%v", got)
		}
	}
}

// TestDialerExplainHangUp: a server that hangs up on a certificate without an alert, and has said
// nothing before, is explained too.
func TestDialerExplainHangUp(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	cfg := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequestClientAuth, Trusted: store(pki.Root), MinVersion: tls.VersionTLS13})
	cfg = cfg.Clone()
	inner := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(h)
		if err == nil {
			c = c.Clone()
			c.GetConfigForClient = nil
			c.VerifyConnection = func(tls.ConnectionState) error { h.Conn.Close(); return io.EOF }
		}
		return c, err
	}
	e := newEcho(t, cfg)
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(pki.Client("me"))}
	d := mustDialer(t, b)
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}
	conn, err := d.DialContext(t.Context(), "tcp", host+":443")
	must(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	if why := explained(t, d.Explain(conn, err)); why.Code != tlsctx.CodeClosed || !strings.Contains(why.Error(), "CN=me") {
		t.Errorf("%v", why)
	}
}

// TestTransportExplainsBodies: an alert in the midst of a body is explained.
func TestTransportExplainsBodies(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, http2 := range []bool{false, true} {
		broken := make(chan struct{})
		s := &site{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "part")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))}
		s.EnableHTTP2 = http2
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server("127.0.0.1").TLSCertificate()}}
		s.Config.ErrorLog = quiet()
		s.Listener = breaking{s.Listener, broken}
		s.StartTLS()
		transport, err := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}.Transport(nil)
		must(t, err)
		r, err := (&http.Client{Transport: transport}).Get(s.URL)
		must(t, err)
		_, err = io.ReadFull(r.Body, make([]byte, 4))
		must(t, err)
		close(broken)
		_, err = io.ReadAll(r.Body)
		if e := explained(t, err); e.Code != tlsctx.CodeAlert || e.ServerName != "127.0.0.1" || e.RemoteAddr == "" {
			t.Errorf("HTTP/2 %v: %v", http2, e)
		}
		r.Body.Close()
		transport.CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	}
}

// breaking makes connections that read a bad record once something is broken, so that crypto/tls
// sends an alert.
type breaking struct {
	net.Listener
	broken chan struct{}
}

func (b breaking) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe() // the server reads from there what the client writes
	go func() {
		io.Copy(here, conn)
		here.Close()
	}()
	go func() {
		<-b.broken
		here.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
	}()
	return &spliced{Conn: conn, in: there}, nil
}

type spliced struct {
	net.Conn
	in net.Conn
}

func (s *spliced) Read(b []byte) (int, error) { return s.in.Read(b) }

func (s *spliced) Close() error { s.in.Close(); return s.Conn.Close() }

// TestExplainStatusText: an error that only has the text of what happened, as the status errors of
// gRPC, is explained as far as that goes.
func TestExplainStatusText(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	b := tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(other.Client("me")), ServerName: host, Clock: pki.Now}
	status := statusError(`rpc error: code = Unavailable desc = connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"`)
	if e := explained(t, b.ExplainError(status)); e.Code != tlsctx.CodeIdentityRefused || !strings.Contains(e.Error(), "CN=me") || e.Err != error(status) {
		t.Errorf("%v", e)
	}
	if e := explained(t, b.ExplainError(statusError("rpc error: remote error: tls: certificate required"))); e.Code != tlsctx.CodeIdentityRefused {
		t.Errorf("%v", e)
	}
	if got := b.ExplainError(statusError("remote error: the disk is full")); got != error(statusError("remote error: the disk is full")) {
		t.Errorf("%v", got)
	}
}

type statusError string

func (e statusError) Error() string { return string(e) }

// TestExplanationsNameTheBuilder: explanations name the fields of a Builder, which the caller has.
func TestExplanationsNameTheBuilder(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("127.0.0.1")), Clock: pki.Now})
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Pins: nil}
	for name, cfg := range map[string]func() *tls.Config{
		"LiveClient": func() *tls.Config { c, err := b.LiveClient(); must(t, err); return c },
	} {
		o := refuse(t, cfg(), server)
		for _, err := range []error{o.clientErr, b.ExplainError(o.clientErr)} {
			if strings.Contains(err.Error(), "VerifyOptions") || !strings.Contains(err.Error(), "Builder.ServerName") {
				t.Errorf("%s: %v", name, err)
			}
		}
		e := explained(t, b.ExplainError(o.clientErr))
		if data, err := e.MarshalJSON(); err != nil || strings.Contains(string(data), "VerifyOptions") {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
}

// TestDialerForHTTPTransport: with the Dialer as its DialTLSContext, an http.Transport speaks HTTP/2
// and knows the state of TLS, for both of which it asserts a *tls.Conn.
func TestDialerForHTTPTransport(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, http2 := range []bool{false, true} {
		s := newSite(t, pki, http2, nil)
		for _, track := range []bool{false, true} {
			d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, NextProtos: []string{"h2", "http/1.1"}})
			d.Track = track
			transport := &http.Transport{DialTLSContext: d.DialContext, ForceAttemptHTTP2: true}
			r, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, s.URL, nil))
			must(t, err)
			r.Body.Close()
			if (r.ProtoMajor == 2) != http2 || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
				t.Errorf("%s, %v", r.Proto, r.TLS)
			}
			transport.CloseIdleConnections()
		}
	}
}

// TestDestinationsExplain: a refusal that comes with the first read is explained by what the
// connection was made by.
func TestDestinationsExplain(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root)}))
	destinations := &tlsctx.Destinations{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}}
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Identity: identity(other.Client("of others")), MinVersion: tls.VersionTLS13}
	must(t, destinations.Set(host, b))
	conn, err := destinations.DialContext(t.Context(), "tcp", host+":8443")
	must(t, err)
	defer conn.Close()
	b.Identity = identity(pki.Client("good"))
	must(t, destinations.Set(host, b))
	_, err = conn.Read(make([]byte, 1))
	why := explained(t, destinations.Explain(conn, err))
	if why.Code != tlsctx.CodeIdentityRefused || !strings.Contains(why.Error(), "CN=of others") || why.Port != "8443" {
		t.Errorf("%v", why)
	}
	for _, c := range []net.Conn{conn, nil, conn.(*tls.Conn).NetConn()} {
		for _, same := range []error{nil, io.EOF, net.ErrClosed} {
			if got := destinations.Explain(c, same); c != net.Conn(conn) && got != same {
				t.Errorf("%v became %v", same, got)
			}
		}
	}
	again, err := destinations.DialContext(t.Context(), "tcp", host+":8443")
	must(t, err)
	defer again.Close()
	_, err = again.Read(make([]byte, 1))
	must(t, err)
}
