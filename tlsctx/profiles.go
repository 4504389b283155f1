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
)

// Profiles choose a whole Builder by destination: an identity, trust and a policy for each
// partner. The patterns are those of Routes, and "*" for whatever no other fits. They can
// be changed at any time, which counts from the next handshake on, and are safe for
// concurrent use. The zero Profiles has none, and reaches nobody.
//
// Each profile has sessions and connections of its own, so nothing goes from one to
// another. Where one identity or one trust is to differ and the rest is shared, Routes or
// a scope say so in less.
type Profiles struct {
	// Dial opens the connections below TLS of DialContext; nil is net.Dialer's. Set it
	// before the first is opened.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.RWMutex
	of map[string]*profile
}

// profile is a Builder with what has been made of it so far; its address tells it from a
// later one of its pattern.
type profile struct {
	b func() Builder // see hidden

	mu     sync.Mutex
	dialer *Dialer
	server *tls.Config
}

// anyDestination is the pattern that fits where no other does.
const anyDestination = "*"

func profileKey(pattern string) (string, error) {
	if pattern == anyDestination {
		return pattern, nil
	}
	return routeKey(pattern)
}

// Set makes a profile, in the place of that of the same pattern, whose sessions end. It
// fails with trustkeep.ErrUnsupported for a pattern that is none. What is wrong with the
// Builder shows when the profile is used, and before that in Builder.Explain.
func (p *Profiles) Set(pattern string, b Builder) error {
	key, err := profileKey(pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[string]*profile)
	}
	p.of[key] = &profile{b: hidden(b.detached())}
	return nil
}

// Remove ends a profile. It fails with trustkeep.ErrNotFound.
func (p *Profiles) Remove(pattern string) error {
	key, err := profileKey(pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.of[key]; !ok {
		return &trustkeep.Error{Op: "tlsctx: profile " + key, Err: trustkeep.ErrNotFound}
	}
	delete(p.of, key)
	return nil
}

// Patterns returns the patterns of all profiles, sorted.
func (p *Profiles) Patterns() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.of))
}

// find returns the profile for a destination, nil where none fits.
func (p *Profiles) find(host, port string) *profile {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, key := range fitting(host, port) {
		if one := p.of[key]; one != nil {
			return one
		}
	}
	return p.of[anyDestination]
}

// BuilderFor returns the Builder for a destination: host:port on clients, the name that is
// asked for on servers. Its ExplainFor and ExplainErrorFor tell the rest. It fails with
// trustkeep.ErrNotFound where no profile fits.
func (p *Profiles) BuilderFor(destination string) (Builder, error) {
	host, port, err := net.SplitHostPort(destination)
	if err != nil {
		host, port = destination, ""
	}
	one := p.find(host, port)
	if one == nil {
		return Builder{}, errNoProfile(destination)
	}
	return one.b().detached(), nil
}

func errNoProfile(destination string) error {
	return &trustkeep.Error{
		Op: fmt.Sprintf("tlsctx: no profile for %q", trustkeep.Printable(destination)), Err: trustkeep.ErrNotFound,
		Hint: `set one, or one for "*"`,
	}
}

// DialContext connects to the address, host:port, by the profile that fits. See
// Dialer.DialContext. It fails with trustkeep.ErrNotFound where none does, before
// anything is sent.
func (p *Profiles) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: dial: %w", err)
	}
	one := p.find(host, port)
	if one == nil {
		return nil, errNoProfile(address)
	}
	d, err := one.toDial(p.Dial)
	if err != nil {
		return nil, err
	}
	return d.DialContext(ctx, network, address)
}

// toDial returns the Dialer of a profile. A failure is not kept, as the next attempt may
// find its trust and identity again.
func (one *profile) toDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Dialer, error) {
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

// Transport returns an http.RoundTripper for HTTPS that makes each request by the profile
// that fits its URL, over a Transport of the profile's own; see Builder.Transport for base.
// It has the method CloseIdleConnections, which http.Client calls.
func (p *Profiles) Transport(base *http.Transport) http.RoundTripper {
	return &profileTransport{profiles: p, base: base, of: make(map[*profile]*Transport)}
}

type profileTransport struct {
	profiles *Profiles
	base     *http.Transport

	mu sync.Mutex
	of map[*profile]*Transport
}

func (t *profileTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner, err := t.find(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return inner.RoundTrip(r)
}

func (t *profileTransport) find(r *http.Request) (*Transport, error) {
	host, port := destination(r.URL)
	one := t.profiles.find(host, port)
	if one == nil {
		return nil, errNoProfile(net.JoinHostPort(host, port))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if inner := t.of[one]; inner != nil {
		return inner, nil
	}
	inner, err := one.b().Transport(t.base)
	if err != nil {
		return nil, err
	}
	for old, stale := range t.of { // a profile that is new may have replaced another
		if !t.profiles.has(old) {
			stale.CloseIdleConnections()
			delete(t.of, old)
		}
	}
	t.of[one] = inner
	return inner, nil
}

func (p *Profiles) has(one *profile) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, have := range p.of {
		if have == one {
			return true
		}
	}
	return false
}

func (t *profileTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, inner := range t.of {
		inner.CloseIdleConnections()
	}
}

// Server returns a configuration that serves each client by the profile for the name that
// it asks for; one that asks for no name gets that of "*". See Builder.Server, and note
// that what is set on the result has no effect. A name that no profile fits is answered by
// unrecognized_name (RFC 6066 section 3).
func (p *Profiles) Server() *tls.Config {
	nobody := &tls.Config{MinVersion: tls.VersionTLS12}
	outer := nobody.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		one := p.find(hello.ServerName, "")
		if one == nil {
			return nobody, nil
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
func (one *profile) toServe() (*tls.Config, error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.server != nil {
		return one.server, nil
	}
	cfg, err := one.b().Server()
	if err == nil {
		one.server = cfg
	}
	return cfg, err
}
