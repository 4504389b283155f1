package environment

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// scope is where components are looked up: the atom, or a process deployed to it, whose
// frozen copies come first.
type scope struct {
	a       *Atom
	process string // empty for the atom itself
}

// Implicit returns what a connection without any settings is made with: it trusts what
// is deployed. The peers of its Dialer, Transport and Listener, and of package ftps, are
// remembered for Environment.DryRun. Those of Client, LiveClient and Server are not, since
// nobody learns when their handshakes are complete.
//
// Open connections whose peer would no longer be accepted are closed, as those of Connection.
func (a *Atom) Implicit() tlsctx.Builder {
	b := a.implicit()
	if followed, err := tlsctx.Follow(implicit{a, &b}); err == nil { // it has nothing to fail at
		return followed
	}
	return b
}

// implicit is the definition of connections without settings, of which the trust alone changes.
type implicit struct {
	a *Atom
	b *tlsctx.Builder
}

func (i implicit) Settings() (*tlsctx.Builder, error)                 { return i.b, nil }
func (i implicit) Notify(changed func(context.Context)) (stop func()) { return i.a.watch(changed) }
func (implicit) String() string                                       { return "connections without settings" }

func (a *Atom) implicit() tlsctx.Builder {
	return tlsctx.Builder{Global: a.Trust(), MayBeEmpty: true, Accepted: a.noting(connectionUse{}), AcceptedBestEffort: true, Clock: a.r.o.Clock}
}

// Connection returns what a connection is made with, in the current versions of its
// components and with this environment's overrides. Trust of its own replaces what is
// deployed. If it cannot be loaded, the connection trusts nobody.
//
// What is built from it follows the connection's definition, this environment's overrides and their
// components from the next handshake on; see tlsctx.Follow for what a bare tls.Config cannot follow.
// Open connections whose peer would no longer be accepted are closed. Where the connection is deleted, no
// longer counts here, or is one of SSH now, every handshake fails.
//
// The error wraps trustkeep.ErrNotFound for a connection that
// does not exist or count here and in an environment that was deleted, trustkeep.ErrUnsupported for one of
// SSH, and is that of Identity if the connection's identity is unavailable.
func (a *Atom) Connection(id string) (tlsctx.Builder, error) {
	return scope{a, ""}.connection(id)
}

// Running is a process that is deployed to an atom's environment.
type Running struct{ s scope }

// Process returns a deployed process. What it hands out follows the process when it is
// deployed again, and fails when it is deployed no more. The error wraps trustkeep.ErrNotFound.
func (a *Atom) Process(id string) (*Running, error) {
	if a.state.Load().deployed[deployedKey(a.env, id)] == nil {
		return nil, failure("process", id, fmt.Errorf("process is not deployed: %w", trustkeep.ErrNotFound))
	}
	return &Running{scope{a, id}}, nil
}

// ID names the process.
func (p *Running) ID() string { return p.s.process }

// Connection is Atom.Connection with the definition and the components as they were
// when the process was deployed. What is deployed on its own counts as it is now. When
// the process is deployed again the Builder follows; when it is deployed no more, every handshake
// fails, and open connections are closed.
func (p *Running) Connection(id string) (tlsctx.Builder, error) {
	return p.s.connection(id)
}

// Identity returns the identity of a private X.509 component of the process. The error
// wraps trustkeep.ErrNotFound for one that the process was not deployed with.
func (p *Running) Identity(component string) (trustkeep.Identity, error) {
	return p.s.identity(component)
}

// PGP returns the key of a PGP component of the process, or of the one that is
// substituted for it; unlocked if it is private.
func (p *Running) PGP(ctx context.Context, component string) (*pgp.Key, error) {
	return p.s.pgp(ctx, component)
}

// Identity returns the identity of a private X.509 component, which follows the
// component. The errors wrap trustkeep.ErrNotFound and ErrUnsupported.
func (a *Atom) Identity(component string) (trustkeep.Identity, error) {
	return scope{a, ""}.identity(component)
}

// Role returns the identity of the component that has a role; see Environment.SetRole.
func (a *Atom) Role(role string) (trustkeep.Identity, error) {
	if d := a.state.Load().environments[a.env]; d != nil && d.Roles[role] != "" {
		return a.Identity(d.Roles[role])
	}
	return nil, failure("role", role, fmt.Errorf("no component has this role in %s: %w", a.env, trustkeep.ErrNotFound))
}

