package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Transport is an http.RoundTripper for HTTPS that follows its stores: a request uses only
// connections made with the current trust and identity. It speaks HTTP/2 if the server does,
// except for requests with Upgrade, such as those of WebSocket.
// It is safe for concurrent use.
type Transport struct {
	dialer  *Dialer
	proxies *Dialer                // to proxies that are spoken to over TLS; nil without Proxy
	base    func() *http.Transport // see redact.Hidden; headers for a proxy hold its password

	mu      sync.Mutex
	current *httpGeneration
}

// httpGeneration are pools of connections, and what they were made by.
type httpGeneration struct {
	state  uint64 // of the Builder, see state.client
	trust  *truststore.Snapshot
	routes uint64 // Routes.current
	http2  bool   // the Builder offers it
	// presented are the identities by the pattern that chooses them, "" for
	// Builder.Identity; nil for none. Those that no request has used are missing.
	presented map[string][]*tls.Certificate
	pools     func() map[poolKey]*http.Transport // see redact.Hidden; under Transport.mu
}

// poolKey is what a pool of connections is for.
type poolKey struct {
	proxy string // its URL, with the password; empty for none
	http1 bool   // HTTP/1.1 alone
	plain bool   // URLs that are not https, which http.Transport sends on its own
}

// maxPools bounds how many pools are kept, for the case that each request has a proxy of its own.
const maxPools = 64

// Transport returns a Transport for HTTPS. Its connections are those of Dialer,
// whose errors it has; NextProtos are "h2" and "http/1.1" unless the Builder has
// others. When trust or the identity changes, new requests go over new connections and
// idle ones are closed with the next request. Requests that are under way go on to their
// end; Recheck ends those over connections that would no longer be accepted, and closes
// idle ones without waiting for a request.
//
// A server that refuses the identity is explained by a *HandshakeError of RoundTrip or, where it
// is that late, of reading the body. Requests with Upgrade go over HTTP/1.1, which alone has it.
//
// base, if not nil, supplies limits, timeouts, DialContext and Proxy; its TLS settings
// and its dialing of TLS connections are replaced. Limits of connections count for each proxy,
// and for requests with Upgrade, apart.
//
// Servers behind a proxy (http, https, socks5 or socks5h) are dialled through it by CONNECT (RFC 9110
// section 9.3.6) or SOCKS (RFC 1928), and are otherwise like any other: verified, resumed, chosen an
// identity by Routes, known to Recheck. A proxy that is itself spoken to over TLS has to be
// trusted under the same policy, under the name of its own URL, and gets the identity for that.
// Where a proxy does not connect, the error is a *HandshakeError with CodeProxy.
func (b Builder) Transport(base *http.Transport) (*Transport, error) {
	d, err := b.dialer(func(b *Builder) {
		if b.NextProtos == nil {
			b.NextProtos = []string{"h2", "http/1.1"}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	d.Track = true
	if base == nil {
		base = &http.Transport{}
	}
	d.Dial = base.DialContext
	t := &Transport{dialer: d}
	if base.Proxy != nil {
		t.proxies, err = b.dialer(func(b *Builder) {
			b.ServerName, b.ServerURI, b.at, b.NextProtos = "", "", endpoint{}, []string{"http/1.1"}
		})
		if err != nil {
			return nil, fmt.Errorf("tlsctx: transport: proxies: %w", err)
		}
		t.proxies.Track, t.proxies.Dial = true, base.DialContext
	}
	base = base.Clone()
	base.TLSNextProto = nil
	// Whatever http.Transport would do by itself, it would trust nobody.
	base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if base.IdleConnTimeout == 0 {
		base.IdleConnTimeout = 90 * time.Second // as http.DefaultTransport
	}
	t.base = redact.Hidden(base)
	return t, nil
}

// RoundTrip implements http.RoundTripper. A host beyond ASCII without a form in IDNA is
// trustkeep.ErrInvalid.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pool, ascii, err := t.poolFor(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	one := new(trip)
	response, err := pool.RoundTrip(ascii.WithContext(one.in(ascii.Context())))
	if response != nil {
		response.Request = r
		// A server that switches protocols has accepted the identity, and its body is a stream.
		if response.Body != http.NoBody && response.Body != nil && response.StatusCode != http.StatusSwitchingProtocols {
			response.Body = &explainedBody{response.Body, t, one}
		}
	}
	return response, t.explain(one, ascii.URL, err)
}

// trip is one request, with the connection that was dialled for it or that it got.
type trip struct{ conn atomic.Pointer[tls.Conn] }

type tripKey struct{}

func (one *trip) in(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, tripKey{}, one), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { one.has(got.Conn) },
	})
}

func (one *trip) has(conn net.Conn) {
	if conn, ok := conn.(*tls.Conn); ok {
		one.conn.Store(conn)
	}
}

// explain makes a *HandshakeError of a server's refusal that comes after the handshake.
func (t *Transport) explain(one *trip, u *url.URL, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if conn := one.conn.Load(); conn != nil {
		return t.dialer.explain(conn, err)
	}
	if _, alert := alertOf(err); !alert && !refusedHere(err) {
		return err
	}
	b := t.dialer.live().lastBuilder()
	to, bad := b.target(addressOf(u))
	if bad != nil {
		return err
	}
	return b.explainError(to.explains(&b, err))
}

