package tlsctx

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Transport is an http.RoundTripper that follows its stores: requests go over
// connections of a trust and identity that are those of now. It speaks HTTP/2 where
// the server does. It is safe for concurrent use.
type Transport struct {
	dialer *Dialer
	base   *http.Transport

	mu      sync.Mutex
	current *http.Transport
	trust   *truststore.Snapshot
	chain   string
}

// Transport returns a Transport for HTTPS. Its connections are those of Dialer,
// whose errors it has; NextProtos are "h2" and "http/1.1" unless the Builder has
// others. When trust or the identity changes, new requests go over new connections,
// idle ones are closed, and those in use are closed as their requests end.
//
// base, if not nil, supplies limits, timeouts, DialContext and Proxy; its TLS settings
// and its dialing of TLS connections are replaced. Servers behind a proxy are verified
// like any other, by LiveClient, which asks for a host name (or ServerName) and knows no
// Routes: with Proxy and Routes the error is trustkeep.ErrUnsupported. A proxy that is
// itself spoken to over TLS has to be trusted under the same policy.
func (b Builder) Transport(base *http.Transport) (*Transport, error) {
	if b.NextProtos == nil {
		b.NextProtos = []string{"h2", "http/1.1"}
	}
	d, err := b.Dialer()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	if base == nil {
		base = &http.Transport{}
	}
	t := &Transport{dialer: d, base: base.Clone()}
	if base.DialContext != nil {
		d.Dial = base.DialContext
	}
	t.base.TLSNextProto = nil
	t.base.DialTLSContext = d.DialContext
	// For what is dialled through a proxy, where http.Transport makes the
	// handshake itself. It must never be nil, which is the system's roots.
	if base.Proxy != nil && b.Routes != nil {
		return nil, &trustkeep.Error{Op: "tlsctx: transport: routes behind a proxy", Err: trustkeep.ErrUnsupported}
	}
	live := b
	live.Routes = nil
	if t.base.TLSClientConfig, err = live.LiveClient(); err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	t.base.ForceAttemptHTTP2 = slices.Contains(b.NextProtos, "h2")
	if t.base.IdleConnTimeout == 0 {
		t.base.IdleConnTimeout = 90 * time.Second // as http.DefaultTransport
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner, err := t.now()
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return inner.RoundTrip(r)
}

// CloseIdleConnections closes what no request uses; http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	current := t.current
	t.mu.Unlock()
	if current != nil {
		current.CloseIdleConnections()
	}
}

// now returns the transport of the generation. One that is over closes the
// connections that nobody uses, at once or as they fall idle.
func (t *Transport) now() (*http.Transport, error) {
	trust, err := t.dialer.b.clientTrust()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	chain, err := t.dialer.impression()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && t.trust == trust && t.chain == chain {
		return t.current, nil
	}
	if old := t.current; old != nil {
		old.CloseIdleConnections()
	}
	t.current, t.trust, t.chain = t.base.Clone(), trust, chain
	return t.current, nil
}

// impression tells identities apart: that of the Builder and of all routes.
func (d *Dialer) impression() (string, error) {
	var out []byte
	add := func(id Identity) error {
		out = append(out, 0)
		if id == nil || isNil(id) {
			return nil
		}
		c, err := id.TLSCertificate()
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		if c != nil && len(c.Certificate) > 0 {
			out = append(out, c.Certificate[0]...)
		}
		return nil
	}
	if err := add(d.b.Identity); err != nil {
		return "", err
	}
	for pattern, id := range d.b.Routes.all() {
		out = append(out, pattern...)
		if err := add(id); err != nil {
			return "", err
		}
	}
	return string(out), nil
}
