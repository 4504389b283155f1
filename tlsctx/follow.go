package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/settings"
	"github.com/trustkeep/trustkeep/truststore"
)

// Definition is where the settings of a named connection are kept, such as those of
// environment.Atom.Connection. See Follow.
type Definition interface {
	// Settings returns the current settings, and the same pointer until they change. Nobody changes
	// what it points to. It is asked on every handshake and should cost nothing while nothing
	// changes. An error refuses every handshake.
	Settings() (*Builder, error)
	// Notify has changed called after each change of the settings, or of the trust that they name, until stop is
	// called, which may be from within it. The context ends what it waits for.
	Notify(changed func(context.Context)) (stop func())
	// String names the connection in errors: "connection c".
	String() string
}

// Follow returns a Builder with the current settings of a definition. What is built from it follows
// the definition from the next handshake on:
//
//   - Dialer, Transport, Listener, Destinations, a configuration of Server and FTPS sessions use the
//     new settings. Connections that would no longer be accepted are closed by themselves, which takes
//     no Track. Sessions and pools are kept as long as nothing changes for them.
//   - A configuration of LiveClient uses the new trust, identity and policy. Versions, protocols,
//     suites and the name that is sent are those of a bare tls.Config: where one of them has changed,
//     handshakes fail with trustkeep.ErrOutdated.
//   - A configuration of Client, which follows nothing, fails with trustkeep.ErrOutdated when any of
//     its settings has changed, and refuses servers that the current trust does not accept.
//
// Fields that are assigned on the Builder no longer follow; all others do. Functions are never
// replaced. Errors are those of Settings, and trustkeep.ErrInvalid for nil and for settings with
// interfaces whose values have no ==.
func Follow(d Definition) (Builder, error) {
	if given.IsNil(d) {
		return Builder{}, &trustkeep.Error{Op: "tlsctx: follow", Err: trustkeep.ErrInvalid, Hint: "there is no definition"}
	}
	now, err := d.Settings()
	if err != nil {
		return Builder{}, err
	}
	if what := settings.Differ(now, now); what != "" { // it would be taken for the program's
		return Builder{}, &trustkeep.Error{Op: "tlsctx: follow: " + what, Err: trustkeep.ErrInvalid, Hint: "its value cannot be compared; make it a pointer"}
	}
	b := now.detached()
	b.follows = redact.Hidden(following{d, now})
	return b, nil
}

// following is a definition, and what a Builder was at first.
type following struct {
	definition Definition
	base       *Builder
}

// Current returns the Builder with the settings that its definition has now, if it is one of
// Follow. The result follows nothing. Errors are those of Definition.Settings.
func (b Builder) Current() (Builder, error) {
	if b.follows == nil {
		return b, nil
	}
	next, err := b.follows().definition.Settings()
	if err != nil {
		return Builder{}, err
	}
	return b.with(next), nil
}

// orAsItWas is Current for explanations: what was is better than nothing.
func (b Builder) orAsItWas() Builder {
	if now, err := b.Current(); err == nil {
		return now
	}
	b.follows = nil
	return b
}

// with is the Builder with the next settings in place of those that nobody has assigned.
func (b Builder) with(next *Builder) Builder {
	b.ServerName = b.ownName()
	out := settings.Merge(&b, b.follows().base, next)
	out.follows, out.at.name = nil, ""
	if out.ServerName == "" && out.at.err == nil && out.at.host != "" {
		out.at.name = nameOf(out.at.host)
		out.ServerName = out.at.name
	}
	return out
}

// live is a Builder as it is at each moment.
type live struct {
	b      Builder // as it was given
	client bool
	shape  func(*Builder) // what is assigned in any case

	mu   sync.Mutex // held while the next state is made
	last atomic.Pointer[state]
}

// state is a Builder that follows nothing.
type state struct {
	b    Builder
	from *Builder // the settings of the definition
	// client and server count the changes of what concerns them.
	client, server uint64
}

// Fields that are about the other side.
var (
	ofServers = []string{"ClientAuth", "ClientURI", "TicketSecret", "ConcealCAs"}
	ofClients = []string{"ServerName", "ServerURI"}
)

// live begins to follow. A client remembers the system's roots.
func (b Builder) live(client bool, shape func(*Builder)) (*live, error) {
	l := &live{b: b.detached(), client: client, shape: shape}
	_, err := l.now()
	return l, err
}

// now returns the state of now, the same as long as the definition does.
func (l *live) now() (*state, error) {
	s := l.last.Load()
	if l.b.follows == nil {
		if s != nil {
			return s, nil
		}
		return l.renew()
	}
	from, err := l.b.follows().definition.Settings()
	if err != nil {
		return nil, err
	}
	if s != nil && s.from == from {
		return s, nil
	}
	return l.renew()
}

