package environment

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/truststore"
)

// AtomOptions configures an Atom. The zero value trusts what is deployed and nothing
// else.
type AtomOptions struct {
	// Base is trusted besides what is deployed, such as the system's roots
	// (truststore.System) or those of Java. If nil, nothing.
	Base truststore.Source
	// Seen is how many accepted peers are remembered for Environment.DryRun. If zero,
	// 1,000; if negative, none.
	Seen int
	// Revocation is what connections with Connection.Revocation check peers with: lists at
	// hand, bounds, and how lists and answers are fetched, by revocation.HTTP if FetchCRL or
	// FetchOCSP is nil. Mode, Coverage and RequireStaple are those of each connection.
	Revocation revocation.Options
	// Memory is for an atom without a LocalCopy: a file in which it remembers, across restarts, the newest state that it
	// has seen, so that an older one is refused; each atom has its own. It counts with
	// Options.Authority alone. If empty, nothing is remembered: whoever owns the storage can
	// present a program that starts an older state that is still dated.
	Memory string
	// LocalCopy is a file with the last good state of the atom, with which Start begins while
	// the storage cannot be reached. It remembers what Memory does, so that is to be empty.
	LocalCopy LocalCopy
	// MaxAge is how old the state of the atom may be, see Atom.Age. After that whatever it has
	// handed out trusts nobody and has no identity, errors wrap trustkeep.ErrExpired, and open
	// connections of what follows a definition are closed, until the atom hears of its registry
	// again. With Options.Authority it is to be longer than the interval of Environment.KeepDated.
	// If zero, the state may be of any age.
	MaxAge time.Duration
	// MaxAgeWarns has the atom go on after MaxAge, and tell of it alone: in the log, by OnAge
	// and in Atom.Problem.
	MaxAgeWarns bool
	// OnAge is called when the state has become older than MaxAge, with an error that wraps
	// trustkeep.ErrExpired, and with nil when it no longer is. It must not call Close. If nil,
	// nothing is called.
	OnAge func(error)
	// OnChange is called after each change of what the atom has, in turn; the next one
	// waits for it. It must not call Close. If nil, nothing is called.
	OnChange func()
	// Logger is told of changes and damaged records. If nil, that of the registry.
	Logger *slog.Logger
}

// Atom is a running program attached to an environment. It holds what is deployed, and
// whatever that refers to, in memory, and follows every change. When the storage cannot be
// reached, or a record is damaged, it goes on with what it had.
//
// It is safe for concurrent use. What it hands out, sources of trust, identities and
// Builders, follows the environment by itself.
type Atom struct {
	r   *Registry
	env string
	id  string
	o   AtomOptions

	trust  *truststore.Truststore    // what is deployed to this atom
	global truststore.Source         // and the base
	read   *inventory                // what there is; of the goroutine that follows
	state  atomic.Pointer[inventory] // and what that is to this atom
	gate   *gate                     // nil without Options.Authority

	local   *localCopy        // nil without AtomOptions.LocalCopy
	copied  *copied           // what it had; nil for nothing
	raw     map[string]Record // for it, without gate; of the goroutine that follows
	offline bool              // while the copy is taken
	storage *front            // of Start, which Close closes; nil for none

	enlisted chan struct{} // closed with the goroutine that does it; nil for none

	cancel  context.CancelFunc
	closing context.Context // ends with Close
	done    chan struct{}

	mu        sync.Mutex
	changed   chan struct{} // closed with each change, and then replaced
	following following
	age       age
	watchers  watchers
	seenBy    map[connectionUse]*forecast.Seen
	opened    map[openedKey]*openedKeys
	checkers  map[Revocation]*revocation.Checker
	hostsBy   map[connectionUse]*seenHosts

	passwordWait time.Duration // the constant, but in tests
}

