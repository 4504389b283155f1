package tlsctx

import (
	"crypto/tls"
	"fmt"
	"maps"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// routedServers are the servers behind Builder.Routes, one for each identity. Each
// has session tickets of its own, so no session goes from one identity to another.
type routedServers struct {
	b Builder

	mu         sync.Mutex
	of         map[*route]*server // of routes that were there at the generation
	generation uint64
}

// find returns the server for a name, nil where no route fits.
func (r *routedServers) find(name string) (*server, error) {
	one := r.b.Routes.find(name, "")
	if one == nil {
		return nil, nil
	}
	id := one.id()
	if id == nil {
		return nil, &trustkeep.Error{Op: "route " + one.pattern, Err: trustkeep.ErrInvalid, Hint: "a server needs an identity"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.b.Routes.current(); g != r.generation {
		maps.DeleteFunc(r.of, func(old *route, _ *server) bool { return !r.b.Routes.has(old) })
		r.generation = g
	}
	if s := r.of[one]; s != nil {
		return s, nil
	}
	if r.of == nil {
		r.of = make(map[*route]*server)
	}
	b := r.b
	b.Identity, b.Routes = id, nil
	s := &server{b: b}
	if _, err := s.renew(true); err != nil {
		return nil, fmt.Errorf("route %s: %w", one.pattern, err)
	}
	r.of[one] = s
	return s, nil
}

// routedServer checks a server without an identity for names that no route fits, and returns the
// configuration for those: without a certificate, crypto/tls answers unrecognized_name (RFC 6066
// section 3).
func (b Builder) routedServer() (*tls.Config, error) {
	for pattern, id := range b.Routes.all() {
		if id == nil {
			continue
		}
		one := b
		one.Identity, one.Routes = id, nil
		if _, err := (&server{b: one}).renew(true); err != nil {
			return nil, fmt.Errorf("route %s: %w", pattern, err)
		}
	}
	return b.base()
}