// PGP returns the key of a PGP component that is deployed, or of the one that this
// environment substitutes for it; unlocked if it is private. The error wraps
// trustkeep.ErrNotFound for one that is neither deployed to the atom nor a substitute.
func (a *Atom) PGP(ctx context.Context, component string) (*pgp.Key, error) {
	return scope{a, ""}.pgp(ctx, component)
}

func (s scope) deployed(v *inventory) *deployedProcess {
	if s.process == "" {
		return nil
	}
	return v.deployed[deployedKey(s.a.env, s.process)]
}

// find looks a component up: the frozen copy of a process, the current version for the
// atom itself.
func (s scope) find(v *inventory, id string) (*held, error) {
	if s.process != "" {
		d := s.deployed(v)
		if d == nil {
			return nil, fmt.Errorf("process %s is no longer deployed: %w", s.process, trustkeep.ErrNotFound)
		}
		if h := d.frozen[id]; h != nil {
			return h, nil
		}
		return nil, fmt.Errorf("%s in process %s: %w", named(componentKey(id)), s.process, trustkeep.ErrNotFound)
	}
	return v.current(id)
}

// definition returns a connection as it counts: as it was deployed with a process, else as it is
// defined now, with the environment's overrides.
func (s scope) definition(v *inventory, id string) (Connection, error) {
	if s.process != "" {
		if d := s.deployed(v); d != nil {
			for _, c := range d.record.Connections {
				if c.ID == id {
					return c, nil
				}
			}
		}
		return Connection{}, fmt.Errorf("%s in process %s: %w", named(connectionKey(id)), s.process, trustkeep.ErrNotFound)
	}
	c, ok := v.connections[id]
	if !ok {
		return c, missing(connectionKey(id))
	}
	if !c.countsIn(s.a.env) {
		return c, c.elsewhere(s.a.env)
	}
	d := v.environments[s.a.env]
	if d == nil {
		// Without its overrides, the connection may trust what it should not.
		return c, missing(environmentKey(s.a.env))
	}
	return d.Overrides[id].apply(c), nil
}

func (s scope) connection(id string) (tlsctx.Builder, error) {
	at := connectionOf{s, id}
	m := tlsMaker{connectionOf: at, trust: &ownTrust{connectionOf: at, store: truststore.New()}}
	b, err := tlsctx.Follow(&definition[tlsctx.Builder]{connectionOf: at, make: m.builder})
	if err != nil {
		return tlsctx.Builder{}, err
	}
	if b.Identity != nil {
		// Before the first handshake, so that a wrong password is told here.
		if _, err := b.Identity.TLSCertificate(); err != nil {
			return tlsctx.Builder{}, failure("connection", id, err)
		}
	}
	return b, nil
}

// tlsMaker makes what a connection of TLS is made with. What it makes of the same is the same.
type tlsMaker struct {
	connectionOf
	trust    *ownTrust
	partner  string             // of identity
	identity trustkeep.Identity // of a partner
}

