package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Destinations choose a whole Builder by destination: an identity, trust and a policy for each
// partner. The patterns are those of Routes, and "*" for whatever no other fits. The zero
// Destinations reaches nobody. They can be changed at any time, which counts from the next
// handshake on, and are safe for concurrent use.
//
// Each destination has sessions and connections of its own, so nothing goes from one to
// another. To vary only the identity, use Routes; to vary only trust, use a scope.
type Destinations struct {
	// Dial opens the connections below TLS of DialContext. If nil, it is that of
	// net.Dialer. Set it before the first is opened.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.RWMutex
	of map[string]*destinationEntry
}

// destinationEntry is a Builder with what has been made of it so far; its address tells it from a
// later one of its pattern.
type destinationEntry struct {
	b func() Builder // see redact.Hidden

	mu     sync.Mutex
	dialer *Dialer
	served *live
	server *tls.Config
}

// anyDestination is the pattern that fits where no other does.
const anyDestination = "*"

func destinationKey(pattern string) (string, error) {
	if pattern == anyDestination {
		return pattern, nil
	}
	return routeKey(pattern)
}

// Set adds a destination, or replaces the one with the same pattern, whose sessions end. It
// fails with trustkeep.ErrInvalid for a malformed pattern. What is wrong with the Builder
// shows when it is used, and before that in Builder.Explain.
func (p *Destinations) Set(pattern string, b Builder) error {
	key, err := destinationKey(pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[string]*destinationEntry)
	}
	p.of[key] = &destinationEntry{b: redact.Hidden(b.detached())}
	return nil
}

// Remove removes the destination with the pattern, or fails with trustkeep.ErrNotFound.
func (p *Destinations) Remove(pattern string) error {
	key, err := destinationKey(pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.of[key]; !ok {
		return &trustkeep.Error{Op: "tlsctx: destination " + key, Err: trustkeep.ErrNotFound}
	}
	delete(p.of, key)
	return nil
}

// Patterns returns all patterns, sorted.
func (p *Destinations) Patterns() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.of))
}

// find returns the entry for a destination as dialled spells it, nil where none fits.
func (p *Destinations) find(host, port string) *destinationEntry {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, key := range fitting(host, port) {
		if one := p.of[key]; one != nil {
			return one
		}
	}
	return p.of[anyDestination]
}

// For returns the Builder for a destination: host:port on clients, the name that is asked for
// on servers. It has had For called with the destination, so that its Explain and
// ExplainError speak about it. It fails with trustkeep.ErrNotFound where no pattern fits, and
// with trustkeep.ErrInvalid for what Builder.For does not take.
func (p *Destinations) For(destination string) (Builder, error) {
	at := endpointOf(destination)
	if at.err != nil {
		return Builder{}, fmt.Errorf("tlsctx: %w", at.err)
	}
	one := p.find(at.host, at.port)
	if one == nil {
		return Builder{}, errNoDestination(destination)
	}
	return one.b().detached().For(destination), nil
}

func errNoDestination(destination string) error {
	return &trustkeep.Error{
		Op: fmt.Sprintf("tlsctx: no Builder for %q", trustkeep.Printable(destination)), Err: trustkeep.ErrNotFound,
		Hint: `set one, or one for "*"`,
	}
}

// DialContext connects to the address, host:port, by the Builder that fits. See
// Dialer.DialContext. It fails with trustkeep.ErrNotFound where none does, before
// anything is sent.
func (p *Destinations) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		host, port, err = dialled(host, port)
	}
	if err != nil {
		return nil, fmt.Errorf("tlsctx: dial: %w", err)
	}
	one := p.find(host, port)
	if one == nil {
		return nil, errNoDestination(address)
	}
	d, err := one.toDial(p.Dial)
	if err != nil {
		return nil, err
	}
	return d.DialContext(ctx, network, address)
}

