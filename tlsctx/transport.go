package tlsctx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Transport is an http.RoundTripper for HTTPS that follows its stores: a request uses only
// connections made with the current trust and identity. It speaks HTTP/2 if the server does.
// It is safe for concurrent use.
type Transport struct {
	dialer *Dialer
	base   func() *http.Transport // see redact.Hidden; headers for a proxy hold its password

	mu      sync.Mutex
	current *httpGeneration
}

// httpGeneration is a pool of connections, and what they were made by.
type httpGeneration struct {
	trust  *truststore.Snapshot
	routes uint64 // Routes.current
	// presented are the identities by the pattern that chooses them, "" for
	// Builder.Identity; nil for none. Those that no request has used are missing.
	presented map[string][]*tls.Certificate
	pool      *http.Transport
}

// Transport returns a Transport for HTTPS. Its connections are those of Dialer,
// whose errors it has; NextProtos are "h2" and "http/1.1" unless the Builder has
// others. When trust or the identity changes, new requests go over new connections and
// idle ones are closed with the next request. Requests that are under way go on to their
// end; Recheck ends those over connections that would no longer be accepted, and closes
// idle ones without waiting for a request.
//
// base, if not nil, supplies limits, timeouts, DialContext and Proxy; its TLS settings
// and its dialing of TLS connections are replaced. Servers behind a proxy are verified
// like any other, but no session with them is resumed, Recheck does not know their connections,
// and there are no Routes: with Proxy and Routes the error is trustkeep.ErrUnsupported. A proxy
// that is itself spoken to over TLS has to be trusted under the same policy.
func (b Builder) Transport(base *http.Transport) (*Transport, error) {
	if b.NextProtos == nil {
		b.NextProtos = []string{"h2", "http/1.1"}
	}
	d, err := b.Dialer()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	d.Track = true
	if base == nil {
		base = &http.Transport{}
	}
	if base.DialContext != nil {
		d.Dial = base.DialContext
	}
	base = base.Clone()
	base.TLSNextProto = nil
	base.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if t, ok := ctx.Value(tripKey{}).(*trip); ok {
			t.direct.Store(true)
		}
		return d.DialContext(ctx, network, address)
	}
	if base.Proxy != nil && b.Routes != nil {
		return nil, &trustkeep.Error{Op: "tlsctx: transport: routes behind a proxy", Err: trustkeep.ErrUnsupported}
	}
	base.TLSClientConfig = nil // see proxied
	base.ForceAttemptHTTP2 = slices.Contains(b.NextProtos, "h2")
	if base.IdleConnTimeout == 0 {
		base.IdleConnTimeout = 90 * time.Second // as http.DefaultTransport
	}
	return &Transport{dialer: d, base: redact.Hidden(base)}, nil
}

// RoundTrip implements http.RoundTripper. A host beyond ASCII without a form in IDNA is
// trustkeep.ErrInvalid.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pool, err := t.poolFor(r.URL)
	ascii := r
	if err == nil {
		ascii, err = asciiRequest(r)
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	response, err := pool.RoundTrip(t.told(ascii))
	if response != nil {
		response.Request = r
	}
	if err != nil {
		err = t.explain(ascii.URL, err)
	}
	return response, err
}

// trip is a request that Accepted is told about if it opens a connection through a proxy.
type trip struct{ direct atomic.Bool } // the Dialer opens it, and tells

type tripKey struct{}

// told returns a request that tells Accepted about the server of a connection through a proxy. The
// handshake is that of http.Transport, which reports its end to nobody but a trace.
func (t *Transport) told(r *http.Request) *http.Request {
	b := t.dialer.b()
	if b.Accepted == nil || t.base().Proxy == nil {
		return r
	}
	one := new(trip)
	ctx := context.WithValue(r.Context(), tripKey{}, one)
	return r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil && !one.direct.Load() {
				b.tellAccepted(truststore.Server, b.asked(s), s)
			}
		},
	}))
}

// explain makes a *HandshakeError of a refusal that does not come from the Dialer: of a handshake
// through a proxy, or by a server that objects to the identity after the handshake, as with TLS 1.3.
func (t *Transport) explain(u *url.URL, err error) error {
	if _, alert := alertOf(err); !alert && !refusedHere(err) {
		return err
	}
	host, port, bad := destination(u)
	if bad != nil {
		return err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		host = "" // it was the proxy
	}
	b := t.dialer.b()
	return b.explainError(&HandshakeError{Err: err, ServerName: cmp.Or(b.ServerName, host), Identity: b.identityReport(b.identityFor(host, port))})
}

// CloseIdleConnections closes the connections that no request uses. http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	current := t.current
	t.mu.Unlock()
	if current != nil {
		current.pool.CloseIdleConnections()
	}
}

// Recheck closes the connections, in use or not, whose servers would no longer be
// accepted, and returns how many. It does not know those through a proxy. See
// Dialer.Recheck.
func (t *Transport) Recheck() int { return t.dialer.Recheck() }

// Stale returns the connections that Recheck would close, and closes none.
func (t *Transport) Stale() []StaleConn { return t.dialer.Stale() }

// poolFor returns the connections of the trust, the routes and the destination's identity
// of now. If one of them has changed, those of before are not used again. Its cost does
// not depend on how many routes there are.
func (t *Transport) poolFor(u *url.URL) (*http.Transport, error) {
	b := t.dialer.b()
	trust, err := b.clientTrust()
	if err != nil {
		return nil, err
	}
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
	if g := t.current; g == nil || g.trust != trust || g.routes != routes || !g.presents(pattern, certs) {
		if g != nil {
			g.pool.CloseIdleConnections()
		}
		next := &httpGeneration{trust, routes, make(map[string][]*tls.Certificate), t.base().Clone()}
		if next.pool.TLSClientConfig, err = b.proxied(trust); err != nil {
			return nil, err
		}
		t.current = next
	}
	t.current.presented[pattern] = certs
	return t.current.pool, nil
}

// proxied makes the configuration for what is dialled through a proxy, where http.Transport
// makes the handshake itself; it must never be nil, which is the system's roots. There is no
// second try if a resumed session is refused, so none is resumed.
func (b Builder) proxied(trust *truststore.Snapshot) (*tls.Config, error) {
	b.Routes = nil
	cfg, err := b.clientConfig(trust)
	if err == nil {
		cfg.ClientSessionCache = nil
	}
	return cfg, err
}

// presents reports whether the identity is that of the requests before, if there were any.
func (g *httpGeneration) presents(pattern string, certs []*tls.Certificate) bool {
	before, known := g.presented[pattern]
	return !known || sameChains(before, certs)
}