func (m *tlsMaker) builder(v *inventory, c Connection) (*tlsctx.Builder, error) {
	if c.SSH != nil {
		return nil, fmt.Errorf("a connection of SSH, for Atom.SSH: %w", trustkeep.ErrUnsupported)
	}
	b := m.a.implicit()
	c.configure(&b)
	b.Accepted = m.a.noting(connectionUse{m.process, c.ID})
	if c.ownTrust() {
		b.Trusted = m.trust
	}
	switch {
	case c.IdentityPartner != "":
		if m.identity == nil || m.partner != c.IdentityPartner {
			m.partner, m.identity = c.IdentityPartner, m.partnerIdentity(c.IdentityPartner)
		}
		b.Identity = m.identity
	case c.Identity != "":
		b.Identity = liveIdentity{m.scope, c.Identity}
	}
	if c.Revocation != nil {
		var err error
		if b.Revocation, err = m.a.checker(*c.Revocation); err == nil {
			b.RevocationExempt, err = m.exempt(v, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return &b, nil
}

// openedKey names a private key that was opened: a version of a component.
type openedKey struct {
	component, fingerprint string
	version                int
}

func (a *Atom) openedOf(c *component.Component) *openedKeys {
	key := openedKey{c.ID(), c.Fingerprint(), c.Version()}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.opened[key]
	if o == nil {
		o = &openedKeys{turn: make(chan struct{}, 1)}
		a.opened[key] = o
	}
	return o
}

// forgetKeys lets go of keys that are no longer current or frozen anywhere.
func (a *Atom) forgetKeys(v *inventory) {
	a.mu.Lock()
	none := len(a.opened) == 0
	a.mu.Unlock()
	if none {
		return
	}
	needed := make(map[openedKey]bool)
	note := func(h *held) {
		needed[openedKey{h.component.ID(), h.component.Fingerprint(), h.component.Version()}] = true
	}
	for _, h := range v.components {
		note(h)
	}
	for _, p := range v.deployed {
		for _, h := range p.frozen {
			note(h)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.opened {
		if !needed[key] {
			delete(a.opened, key)
		}
	}
}

// liveIdentity is the identity of a component, as it is now.
type liveIdentity struct {
	scope
	component string
}

func (s scope) identity(component string) (trustkeep.Identity, error) {
	l := liveIdentity{s, component}
	// Before the first handshake, so that a wrong password is told here.
	if _, err := l.TLSCertificate(); err != nil {
		return nil, err
	}
	return l, nil
}

// TLSCertificate implements trustkeep.Identity.
func (l liveIdentity) TLSCertificate() (*tls.Certificate, error) {
	if err := l.a.tooOld(); err != nil {
		return nil, failure("identity", l.component, err)
	}
	h, err := l.find(l.a.state.Load(), l.component)
	if err == nil {
		err = wanted(h.component, trustkeep.X509, trustkeep.Private)
	}
	if err != nil {
		return nil, failure("identity", l.component, err)
	}
	o := l.a.openedOf(h.component)
	// Handshakes carry no context here, and passwords by reference may take a while.
	ctx, cancel := context.WithTimeout(context.Background(), l.a.passwordWait)
	defer cancel()
	id, err := openOnce(ctx, o.turn, &o.id, func(ctx context.Context) (*keystore.Identity, error) {
		password, err := l.a.r.passwordOf(ctx, h.record, h.component, l.a.openSealed)
		if err != nil {
			return nil, err
		}
		return keystore.IdentityOf(h.component, password)
	})
	if err != nil {
		return nil, failure("identity", l.component, err)
	}
	return id.TLSCertificate()
}

// String names the component, for explanations.
func (l liveIdentity) String() string { return "component " + l.component }

func (s scope) pgp(ctx context.Context, component string) (*pgp.Key, error) {
	if err := s.a.tooOld(); err != nil {
		return nil, failure("pgp", component, err)
	}
	v := s.a.state.Load()
	d := v.environments[s.a.env]
	if d == nil {
		return nil, failure("pgp", component, fmt.Errorf("environment %s: %w", s.a.env, trustkeep.ErrNotFound))
	}
	id := d.substituted(component, s.process)
	available := id != component
	if s.process != "" {
		p := s.deployed(v)
		available = available || p != nil && p.frozen[component] != nil
	}
	if one, ok := d.Deployed[id]; ok && one.reaches(s.a.id) {
		available = true
	}
	if !available {
		return nil, failure("pgp", component, &trustkeep.Error{
			Op: "look up", Err: trustkeep.ErrNotFound, Hint: "deploy the component, or a process that uses it",
		})
	}
	h, err := s.find(v, id)
	if err != nil && s.deployed(v) != nil {
		h, err = v.current(id) // a substitute, or deployed on its own
	}
	if err != nil {
		return nil, failure("pgp", component, err)
	}
	key := pgp.KeyOf(h.component)
	if key == nil {
		return nil, failure("pgp", component, fmt.Errorf("a component of another kind: %w", trustkeep.ErrUnsupported))
	}
	if key.IsPrivate() {
		key, err = s.unlock(ctx, h, key)
	}
	return key, failure("pgp", component, err)
}

func (s scope) unlock(ctx context.Context, h *held, key *pgp.Key) (*pgp.Key, error) {
	o := s.a.openedOf(h.component)
	return openOnce(ctx, o.turn, &o.key, func(ctx context.Context) (*pgp.Key, error) {
		source, err := s.a.r.passwordOf(ctx, h.record, h.component, s.a.openSealed)
		if err != nil {
			return nil, err
		}
		if source == nil {
			return nil, errors.New("no passphrase")
		}
		return key.Unlock(source, pgp.Options{})
	})
}

// connectionUse is a connection as it is used: by the atom or by a process. The zero
// value is a connection without settings.
type connectionUse struct{ process, connection string }

// noting returns what remembers the peers of a connection; nil for nothing.
func (a *Atom) noting(use connectionUse) func(tlsctx.Peer) {
	if a.o.Seen < 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.seenBy[use]
	if s == nil {
		s = &forecast.Seen{Limit: a.o.Seen, Clock: a.r.o.Clock}
		a.seenBy[use] = s
	}
	return s.Note
}