// Explain is Dialer.Explain for the connections of DialContext. Whatever was set for the destination
// since, it speaks about the Builder that the connection was made by.
func (p *Destinations) Explain(conn net.Conn, err error) error {
	secure, ok := conn.(*tls.Conn)
	if !ok || err == nil {
		return err
	}
	if below, ok := secure.NetConn().(*trackedConn); ok && below.to != nil && below.to.explain != nil {
		return below.to.explain(secure, err)
	}
	return err
}

// toDial returns the Dialer of an entry. A failure is not kept, as the next attempt may
// find its trust and identity again.
func (one *destinationEntry) toDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Dialer, error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.dialer != nil {
		return one.dialer, nil
	}
	d, err := one.b().Dialer()
	if err != nil {
		return nil, err
	}
	d.Dial, one.dialer = dial, d
	return d, nil
}

// Transport returns an http.RoundTripper for HTTPS that makes each request by the Builder
// that fits its URL, over a Transport of its own; see Builder.Transport for base.
// It has the method CloseIdleConnections, which http.Client calls.
func (p *Destinations) Transport(base *http.Transport) http.RoundTripper {
	return &destinationTransport{destinations: p, base: redact.Hidden(base), of: make(map[*destinationEntry]*Transport)}
}

type destinationTransport struct {
	destinations *Destinations
	base         func() *http.Transport // see redact.Hidden

	mu sync.Mutex
	of map[*destinationEntry]*Transport
}

func (t *destinationTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner, err := t.find(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return inner.RoundTrip(r)
}

func (t *destinationTransport) find(r *http.Request) (*Transport, error) {
	host, port, err := destination(r.URL)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: transport: %w", err)
	}
	one := t.destinations.find(host, port)
	if one == nil {
		return nil, errNoDestination(net.JoinHostPort(host, port))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if inner := t.of[one]; inner != nil {
		return inner, nil
	}
	inner, err := one.b().Transport(t.base())
	if err != nil {
		return nil, err
	}
	for old, stale := range t.of { // an entry that is new may have replaced another
		if !t.destinations.has(old) {
			stale.CloseIdleConnections()
			delete(t.of, old)
		}
	}
	t.of[one] = inner
	return inner, nil
}

func (p *Destinations) has(one *destinationEntry) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, have := range p.of {
		if have == one {
			return true
		}
	}
	return false
}

func (t *destinationTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, inner := range t.of {
		inner.CloseIdleConnections()
	}
}

// Server returns a configuration that serves each client by the Builder for the name that
// it asks for; one that asks for no name gets that of "*". See Builder.Server, and note
// that what is set on the result has no effect. A name that no pattern fits is answered by
// unrecognized_name (RFC 6066 section 3), a Builder with Accepted and without AcceptedBestEffort by
// internal_error: use Listen.
//
// The name in the handshake says nothing about the Host of the requests that follow: an HTTP
// server also needs Handler, unless all Builders have the same trust and policy.
func (p *Destinations) Server() *tls.Config {
	return p.serving(func(one *destinationEntry, _ *tls.ClientHelloInfo) error { return one.b().bare() })
}

// serving makes the configuration of Server and Listen, which look at each choice.
func (p *Destinations) serving(look func(*destinationEntry, *tls.ClientHelloInfo) error) *tls.Config {
	nobody := &tls.Config{MinVersion: tls.VersionTLS12}
	outer := nobody.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		one := p.find(hello.ServerName, "")
		if one == nil {
			return nobody, nil
		}
		if err := look(one, hello); err != nil {
			return nil, &setupError{fmt.Errorf("tlsctx: server: %w", err)}
		}
		cfg, err := one.toServe()
		if err != nil {
			return nil, &setupError{err}
		}
		return cfg.GetConfigForClient(hello)
	}
	return outer
}

// toServe is toDial for servers.
func (one *destinationEntry) toServe() (*tls.Config, error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.server != nil {
		return one.server, nil
	}
	cfg, live, err := one.b().server()
	if err == nil {
		one.server, one.served = cfg, live
	}
	return cfg, err
}

// serves returns what toServe follows.
func (one *destinationEntry) serves() (*live, error) {
	if _, err := one.toServe(); err != nil {
		return nil, err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.served, nil
}
