package environment

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep/internal/settings"
	"github.com/trustkeep/trustkeep/truststore"
)

// definition is a connection as it is defined now, and what it is made with: a tlsctx.Definition, or
// one of sshctx. What is handed out for a connection follows it.
type definition[B any] struct {
	connectionOf
	// make is called when anything has changed, by one goroutine at a time. What it returns of the same
	// is the same by ==, functions apart.
	make func(*inventory, Connection) (*B, error)

	mu   sync.Mutex
	last atomic.Pointer[defined[B]]
}

// connectionOf names a connection.
type connectionOf struct {
	scope
	id string
}

// String names it in errors.
func (c connectionOf) String() string {
	if c.process != "" {
		return fmt.Sprintf("connection %s of process %s", c.id, c.process)
	}
	return "connection " + c.id
}

// current returns the connection as it counts in that state.
func (c connectionOf) current(v *inventory) (Connection, error) { return c.definition(v, c.id) }

// defined is what was made in a state of the registry.
type defined[B any] struct {
	v   *inventory
	b   *B // the last one, even if there is an error now
	err error
}

// Settings implements the Definition of packages tlsctx and sshctx.
func (d *definition[B]) Settings() (*B, error) {
	if err := d.a.tooOld(); err != nil {
		return nil, failure("connection", d.id, err)
	}
	now := d.last.Load()
	if now == nil || now.v != d.a.state.Load() {
		now = d.renew()
	}
	if now.err != nil {
		return nil, now.err
	}
	return now.b, nil
}

// renew makes anew what has changed.
func (d *definition[B]) renew() *defined[B] {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, before := d.a.state.Load(), d.last.Load()
	if before == nil {
		before = new(defined[B])
	}
	if before.v == v {
		return before
	}
	c, err := d.current(v)
	next := &defined[B]{v: v, b: before.b, err: err}
	if err == nil {
		var b *B
		if b, next.err = d.make(v, c); next.err == nil && (before.b == nil || settings.Differ(before.b, b) != "") {
			next.b = b
		}
	}
	if next.err != nil {
		next.err = failure("connection", d.id, next.err)
	}
	d.last.Store(next)
	return next
}

// Notify implements the Definition of packages tlsctx and sshctx.
func (d *definition[B]) Notify(changed func(context.Context)) (stop func()) {
	return d.a.watch(changed)
}

// ownTrust is the trust of a connection that has its own, as it is defined now. Where a
// component is missing, it is an error and nobody is trusted, rather than whatever is deployed.
// Whoever takes it out of the Builder follows the definition too.
type ownTrust struct {
	connectionOf

	mu    sync.Mutex
	seen  *inventory
	now   truststore.Source
	store *truststore.Truststore
}

// Snapshot implements truststore.Source.
func (t *ownTrust) Snapshot() (*truststore.Snapshot, error) {
	if err := t.a.tooOld(); err != nil {
		return nil, failure("trust of a connection", t.id, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := t.a.state.Load(); v != t.seen {
		if err := t.renew(v); err != nil {
			return nil, failure("trust of a connection", t.id, err)
		}
		t.seen = v
	}
	return t.now.Snapshot()
}

func (t *ownTrust) renew(v *inventory) error {
	c, err := t.current(v)
	if err != nil {
		return err
	}
	if !c.ownTrust() {
		t.now = t.a.global
		return nil
	}
	components, err := c.trusted(t.a.env, func(id string) (Partner, error) { return t.partner(v, id) })
	if err != nil {
		return err
	}
	certs := make([]*x509.Certificate, len(components))
	for i, id := range components {
		h, err := t.find(v, id)
		if err == nil {
			certs[i], err = h.certificate()
		}
		if err != nil {
			return fmt.Errorf("component %s: %w", id, err)
		}
	}
	t.now = t.store
	return t.store.Set(certs...)
}
