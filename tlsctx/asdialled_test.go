package tlsctx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// asked is trust that notes whose it is when it is asked.
type asked struct {
	truststore.Source
	pattern string
	last    *string
}

func (a asked) Snapshot() (*truststore.Snapshot, error) {
	*a.last = a.pattern
	return a.Source.Snapshot()
}

// respelled spells a host in a random other way, most of which IDNA maps to the same name.
func respelled(r *rand.Rand, host string) string {
	var out strings.Builder
	for _, c := range host {
		switch n := r.IntN(12); {
		case n == 0 && 'a' <= c && c <= 'z':
			c = c - 'a' + 'A'
		case n == 1 && '!' <= c && c <= '~' && c != ':' && c != '.':
			c = c - '!' + '\uff01' // full width
		case n == 2 && 'a' <= c && c <= 'z':
			c = c - 'a' + '\u24d0' // circled
		case n == 3 && c == 'k':
			c = '\u212a' // the Kelvin sign
		case n == 3 && c == 's':
			c = '\u017f' // long s
		case n == 3 && c == '\u00fc':
			out.WriteRune('u')
			c = '\u0308' // u and its dots
		case n <= 4 && c == '.':
			c = []rune("\u3002\uff0e\uff61")[r.IntN(3)] // ideographic full stops
		case n == 5:
			out.WriteString([]string{"\u00ad", "\u200b", "\ufe0f", "\u200d"}[r.IntN(4)]) // soft hyphen and others that are ignored
		case n == 6 && r.IntN(8) == 0:
			out.WriteString([]string{"_", "\u2100", "-", "\u0301", "\u2488", "xn--", "\u1e9e", "\U0001f600"}[r.IntN(8)])
		}
		out.WriteRune(c)
	}
	if r.IntN(4) == 0 {
		out.WriteString([]string{".", "\u3002"}[r.IntN(2)])
	}
	return out.String()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// plainAddress is a dialled address without what DNS and numbers do not distinguish.
func plainAddress(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	must(t, err)
	host = strings.TrimSuffix(strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, host), ".")
	return host, strings.TrimLeft(port, "0")
}

// TestPolicyIsThatOfWhatIsDialled: however a host is spelled, the policy and the identity are
// those for the address that is dialled, which net/http decides.
func TestPolicyIsThatOfWhatIsDialled(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	errNotDialled := errors.New("not dialled")
	patterns := []string{"kiosk.example:8443", "kiosk.example", "*.kiosk.example", "xn--bcher-kva.example", "kiosk_1.example", "192.0.2.1"}
	hosts := []string{"kiosk.example", "shop.kiosk.example", "b\u00fccher.example", "xn--bcher-kva.example", "kiosk_1.example", "192.0.2.1", "other.example"}
	// policyFor is the reference: by the address that was dialled.
	policyFor := func(address string) string {
		host, port := plainAddress(t, address)
		_, parent, _ := strings.Cut(host, ".")
		for _, p := range []string{host + ":" + port, host, "*." + parent} {
			for _, have := range patterns {
				if p == have {
					return p
				}
			}
		}
		return "*"
	}
	var chosen, address string
	destinations := &tlsctx.Destinations{Dial: func(_ context.Context, _, a string) (net.Conn, error) {
		address = a
		here, there := net.Pipe()
		there.Close() // the handshake begins, which asks for the trust, and ends
		return here, nil
	}}
	routes := new(tlsctx.Routes)
	for _, p := range append(patterns, "*") {
		must(t, destinations.Set(p, tlsctx.Builder{Trusted: asked{store(pki.Root), p, &chosen}, Clock: pki.Now, CurvePreferences: []tls.CurveID{tls.CurveP256}}))
		if p != "*" {
			must(t, routes.Set(p, identity(pki.Client(p))))
		}
	}
	transport := destinations.Transport(&http.Transport{DialContext: destinations.Dial})
	var mapped string
	oracle := &http.Transport{DialTLSContext: func(_ context.Context, _, a string) (net.Conn, error) {
		mapped = a
		return nil, errNotDialled
	}}
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	for range testtool.Rounds(2000, 8000) {
		spelled := respelled(r, hosts[r.IntN(len(hosts))])
		port := []string{"", ":443", ":8443", ":08443"}[r.IntN(4)]
		request, err := http.NewRequest(http.MethodGet, "https://"+spelled+port+"/", nil)
		if err != nil {
			continue
		}
		chosen, address, mapped = "", "", ""
		oracle.RoundTrip(request)
		_, err = transport.RoundTrip(request)
		switch {
		case err == nil, address != "" && chosen != policyFor(address):
			t.Fatalf("%+q: dialled %+q under the policy of %q, not %q: %v", spelled, address, chosen, policyFor(address), err)
		case address != "" && address != mapped, address == "" && isASCII(mapped) && mapped != "":
			t.Fatalf("%+q: dialled %+q, net/http %+q: %v", spelled, address, mapped, err)
		}
		if address == "" {
			seen["refused"]++
			continue
		}
		seen[chosen]++
		want := policyFor(address)

		if port == "" {
			port = ":443"
		}
		chosen, address = "", ""
		if _, err := destinations.DialContext(t.Context(), "tcp", spelled+port); err == nil || chosen != want || policyFor(address) != want {
			t.Fatalf("%+q: DialContext dialled %+q under the policy of %q, not %q: %v", spelled, address, chosen, want, err)
		}
		if b, err := destinations.For(spelled + port); err == nil {
			if b.Trusted.Snapshot(); chosen != want {
				t.Fatalf("%+q: For is %q, not %q", spelled, chosen, want)
			}
		}
		b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now, Routes: routes}.For(spelled + port)
		if cfg, err := b.Client(); err == nil {
			name := "*"
			if cfg.GetClientCertificate != nil {
				c, err := cfg.GetClientCertificate(&tls.CertificateRequestInfo{})
				must(t, err)
				name = c.Leaf.Subject.CommonName
			}
			if name != want {
				t.Fatalf("%+q: the route is %q, not %q", spelled, name, want)
			}
		}
	}
	for _, p := range append(patterns, "*", "refused") {
		if seen[p] == 0 {
			t.Errorf("%s: never", p)
		}
	}
}

