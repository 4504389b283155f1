package tlsctx_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// TestMisdirectedRequests: whoever has shaken hands for a public name gets nothing of a name
// behind mutual TLS, over HTTP/1.1 and over a shared HTTP/2 connection.
func TestMisdirectedRequests(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := identity(pki.Server("public.example", "www.public.example", "secret.example", "other.example"))
	destinations := new(tlsctx.Destinations)
	open := tlsctx.Builder{Identity: id, Clock: pki.Now, NextProtos: []string{"h2", "http/1.1"}}
	closed := open
	closed.ClientAuth, closed.Trusted = tlsctx.RequireClientAuth, store(pki.Root)
	must(t, destinations.Set("public.example", open))
	must(t, destinations.Set("*.public.example", open))
	must(t, destinations.Set("secret.example", closed))
	must(t, destinations.Set("*", open))

	served := 0
	site := httptest.NewUnstartedServer(destinations.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		io.WriteString(w, r.Host)
	})))
	site.Config.ErrorLog = quiet()
	site.Listener = tls.NewListener(site.Listener, destinations.Server())
	site.Config.Protocols = new(http.Protocols)
	site.Config.Protocols.SetHTTP1(true)
	site.Config.Protocols.SetHTTP2(true)
	site.Start()
	defer site.Close()

	for _, protocol := range []string{"http/1.1", "h2"} {
		ask := func(name, host string, more func(*tls.Config)) int {
			t.Helper()
			cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: name, Clock: pki.Now, NextProtos: []string{protocol}})
			if name == "" { // asks for none
				cfg = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
			}
			if more != nil {
				more(cfg)
			}
			transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: protocol == "h2", DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, site.Listener.Addr().String())
			}}
			defer transport.CloseIdleConnections()
			r, err := http.NewRequest(http.MethodGet, "https://192.0.2.1/", nil)
			must(t, err)
			r.Host = host
			response, err := transport.RoundTrip(r)
			must(t, err)
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil || (response.ProtoMajor == 2) != (protocol == "h2") {
				t.Fatalf("%s: %v", response.Proto, err)
			}
			if response.StatusCode == http.StatusMisdirectedRequest && response.Header.Get("Cache-Control") != "no-store" {
				t.Error("421 may be kept")
			}
			return response.StatusCode
		}
		for _, c := range []struct {
			name, host string
			want       int
		}{
			{"public.example", "public.example", 200},
			{"public.example", "PUBLIC.example.:8443", 200},
			{"www.public.example", "ftp.public.example", 200},
			{"other.example", "192.0.2.7", 200}, // both are for "*"
			{"other.example", "[2001:db8::1]:443", 200},
			{"", "other.example", 200},
			{"public.example", "secret.example", 421},
			{"public.example", "SECRET.example:443", 421},
			{"public.example", "secret.example.", 421},
			{"public.example", "www.public.example", 421}, // another pattern
			{"www.public.example", "public.example", 421},
			{"other.example", "secret.example", 421},
			{"", "secret.example", 421},
		} {
			before := served
			if got := ask(c.name, c.host, nil); got != c.want || (served > before) != (c.want == 200) {
				t.Errorf("%s: SNI %q, Host %q: %d", protocol, c.name, c.host, got)
			}
		}
		me := pki.Client("me").TLSCertificate()
		with := func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{me} }
		if got := ask("secret.example", "secret.example", with); got != 200 {
			t.Errorf("%s: with a certificate: %d", protocol, got)
		}
		if got := ask("secret.example", "public.example", with); got != 421 {
			t.Errorf("%s: the other way round: %d", protocol, got)
		}
	}

	w := httptest.NewRecorder()
	destinations.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://public.example/", nil))
	if w.Code != 421 {
		t.Errorf("without TLS: %d", w.Code)
	}
	// A Host that is none fits no pattern, and some handler might make one of it.
	for host, want := range map[string]int{
		"other.example": 200, "x.other.example:8443": 200, "": 421, "me@secret.example": 421, "secret.example:": 421, "secret.example:x y": 421,
		"[secret.example]": 421, "secret.example/": 421, "*": 421, "*.public.example": 421, "secret.example,other.example": 421, "\u212aiosk_1.example": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "https://other.example/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		destinations.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d", host, w.Code)
		}
	}
}