// atomRecord tells of an atom that is, or was, attached.
type atomRecord struct {
	stamp
	Attached time.Time  `json:"attached"`
	Heard    time.Time  `json:"heard,omitzero"`
	Index    uint64     `json:"index,omitempty"`
	Peers    []seenPeer `json:"peers,omitempty"`
}

func newAtomRecord() *atomRecord { return new(atomRecord) }

const defaultSeenPeers = 1000

// Attach attaches a running program to the environment under a name of its own and
// returns when it has everything that is deployed. The context bounds the attaching alone;
// Close ends it. Programs that attach under the same name count as one atom.
//
// The error wraps trustkeep.ErrNotFound for an environment that was deleted, and
// trustkeep.ErrInvalid for a name that is not an ID and wrong AtomOptions; other errors are those of the storage
// and the context.
func (e *Environment) Attach(ctx context.Context, atom string, o AtomOptions) (*Atom, error) {
	if err := checkID("attach", atom); err != nil {
		return nil, err
	}
	if _, err := e.record(ctx); err != nil {
		return nil, failure("attach", atom, err)
	}
	a, err := e.newAtom(ctx, atom, o)
	if err == nil {
		err = a.attach(ctx)
	}
	if err != nil {
		return nil, failure("attach", atom, err)
	}
	return a, nil
}

// newAtom makes an atom that has nothing yet.
func (e *Environment) newAtom(ctx context.Context, atom string, o AtomOptions) (*Atom, error) {
	if given.NilPointer(o.Base) {
		return nil, fmt.Errorf("AtomOptions.Base is a nil pointer: %w", trustkeep.ErrInvalid)
	}
	if _, err := revocation.New(o.Revocation); err != nil {
		return nil, err
	}
	if o.MaxAge < 0 {
		return nil, fmt.Errorf("AtomOptions.MaxAge of %v: %w", o.MaxAge, trustkeep.ErrInvalid)
	}
	if o.Memory != "" && o.LocalCopy.Path != "" {
		return nil, fmt.Errorf("AtomOptions.Memory, and a LocalCopy, which remembers the same: %w", trustkeep.ErrInvalid)
	}
	if o.Logger == nil {
		o.Logger = e.r.o.Logger
	}
	if o.Seen == 0 {
		o.Seen = defaultSeenPeers
	}
	a := &Atom{
		r: e.r, env: e.id, id: atom, o: o, trust: truststore.New(),
		done: make(chan struct{}), changed: make(chan struct{}),
		seenBy: make(map[connectionUse]*forecast.Seen), opened: make(map[openedKey]*openedKeys),
		following:    following{stopped: make(chan struct{})},
		watchers:     watchers{ended: make(chan struct{})},
		age:          age{look: make(chan struct{}, 1), ended: make(chan struct{})},
		passwordWait: passwordWait,
	}
	a.global = a.trust
	if o.Base != nil {
		a.global = truststore.Union(o.Base, a.trust)
	}
	if o.MaxAge > 0 && !o.MaxAgeWarns {
		a.global = recent{a, a.global}
	}
	a.age.since.Store(new(time.Time))
	if o.LocalCopy.Path != "" {
		if err := a.openCopy(); err != nil {
			return nil, err
		}
	}
	if e.r.o.Authority != nil {
		var m memory
		switch {
		case o.Memory != "":
			m = fileMemory(o.Memory)
		case a.local != nil:
			m = &copyMemory{a}
		}
		g, err := newGate(e.r, e.id, m)
		if err != nil {
			return nil, err
		}
		a.gate = g
	}
	return a, nil
}

// attach has a new atom begin with what the storage has.
func (a *Atom) attach(ctx context.Context) error {
	a.cancelWith(context.WithoutCancel(ctx))
	updates, err := a.r.storage.Watch(a.closing, a.paths()...)
	if err == nil {
		err = a.begin(ctx, updates)
	}
	if err == nil {
		err = a.enlist(ctx)
	}
	if err != nil {
		a.cancel()
		return err
	}
	a.run(updates)
	return nil
}