// TestHostsWithoutAForm: a name that IDNA has no form for is refused in every way in, before
// anything is dialled, and a client that asks for one gets no pattern of others.
func TestHostsWithoutAForm(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	destinations := &tlsctx.Destinations{Dial: func(_ context.Context, _, a string) (net.Conn, error) {
		t.Errorf("dialled %+q", a)
		return nil, io.EOF
	}}
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	must(t, destinations.Set("*", b))
	d := mustDialer(t, b)
	d.Dial = destinations.Dial
	base := &http.Transport{DialContext: destinations.Dial}
	transport, err := b.Transport(base)
	must(t, err)
	for _, bad := range []string{"\u200dkiosk.example", "\u212aiosk_1.example", "\u2100.example"} {
		here, there := net.Pipe()
		there.Close()
		request := httptest.NewRequest(http.MethodGet, "https://"+bad+"/", nil)
		_, dialErr := d.DialContext(t.Context(), "tcp", bad+":443")
		_, handshakeErr := d.Handshake(t.Context(), here, bad+":443")
		_, destinationsErr := destinations.DialContext(t.Context(), "tcp", bad+":443")
		_, forErr := destinations.For(bad)
		_, clientErr := b.For(bad).Client()
		_, transportErr := transport.RoundTrip(request)
		_, allErr := destinations.Transport(base).RoundTrip(request)
		for what, err := range map[string]error{
			"Dialer": dialErr, "Handshake": handshakeErr, "Destinations": destinationsErr, "Destinations.For": forErr, "For": clientErr,
			"Transport": transportErr, "Destinations.Transport": allErr, "Routes": new(tlsctx.Routes).Set(bad, nil), "Set": destinations.Set(bad, b),
		} {
			if !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%s: %+q: %v", what, bad, err)
			}
		}
	}

	// SNI is in ASCII (RFC 6066 section 3).
	right, wrong := identity(pki.Server("right.example")), identity(pki.Server("wrong.example"))
	routes := new(tlsctx.Routes)
	must(t, routes.Set("kiosk.example", wrong))
	served := tlsctx.Builder{Identity: right, Routes: routes, Clock: pki.Now}
	chosen, err := mustServer(t, served).GetConfigForClient(&tls.ClientHelloInfo{ServerName: "\u212aiosk.example"})
	if err != nil || chosen.Certificates[0].Leaf.Subject.CommonName != "right.example" {
		t.Errorf("the Kelvin sign is taken for a k: %v", err)
	}
}

// TestDialerMapsHosts: a name beyond ASCII is dialled and verified in its ASCII form.
func TestDialerMapsHosts(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server("xn--bcher-kva.example")), Clock: pki.Now}))
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now})
	var dialled string
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = address
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}
	conn, err := d.DialContext(t.Context(), "tcp", "B\u00dc\u00adcher\u3002example:443")
	if err != nil || dialled != "xn--bcher-kva.example:443" {
		t.Fatalf("%s: %v", dialled, err)
	}
	conn.Close()
}

// TestTransportMapsHosts: net/http gets the mapped host, for a proxy too, while the response is
// to the request as it was.
func TestTransportMapsHosts(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	const spelled, ascii = "B\u00dc\u00adcher\u3002example", "xn--bcher-kva.example"
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	site.Listener = tls.NewListener(site.Listener, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(ascii)), Clock: pki.Now, NextProtos: []string{"http/1.1"}}))
	site.Start()
	defer site.Close()
	b := tlsctx.Builder{Trusted: store(pki.Root), Clock: pki.Now}
	transport, err := b.Transport(&http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, site.Listener.Addr().String())
	}})
	must(t, err)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, "https://"+spelled+":443/path", nil)
	must(t, err)
	response, err := transport.RoundTrip(request)
	must(t, err)
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != ascii+":443" || response.Request != request || request.URL.Hostname() != spelled {
		t.Errorf("%s, %v, %s", body, response.Request == request, request.URL)
	}

	errNoProxy := errors.New("no proxy")
	var chosen, at string
	destinations := new(tlsctx.Destinations)
	for _, p := range []string{ascii, "*"} {
		own := b
		own.Trusted = asked{store(pki.Root), p, &chosen}
		must(t, destinations.Set(p, own))
	}
	_, err = destinations.Transport(&http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		at = r.URL.Host
		return nil, errNoProxy
	}}).RoundTrip(request)
	if !errors.Is(err, errNoProxy) || at != ascii+":443" || chosen != ascii {
		t.Errorf("the proxy is asked for %q under the policy of %q: %v", at, chosen, err)
	}
}