// explainedBody explains errors of reading.
type explainedBody struct {
	io.ReadCloser
	t   *Transport
	one *trip
}

func (b *explainedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		if conn := b.one.conn.Load(); conn != nil {
			err = b.t.dialer.explain(conn, err)
		}
	}
	return n, err
}

// CloseIdleConnections closes the connections that no request uses. http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current.closeIdle()
}

func (g *httpGeneration) closeIdle() {
	if g != nil {
		for _, pool := range g.pools() {
			pool.CloseIdleConnections()
		}
	}
}

// Recheck closes the connections, in use or not, whose servers would no longer be
// accepted, those to proxies included, and returns how many. See Dialer.Recheck.
func (t *Transport) Recheck() int {
	n := t.dialer.Recheck()
	if t.proxies != nil {
		n += t.proxies.Recheck()
	}
	return n
}

// Stale returns the connections that Recheck would close, and closes none.
func (t *Transport) Stale() []StaleConn {
	stale := t.dialer.Stale()
	if t.proxies != nil {
		stale = append(stale, t.proxies.Stale()...)
	}
	return stale
}

// poolFor returns the connections for a request, and the request with a host in ASCII.
func (t *Transport) poolFor(r *http.Request) (*http.Transport, *http.Request, error) {
	g, err := t.generation(r.URL)
	if err != nil {
		return nil, nil, err
	}
	ascii, err := asciiRequest(r)
	if err != nil {
		return nil, nil, err
	}
	base := t.base()
	key := poolKey{plain: ascii.URL.Scheme != "https"}
	var proxy *url.URL
	if !key.plain {
		key.http1 = g.http2 && upgrades(r)
		if base.Proxy != nil {
			if proxy, err = base.Proxy(ascii); err != nil {
				return nil, nil, err
			}
		}
		if proxy != nil {
			key.proxy = proxy.String()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pools := g.pools()
	pool := pools[key]
	if pool == nil {
		for old, one := range pools {
			if len(pools) < maxPools {
				break
			}
			one.CloseIdleConnections()
			delete(pools, old) // whichever: it costs new connections
		}
		pool = t.newPool(key, proxy, g.http2)
		pools[key] = pool
	}
	return pool, ascii, nil
}

// upgrades reports whether HTTP/2, which has neither, refuses the request (RFC 9113 section 8.2.2).
func upgrades(r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" {
		return true
	}
	for _, line := range r.Header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

func (t *Transport) newPool(key poolKey, proxy *url.URL, http2 bool) *http.Transport {
	base := t.base()
	pool := base.Clone()
	pool.ForceAttemptHTTP2 = http2
	how := dialing{handshake: base.TLSHandshakeTimeout}
	if !key.plain {
		pool.Proxy = nil // dialling goes through it
	}
	if proxy != nil {
		how.below = (&tunnel{proxy: redact.Hidden(proxy), base: t.base, below: t.dialer.below(), secure: t.proxies}).dial
	}
	if key.http1 {
		how.protos = []string{"http/1.1"}
		pool.ForceAttemptHTTP2 = false
		pool.Protocols = new(http.Protocols)
		pool.Protocols.SetHTTP1(true)
	}
	dialer := t.dialer
	if key.plain && t.proxies != nil {
		dialer = t.proxies // all that is dialled over TLS for a plain URL
	}
	pool.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.dialBy(ctx, how, network, address)
		if proxy, ok := errors.AsType[*proxyError](err); ok {
			b := dialer.live().lastBuilder()
			if to, bad := b.target(address); bad == nil {
				to.remote = proxy.at
				err = b.explainError(to.explains(&b, err))
			}
		}
		if one, ok := ctx.Value(tripKey{}).(*trip); ok && err == nil {
			one.has(conn)
		}
		return conn, err
	}
	return pool
}

// generation returns the pools of the trust, the routes and the destination's identity
// of now. If one of them has changed, those of before are not used again. Its cost does
// not depend on how many routes there are.
func (t *Transport) generation(u *url.URL) (*httpGeneration, error) {
	s, trust, err := t.dialer.live().trusting(Builder.clientTrust)
	if err != nil {
		return nil, err
	}
	b := &s.b
	// The generation first: a change after it is seen by the next request.
	routes := b.Routes.current()
	host, port, err := destination(u)
	if err != nil {
		return nil, err
	}
	id, pattern := b.identityFor(host, port)
	certs, err := presented(id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.current; g == nil || g.state != s.client || g.trust != trust || g.routes != routes || !g.presents(pattern, certs) {
		g.closeIdle()
		t.current = &httpGeneration{
			state: s.client, trust: trust, routes: routes, http2: slices.Contains(b.NextProtos, "h2"),
			presented: make(map[string][]*tls.Certificate), pools: redact.Hidden(make(map[poolKey]*http.Transport)),
		}
	}
	t.current.presented[pattern] = certs
	return t.current, nil
}

// presents reports whether the identity is that of the requests before, if there were any.
func (g *httpGeneration) presents(pattern string, certs []*tls.Certificate) bool {
	before, known := g.presented[pattern]
	return !known || sameChains(before, certs)
}