func (a *Atom) cancelWith(ctx context.Context) { a.closing, a.cancel = context.WithCancel(ctx) }

// run begins to follow.
func (a *Atom) run(updates <-chan Update) {
	a.copied = nil
	go a.follow(updates)
	go a.tellWatchers(a.closing)
	go a.watchAge(a.closing)
}

// enlist puts the atom on the list of its environment.
func (a *Atom) enlist(ctx context.Context) error {
	e, created := &Environment{a.r, a.env}, false
	err := change(ctx, a.r, atomKey(a.env, a.id), newAtomRecord, func(d *atomRecord, exists bool) error {
		created, d.Attached, d.Heard, d.Index = !exists, a.r.now(), a.Heard(), a.index()
		return nil
	})
	if err == nil {
		if err = a.r.present(ctx, []string{environmentKey(a.env)}); err != nil && created {
			// Deleted meanwhile: nothing is to be attached to it.
			err = errors.Join(err, e.detach(context.WithoutCancel(ctx), a.id))
		}
	}
	if err == nil {
		e.tell(ctx, "atom attached", a.id, "", "")
	}
	return err
}

// Atoms lists the atoms that are attached to the environment, by ID, including those
// whose programs have ended without Detach.
func (e *Environment) Atoms(ctx context.Context) ([]string, error) {
	v, err := e.r.list(ctx)
	if err != nil {
		return nil, failure("atoms", e.id, err)
	}
	var out []string
	for _, a := range sortedBy(v.atoms) {
		if a.environment == e.id {
			out = append(out, a.id)
		}
	}
	return out, nil
}

// Detach takes an atom off the list, running or not. A running one goes on until it is
// closed. The error wraps trustkeep.ErrNotFound.
func (e *Environment) Detach(ctx context.Context, atom string) error {
	if err := checkID("detach", atom); err != nil {
		return err
	}
	err := e.detach(ctx, atom)
	if err == nil {
		e.tell(ctx, "atom detached", atom, "", "")
	}
	return failure("detach", atom, err)
}

func (e *Environment) detach(ctx context.Context, atom string) error {
	return change(ctx, e.r, atomKey(e.id, atom), newAtomRecord, func(_ *atomRecord, exists bool) error {
		if !exists {
			return missing(atomKey(e.id, atom))
		}
		return errRemove
	})
}

// take makes an update count, as a whole, and tells whether it changes anything here.
func (a *Atom) take(u Update) bool {
	if a.gate != nil {
		var ok bool
		if u, ok = a.admit(u); !ok {
			return false
		}
	}
	if len(u.Records) == 0 && !u.Full {
		return false
	}
	a.keep(u)
	read, before := newInventory(), a.state.Load()
	if before != nil {
		read = a.read.clone()
	}
	read.update(u)
	a.read = read
	next := read.of(a.env, a.id, before)
	for _, r := range u.Records {
		if err := next.damaged[r.Key]; err != nil {
			a.o.Logger.Error("a damaged record is left out; what it held before goes on", "atom", a.id, "error", err)
		}
	}
	// First, since who finds the new state, as Wait does, counts on its trust.
	if err := a.trust.Set(next.deployedTo(a.env, a.id)...); err != nil {
		a.o.Logger.Error("trust could not be set", "atom", a.id, "error", err) // a nil store, which this is not
	}
	a.state.Store(next)
	a.forgetKeys(next)
	if err := next.gone(a.env); err != nil && before != nil && before.gone(a.env) == nil {
		a.o.Logger.Error("the atom has nothing any more", "atom", a.id, "error", err)
	}
	a.mu.Lock()
	a.notify()
	a.mu.Unlock()
	return true
}

// deployedTo returns the certificates that are deployed to an atom.
func (v *inventory) deployedTo(env, atom string) []*x509.Certificate {
	d := v.environments[env]
	if d == nil {
		return nil
	}
	var out []*x509.Certificate
	for h := range v.trustedBy(d, atom) {
		cert, _ := h.certificate() // which trustedBy has looked at
		out = append(out, cert)
	}
	return out
}

