package tlsctx

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Routes choose an identity by destination: on clients the host and port that are dialled, on
// servers the name that the client asks for. Changes apply from the next handshake on. Routes
// are safe for concurrent use. The zero Routes is empty.
//
// The most particular pattern wins, whatever the order in which they were set:
//
//	host.example:8443    the host at that port
//	host.example         the host at any port
//	*.example:8443       any host one label below, at that port
//	*.example            any host one label below, at any port
//
// Hosts are compared as they are dialled: without regard to case or a dot at the end, names
// beyond ASCII in the form that IDNA maps them to (RFC 5891), xn--…. IP addresses, with
// brackets where a port follows, and ports fit in every spelling, "https" for 443 included.
// Servers know no port, so patterns with one fit nothing there.
//
// If none fits, Builder.Identity is presented; a server without one answers
// unrecognized_name. The route counts whatever authorities a server lists. A route with a nil
// identity presents none, which servers cannot do.
type Routes struct {
	mu         sync.RWMutex
	routes     map[string]*route
	generation atomic.Uint64 // changed under mu
}

// route is one of Routes; its address tells it from a later one of its pattern.
type route struct {
	pattern string
	id      func() trustkeep.Identity // see redact.Hidden
}

// Set adds a route, or replaces the one with the same pattern. If id is nil, the route
// presents no identity. It fails with trustkeep.ErrInvalid for a malformed pattern or a nil
// pointer in id.
func (r *Routes) Set(pattern string, id trustkeep.Identity) error {
	key, err := routeKey(pattern)
	if err != nil {
		return err
	}
	if given.NilPointer(id) {
		return &trustkeep.Error{Op: "tlsctx: route " + key, Err: trustkeep.ErrInvalid, Hint: "the identity is a nil pointer; was the error of loading it checked?"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes == nil {
		r.routes = make(map[string]*route)
	}
	r.routes[key] = &route{key, redact.Hidden(id)}
	r.generation.Add(1)
	return nil
}

// Remove removes the route with the pattern, or fails with trustkeep.ErrNotFound.
func (r *Routes) Remove(pattern string) error {
	key, err := routeKey(pattern)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.routes[key]; !ok {
		return &trustkeep.Error{Op: "tlsctx: route " + key, Err: trustkeep.ErrNotFound}
	}
	delete(r.routes, key)
	r.generation.Add(1)
	return nil
}

// current counts the calls of Set and Remove that have changed the routes, starting
// at 0. What an identity makes of itself later is not counted. A nil *Routes is at 0.
func (r *Routes) current() uint64 {
	if r == nil {
		return 0
	}
	return r.generation.Load()
}

// Patterns returns the patterns of all routes, sorted.
func (r *Routes) Patterns() []string {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]string, 0, len(r.routes))
	for p := range r.routes {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// all yields the routes in the order of their patterns.
func (r *Routes) all() iter.Seq2[string, trustkeep.Identity] {
	return func(yield func(string, trustkeep.Identity) bool) {
		for _, p := range r.Patterns() {
			r.mu.RLock()
			one := r.routes[p]
			r.mu.RUnlock()
			if one != nil && !yield(p, one.id()) {
				return
			}
		}
	}
}

// any reports whether there are routes.
func (r *Routes) any() bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.routes) > 0
}

// has reports whether a route is still in force.
func (r *Routes) has(one *route) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.routes[one.pattern] == one
}

// find returns the route for a destination as dialled spells it, nil where none fits. On
// servers host is the name that the client asks for, and port is empty.
func (r *Routes) find(host, port string) *route {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range fitting(host, port) {
		if one := r.routes[p]; one != nil {
			return one
		}
	}
	return nil
}

// fitting returns the patterns that fit a destination, the most particular first, as
// routeKey spells them.
func fitting(host, port string) [4]string {
	host = fold(host)
	if _, err := netip.ParseAddr(host); err != nil && (strings.ContainsAny(host, "*:[]") || strings.HasPrefix(host, ".")) {
		return [4]string{} // a name that a client made up to look like a pattern
	}
	_, parent, _ := strings.Cut(host, ".")
	wild := "*." + parent
	return [...]string{net.JoinHostPort(host, port), host, net.JoinHostPort(wild, port), wild}
}

// routeKey is the pattern in the one spelling by which it is found.
func routeKey(pattern string) (string, error) {
	bad := func(hint string) error {
		return &trustkeep.Error{Op: fmt.Sprintf("tlsctx: route %q", trustkeep.Printable(pattern)), Err: trustkeep.ErrInvalid, Hint: hint}
	}
	bare, wild := strings.CutPrefix(pattern, "*.")
	at := endpointOf(bare)
	if at.err != nil {
		return "", bad(at.err.Hint)
	}
	if wild {
		if _, err := netip.ParseAddr(at.host); err == nil {
			return "", bad("an IP address has no labels")
		}
		at.host = "*." + at.host
	}
	if at.port == "" {
		return at.host, nil
	}
	return net.JoinHostPort(at.host, at.port), nil
}

// identityFor returns the identity for a destination as dialled spells it, and what chose it: a
// pattern, or "" for Builder.Identity.
func (b Builder) identityFor(host, port string) (trustkeep.Identity, string) {
	if r := b.Routes.find(host, port); r != nil {
		return r.id(), r.pattern
	}
	return b.Identity, ""
}