// renew makes the next state, unless somebody just did.
func (l *live) renew() (*state, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &state{b: l.b}
	if l.b.follows != nil {
		var err error
		// Asked again under the lock, so that states only go forward.
		if next.from, err = l.b.follows().definition.Settings(); err != nil {
			return nil, err
		}
		next.b = l.b.with(next.from)
	}
	before := l.last.Load()
	if before != nil && before.from == next.from {
		return before, nil
	}
	if l.shape != nil {
		l.shape(&next.b)
	}
	if l.client && next.b.origin() == FromSystem {
		if before != nil && before.b.system != nil {
			next.b.system = before.b.system
		} else if b, err := next.b.remembering(); err != nil {
			return nil, err
		} else {
			next.b = b
		}
	}
	if before != nil {
		next.client, next.server = before.client, before.server
		if settings.Differ(&before.b, &next.b, ofServers...) != "" {
			next.client++
		}
		if settings.Differ(&before.b, &next.b, ofClients...) != "" {
			next.server++
		}
	}
	l.last.Store(next)
	return next, nil
}

// lastBuilder is the Builder of the last state, for explanations.
func (l *live) lastBuilder() Builder {
	s, err := l.now()
	if err != nil {
		s = l.last.Load()
	}
	return s.b
}

// mostChanges is how often a definition may change while somebody looks at it.
const mostChanges = 16

// trusting returns the state with its trust. They belong together: between the two answers,
// nothing has changed.
func (l *live) trusting(trust func(Builder) (*truststore.Snapshot, error)) (*state, *truststore.Snapshot, error) {
	for range mostChanges {
		s, err := l.now()
		if err != nil {
			return nil, nil, err
		}
		snapshot, err := trust(s.b)
		again, changed := l.now()
		switch {
		case changed != nil:
			return nil, nil, changed
		case again == s:
			return s, snapshot, err
		}
	}
	return nil, nil, l.outdated("again and again")
}

// decided decides by the settings and the trust of now, which may change while hooks and lists are waited
// for. Some sources of trust have another snapshot each time; those are believed in the end.
func (l *live) decided(trust func(Builder) (*truststore.Snapshot, error), decide func(*state, *truststore.Snapshot) error) error {
	const believed = 3
	for round := range mostChanges {
		s, snapshot, err := l.trusting(trust)
		if err != nil {
			return &setupError{err}
		}
		if err := decide(s, snapshot); err != nil || !l.follows() {
			return err
		}
		switch again, now, err := l.trusting(trust); {
		case err != nil:
			return &setupError{err}
		case again == s && (now == snapshot || round >= believed):
			return nil
		}
	}
	return &setupError{l.outdated("again and again")}
}

// outdated is the error of what cannot follow. What says what has changed.
func (l *live) outdated(what string) error {
	return fmt.Errorf("the definition of %s has changed, ask again (%s): %w", trustkeep.Printable(l.b.follows().definition.String()), what, trustkeep.ErrOutdated)
}

// unchanged refuses what a configuration of Client would accept by other settings than those of now.
func (l *live) unchanged(began *state, trust *truststore.Snapshot, open tls.ConnectionState) error {
	s, now, err := l.trusting(Builder.clientTrust)
	if err != nil {
		return err
	}
	if s != began {
		if what := settings.Differ(&began.b, &s.b, ofServers...); what != "" {
			return l.outdated(what)
		}
	}
	if now == trust {
		return nil
	}
	name := began.b.asked(open)
	if name == "" { // crypto/tls has verified the one that was dialled
		_, name = standIn(open.PeerCertificates)
	}
	o := s.b.VerifyOptions(truststore.Server, name)
	o.Revocation = nil // it is asked besides
	_, err = now.Verify(open.PeerCertificates, o)
	return inBuilder(err)
}

// notLive are the fields that a configuration of LiveClient follows, and those that do not concern
// it. All others are those of the tls.Config.
var notLive = append([]string{
	"Global", "Trusted", "MayBeEmpty", "Allow", "Policy", "Pins", "Revocation", "RevocationExempt", "ServerURI", "TrustDomain", "Identity", "Routes",
}, ofServers...)

// fits refuses a configuration of LiveClient that was made for other settings.
func (l *live) fits(began, now *state) error {
	if what := settings.Differ(&began.b, &now.b, notLive...); what != "" {
		return l.outdated(what)
	}
	return nil
}

// notify tells of changes, if there can be any; stop is never nil.
func (l *live) notify(changed func(context.Context)) (stop func()) {
	if l.b.follows == nil {
		return func() {}
	}
	return l.b.follows().definition.Notify(changed)
}

// follows reports whether there is a definition.
func (l *live) follows() bool { return l.b.follows != nil }