// trustedBy yields the components that an atom trusts by deployment.
func (v *inventory) trustedBy(d *environmentRecord, atom string) iter.Seq[*held] {
	return func(yield func(*held) bool) {
		for id, one := range sortedBy(d.Deployed) {
			h := v.components[id]
			if h == nil || h.component.Visibility() != trustkeep.Public || !one.reaches(atom) {
				continue
			}
			if _, err := h.certificate(); err != nil {
				continue
			}
			if !yield(h) {
				return
			}
		}
	}
}

// Close stops following changes and returns when that has stopped. What the atom handed out
// keeps its last state. The atom stays on the list of its environment; see Detach. The error
// is that of the storage if Start has opened it, and nil otherwise.
func (a *Atom) Close() error {
	a.cancel()
	<-a.done
	<-a.watchers.ended
	<-a.age.ended
	if a.enlisted != nil {
		<-a.enlisted
	}
	a.closeCopy()
	if a.storage != nil {
		return failure("close", a.id, a.storage.stop())
	}
	return nil
}

// ID names the atom, Environment where it is attached.
func (a *Atom) ID() string { return a.id }

// Environment is the ID of the environment that the atom is attached to.
func (a *Atom) Environment() string { return a.env }

// Changed returns a channel that is closed with the next change. Ask for it before
// looking at what it is about.
func (a *Atom) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Wait returns nil when the condition holds; it is checked now and after each change. The
// error wraps that of the context, or fs.ErrClosed if the atom or its storage is closed.
func (a *Atom) Wait(ctx context.Context, satisfied func(*Atom) bool) error {
	for {
		changed := a.Changed()
		if satisfied(a) {
			return nil
		}
		select {
		case <-changed:
		case <-a.done:
			return failure("wait", a.id, fs.ErrClosed)
		case <-ctx.Done():
			return failure("wait", a.id, ctx.Err())
		}
	}
}

// Trust is what every connection without trust of its own trusts: what is deployed, and
// AtomOptions.Base.
func (a *Atom) Trust() truststore.Source { return a.global }

// Component returns the current version of a component. The error wraps
// trustkeep.ErrNotFound.
func (a *Atom) Component(id string) (*component.Component, error) {
	h, err := a.state.Load().current(id)
	if err != nil {
		return nil, failure("component", id, err)
	}
	return h.component, nil
}

func (v *inventory) current(id string) (*held, error) {
	h := v.components[id]
	if h == nil {
		return nil, fmt.Errorf("component %s: %w", trustkeep.Printable(id), trustkeep.ErrNotFound)
	}
	return h, nil
}

// TrustedCertificate is one that the atom trusts.
type TrustedCertificate struct {
	Certificate *x509.Certificate
	// Component that it was deployed by; empty for one of AtomOptions.Base.
	Component string
	Name      string
}

// Certificates lists what the atom trusts, deployed certificates and those of its base,
// the first to expire first. Roots of the operating system that cannot be listed are left
// out.
func (a *Atom) Certificates() ([]TrustedCertificate, error) {
	v := a.state.Load()
	var out []TrustedCertificate
	if d := v.environments[a.env]; d != nil {
		for h := range v.trustedBy(d, a.id) {
			cert, _ := h.certificate() // which trustedBy has looked at
			out = append(out, TrustedCertificate{cert, h.component.ID(), h.component.Name()})
		}
	}
	if a.o.Base != nil {
		s, err := a.o.Base.Snapshot()
		if err != nil {
			return nil, failure("certificates", a.id, err)
		}
		for c := range s.All() {
			out = append(out, TrustedCertificate{Certificate: c})
		}
	}
	slices.SortStableFunc(out, func(x, y TrustedCertificate) int {
		return x.Certificate.NotAfter.Compare(y.Certificate.NotAfter)
	})
	return out, nil
}
