package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Recipient is a program or person whose OpeningKey opens passwords: those of an environment, or
// those that are kept for administrators alone.
type Recipient struct {
	// Name is an ID, such as that of an atom.
	Name string
	Key  SealingKey
}

// Exposed is a component whose passwords a former recipient could read, and may have kept. Give
// it a new key if that matters.
type Exposed struct {
	Environment string // empty for what is kept for administrators alone
	Component   string
	// Versions are those whose private keys it could open, old versions and frozen copies
	// included. A key that waits for the reply to a request has the number of the request,
	// negative.
	Versions []int
}

// Unsealed is private content that Registry.Seal had to leave under its own password.
type Unsealed struct {
	Component string
	// Environment and Process are those of a frozen copy, Environment alone that of a version that it
	// is kept at; empty for the component itself.
	Environment, Process string
	// Err says why.
	Err error
}

// Seal makes a sealed registry of one that keeps its passwords under a Sealer, or keeps none yet.
// From then on:
//
//   - Each environment has a data key of its own, which only its recipients can open with their
//     OpeningKey: at first these administrators; see Environment.AddRecipient for its atoms.
//   - Private keys are stored under random passwords, which are sealed for the environments in
//     which their component counts, and for no others. Those of components that count nowhere are
//     sealed for the administrators.
//   - A change that makes a component count in an environment seals it there first. If
//     Options.OpeningKey cannot open its password, or is no recipient of that environment, it
//     fails and says who can.
//
// The registry's own OpeningKey must be one of the administrators'. All versions that are kept and
// frozen copies and held versions are changed, and the passwords under the Sealer deleted; what the storage keeps of
// the time before remains as it was. Passwords that are kept by reference stay where they are.
// Seal returns what it could not open; give Options.Passwords for that and call it again. If it
// fails, call it again.
//
// Errors wrap trustkeep.ErrInvalid without an OpeningKey, or if it is not among administrators,
// and for a bad name or two recipients of the same, and trustkeep.ErrNotPermitted if the
// registry was sealed by others.
func (r *Registry) Seal(ctx context.Context, administrators ...Recipient) ([]Unsealed, error) {
	left, err := r.sealAll(ctx, administrators)
	return left, failure("seal", "", err)
}

func (r *Registry) sealAll(ctx context.Context, to []Recipient) ([]Unsealed, error) {
	if r.o.OpeningKey == nil || !slices.ContainsFunc(to, func(p Recipient) bool { return p.Key == r.o.OpeningKey.SealingKey() }) {
		return nil, &trustkeep.Error{Op: "recipients", Err: trustkeep.ErrInvalid, Hint: "set Options.OpeningKey, and name it among the administrators"}
	}
	list := new(ringRecord)
	for _, p := range to {
		if err := list.add(p); err != nil {
			return nil, err
		}
	}
	v, err := r.references(ctx)
	if err == nil {
		err = v.unread()
	}
	if err != nil {
		return nil, err
	}
	began := false
	// The administrators' key last: with it, every change begins to seal.
	for _, env := range append(slices.Sorted(maps.Keys(v.environments)), administrators) {
		err := change(ctx, r, ringKey(env), newRingRecord, func(d *ringRecord, exists bool) error {
			if exists {
				_, err := d.open(env, r.o.OpeningKey)
				if err == nil {
					err = errSame
				}
				return err
			}
			began = began || env == administrators
			d.Recipients = slices.Clone(list.Recipients)
			return newRing(env, d, r.rand())
		})
		if err != nil {
			return nil, err
		}
	}
	var left []Unsealed
	note := func(u Unsealed) { left = append(left, u) }
	if v, err = r.list(ctx); err != nil {
		return nil, err
	}
	for id := range sortedBy(v.components) {
		err := change(ctx, r, componentKey(id), newComponentRecord, func(d *componentRecord, exists bool) error {
			return r.reseal(ctx, v, id, d, func(err error) { note(Unsealed{Component: id, Err: err}) })
		})
		if err != nil {
			return left, fmt.Errorf("component %s: %w", id, err)
		}
	}
	copies := func(environment, process string, of map[string]*componentRecord) error {
		var changed error = errSame
		for id, f := range sortedBy(of) {
			err := r.reseal(ctx, v, id, f, func(err error) {
				note(Unsealed{Component: id, Environment: environment, Process: process, Err: err})
			})
			if err == nil {
				changed = nil
			} else if !errors.Is(err, errSame) {
				return err
			}
		}
		return changed
	}
	for id := range sortedBy(v.environments) {
		err := change(ctx, r, environmentKey(id), newEnvironmentRecord, func(d *environmentRecord, exists bool) error {
			return copies(id, "", d.Held)
		})
		if err != nil {
			return left, fmt.Errorf("environment %s: %w", id, err)
		}
	}
	for key, p := range sortedBy(v.deployed) {
		err := change(ctx, r, key, newDeployedRecord, func(d *deployedRecord, exists bool) error {
			return copies(p.environment, d.Process.ID, d.Frozen)
		})
		if err != nil {
			return left, fmt.Errorf("%s: %w", named(key), err)
		}
	}
	if len(left) == 0 {
		if err := r.forgetVault(ctx); err != nil {
			return left, err
		}
	}
	if began {
		r.tell(ctx, Event{Action: "registry sealed", After: "administrators " + list.names()})
	}
	return left, nil
}

// reseal puts what a record holds under random passwords; errSame if there is nothing to do.
func (r *Registry) reseal(ctx context.Context, v *inventory, id string, d *componentRecord, left func(error)) error {
	k, s := d.state()
	if s == nil {
		return errSame
	}
	changed := false
	former := &componentRecord{Type: d.Type, X509: d.X509, PGP: d.PGP, Secrets: maps.Clone(d.Secrets)}
	passwords := sync.OnceValues(func() ([]*redact.Secret, error) {
		all, err := r.keptPasswords(ctx, former)
		asked, e := r.askedFor(ctx, id)
		return append(all, asked...), errors.Join(err, e)
	})
	one := *s
	one.Versions, one.Pending = slices.Clone(s.Versions), slices.Clone(s.Pending)
	for n, stored := range storedIn(&one) {
		visibility, err := k.Outline(*stored)
		kept := d.Secrets[n]
		if err != nil {
			left(fmt.Errorf("%s: %w", numbered(n), err))
			continue
		}
		if visibility != trustkeep.Private || kept != nil && kept.Reference != "" || v.knows(id, digestOfKey(*stored)) {
			continue
		}
		own := &componentRecord{X509: &component.State{ID: s.ID, Name: s.Name, Versions: []component.VersionState{{Number: max(n, -n), Stored: *stored}}}}
		if d.PGP != nil {
			own.X509, own.PGP = nil, own.X509
		}
		err = r.protect(own, nil, passwords)
		if err != nil {
			left(err)
			continue
		}
		_, sealed := own.state()
		*stored, changed = sealed.Versions[0].Stored, true
		if d.fresh == nil {
			d.fresh = make(map[digest]*redact.Secret)
		}
		maps.Copy(d.fresh, own.fresh)
		delete(d.Secrets, n)
	}
	if !changed {
		return errSame
	}
	*s = one
	return nil
}

// askedFor is what Options.Passwords says.
func (r *Registry) askedFor(ctx context.Context, id string) ([]*redact.Secret, error) {
	if r.o.Passwords == nil {
		return nil, nil
	}
	source, err := r.o.Passwords(ctx, id)
	if err != nil || source == nil {
		return nil, err
	}
	password, err := source.Reveal()
	defer clear(password)
	return []*redact.Secret{redact.NewSecret(password)}, err
}

// forgetVault deletes the data key that opened all passwords, unless some are left.
func (r *Registry) forgetVault(ctx context.Context) error {
	d := newVaultRecord()
	revision, err := r.get(ctx, secretsKey, d)
	if err != nil || revision == 0 {
		return err
	}
	return r.delete(ctx, secretsKey, revision)
}

// fillSealed is fill in a sealed registry.
func (r *Registry) fillSealed(ctx context.Context, d *componentRecord, c *component.Component, given trustkeep.PasswordSource) error {
	before := *d
	before.Secrets = maps.Clone(d.Secrets)
	if err := d.setContent(c); err != nil {
		return err
	}
	if c.Visibility() != trustkeep.Private {
		return nil
	}
	var first []*redact.Secret
	if given != nil {
		password, err := given.Reveal()
		if err != nil {
			return err
		}
		defer clear(password)
		if err := opensChanged(c, newIn(before.keys(), d.keys()), password); err != nil {
			return err
		}
		first = append(first, redact.NewSecret(password))
	}
	// A version that is current again is opened by what opened it before.
	_, was := before.state()
	_, now := d.state()
	if was != nil {
		for _, v := range now.Versions {
			for _, w := range was.Versions {
				if s := before.Secrets[w.Number]; s != nil && d.Secrets[v.Number] == nil && sameKey(v.Stored, w.Stored) {
					if d.Secrets == nil {
						d.Secrets = make(map[int]*secret)
					}
					d.Secrets[v.Number] = s
				}
			}
		}
	}
	return r.protect(d, &before, func() ([]*redact.Secret, error) {
		all, err := r.keptPasswords(ctx, &before)
		if len(first)+len(all) > 0 {
			return append(first, all...), nil
		}
		if err != nil {
			return nil, err
		}
		return r.askedFor(ctx, c.ID())
	})
}

// opensChanged tells whether a password that was given is that of what was changed: of a key that
// waits, or else of the current content.
func opensChanged(c *component.Component, isNew func(n int) bool, password []byte) error {
	failed, requested := error(nil), false
	for _, p := range c.Pending() {
		if isNew(-p.Number) {
			if failed = opens(p, password); failed == nil {
				return nil
			}
			requested = true
		}
	}
	if requested && !isNew(c.Version()) {
		return failed
	}
	return opens(c, password)
}

// keptPasswords are those of a record that can be opened. The error says why others cannot.
func (r *Registry) keptPasswords(ctx context.Context, d *componentRecord) ([]*redact.Secret, error) {
	_, s := d.state()
	if s == nil {
		return nil, nil
	}
	var out []*redact.Secret
	var failed []error
	add := func(p *redact.Secret) {
		if !slices.ContainsFunc(out, p.Equal) {
			out = append(out, p)
		}
	}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(d.Secrets))) {
		password, err := r.reveal(ctx, s.ID, d.Secrets[n])
		if err != nil {
			failed = append(failed, err)
			continue
		}
		add(redact.NewSecret(password))
		clear(password)
	}
	v, err := r.sealedOf(ctx, s.ID)
	if err != nil {
		return out, errors.Join(append(failed, err)...)
	}
	from := r.newSealer()
	for _, c := range slices.Backward(d.contents()) {
		p, err := from.password(v, s.ID, c.Digest)
		switch {
		case err == nil:
			add(p)
		case !errors.Is(err, trustkeep.ErrNotFound):
			failed = append(failed, err)
		}
	}
	return out, errors.Join(failed...)
}

// sealedOf reads the sealed passwords, and who can open them.
func (r *Registry) sealedOf(ctx context.Context, component string) (*inventory, error) {
	v, err := r.listOf(ctx, administratorsPrefix)
	if err != nil {
		return nil, err
	}
	records, err := r.storage.List(ctx, environmentPrefix)
	if err != nil {
		return nil, err
	}
	for _, one := range records {
		if kind, _, id := kindOfKey(one.Key); kind == "secrets" || kind == "secrets of component" && id == component {
			v.apply(one)
		}
	}
	return v, nil
}

// openSealed returns the sealed password of what a record holds under a number of Secrets; nil in
// a registry that is not sealed. The error wraps trustkeep.ErrNotFound if it is not sealed for
// those who ask.
type openSealed func(ctx context.Context, d *componentRecord, n int) (*redact.Secret, error)

func (r *Registry) openSealed(ctx context.Context, d *componentRecord, n int) (*redact.Secret, error) {
	_, s := d.state()
	v, err := r.sealedOf(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	return r.openIn(v, s, n)
}

func (r *Registry) openIn(v *inventory, s *component.State, n int) (*redact.Secret, error) {
	if len(v.rings) == 0 {
		return nil, nil
	}
	return r.newSealer().password(v, s.ID, digestOfKey(keysOfState(s)[n]))
}

// openSealed opens what is sealed for the atom's environment.
func (a *Atom) openSealed(_ context.Context, d *componentRecord, n int) (*redact.Secret, error) {
	_, s := d.state()
	p, err := a.r.openIn(a.state.Load(), s, n)
	if errors.Is(err, trustkeep.ErrNotFound) {
		err = &trustkeep.Error{Op: "password", Alias: s.ID, Err: trustkeep.ErrNotFound,
			Hint: "it is not sealed for environment " + a.env + ": nothing there refers to the component, or it was not sealed yet"}
	}
	return p, err
}

func (d *ringRecord) add(p Recipient) error {
	if err := checkID("recipient", p.Name); err != nil {
		return err
	}
	if _, err := p.Key.public(); err != nil {
		return fmt.Errorf("recipient %s has no key: %w: %w", p.Name, trustkeep.ErrInvalid, err)
	}
	for _, other := range d.Recipients {
		if other.Name == p.Name || other.Key == p.Key {
			return fmt.Errorf("recipient %s, or another of its key: %w", p.Name, trustkeep.ErrExists)
		}
	}
	d.Recipients = append(d.Recipients, ringRecipient{Name: p.Name, Key: p.Key})
	return nil
}

// AddRecipient lets a key open the passwords of the environment, of now and of later: that of an
// atom, or of somebody who deploys to it. The registry must be sealed, and its own OpeningKey be
// a recipient.
//
// Errors wrap trustkeep.ErrInvalid for a bad name or no key, ErrExists if there is a recipient of
// that name or key, ErrLimit for more than 1,000, ErrNotPermitted if the registry's
// OpeningKey is none, and says who can, and ErrUnsupported in a registry that is not sealed.
func (e *Environment) AddRecipient(ctx context.Context, p Recipient) error {
	return failure("add recipient", p.Name, e.r.addRecipient(ctx, e.id, p))
}

// AddAdministrator lets a key open the passwords of components that count in no environment. Add
// it to environments with Environment.AddRecipient; those that are created later begin with the
// administrators. Errors are those of Environment.AddRecipient.
func (r *Registry) AddAdministrator(ctx context.Context, p Recipient) error {
	return failure("add administrator", p.Name, r.addRecipient(ctx, administrators, p))
}

var errNotSealed = &trustkeep.Error{Op: "recipients", Err: trustkeep.ErrUnsupported, Hint: "the registry is not sealed; see Registry.Seal"}

func (r *Registry) addRecipient(ctx context.Context, env string, p Recipient) error {
	s := r.newSealer()
	if err := r.completeRing(ctx, env); err != nil {
		return err
	}
	if _, err := s.ringOf(ctx, env); err != nil { // nobody is let into a ring of others
		return err
	}
	err := change(ctx, r, ringKey(env), newRingRecord, func(d *ringRecord, exists bool) error {
		if !exists {
			return errNotSealed
		}
		o, err := d.open(env, r.o.OpeningKey)
		if err != nil {
			return err
		}
		if err := d.add(p); err != nil {
			return err
		}
		d.Former = nil
		return d.wrap(env, o.dataKey.Bytes())
	})
	if err == nil {
		r.tell(ctx, Event{Action: "recipient added", Environment: env, Object: p.Name, After: p.Key.Fingerprint()})
	}
	return err
}

// Recipients returns who can open the passwords of the environment; nobody in a registry that is
// not sealed.
func (e *Environment) Recipients(ctx context.Context) ([]Recipient, error) {
	out, err := e.r.recipients(ctx, e.id)
	return out, failure("recipients", e.id, err)
}

// Administrators returns who can open the passwords of components that count in no environment;
// nobody in a registry that is not sealed.
func (r *Registry) Administrators(ctx context.Context) ([]Recipient, error) {
	out, err := r.recipients(ctx, administrators)
	return out, failure("administrators", "", err)
}

func (r *Registry) recipients(ctx context.Context, env string) ([]Recipient, error) {
	d := newRingRecord()
	if _, err := r.get(ctx, ringKey(env), d); err != nil {
		return nil, err
	}
	var out []Recipient
	for _, p := range d.Recipients {
		out = append(out, Recipient{p.Name, p.Key})
	}
	return out, nil
}

// RemoveRecipient takes a recipient off the environment: there is a new data key, under which
// everything is sealed anew. It returns what the recipient could read until then, and may have
// kept: give these components new keys if that matters.
//
// Errors wrap trustkeep.ErrNotFound for an unknown name, ErrInUse for the only recipient and the
// registry's own, and are those of AddRecipient. After other errors, call it again: what is sealed under the former data
// key may not be sealed anew yet.
func (e *Environment) RemoveRecipient(ctx context.Context, name string) ([]Exposed, error) {
	out, err := e.r.removeRecipient(ctx, e.id, name)
	return out, failure("remove recipient", name, err)
}

// RemoveAdministrator is Environment.RemoveRecipient for the passwords of components that count in
// no environment. It does not take the key off environments.
func (r *Registry) RemoveAdministrator(ctx context.Context, name string) ([]Exposed, error) {
	out, err := r.removeRecipient(ctx, administrators, name)
	return out, failure("remove administrator", name, err)
}

func (r *Registry) removeRecipient(ctx context.Context, env, name string) ([]Exposed, error) {
	if err := r.completeRing(ctx, env); err != nil {
		return nil, err
	}
	if _, err := r.newSealer().ringOf(ctx, env); err != nil {
		return nil, err
	}
	var who Recipient
	expose := func() ([]*sealedCopy, error) {
		v, err := r.list(ctx)
		if err != nil {
			return nil, err
		}
		copies := slices.DeleteFunc(values(v.sealed), func(c *sealedCopy) bool { return c.env != env })
		if who.Name == "" && v.rings[env] != nil {
			for _, p := range v.rings[env].Recipients {
				if p.Name == name {
					who = Recipient{p.Name, p.Key}
				}
			}
		}
		if who.Name == "" {
			return copies, nil
		}
		return copies, r.expose(ctx, v, env, who, copies)
	}
	// On record first: whoever is killed after it has removed the recipient.
	if _, err := expose(); err != nil {
		return nil, err
	}
	err := change(ctx, r, ringKey(env), newRingRecord, func(d *ringRecord, exists bool) error {
		if !exists {
			return errNotSealed
		}
		i := slices.IndexFunc(d.Recipients, func(p ringRecipient) bool { return p.Name == name })
		if i < 0 {
			return trustkeep.ErrNotFound
		}
		if len(d.Recipients) == 1 {
			return fmt.Errorf("the only recipient: %w", trustkeep.ErrInUse)
		}
		o, err := d.open(env, r.o.OpeningKey)
		if err != nil {
			return err
		}
		if d.Recipients[i].Key == r.o.OpeningKey.SealingKey() {
			return &trustkeep.Error{Op: "the registry's own key", Err: trustkeep.ErrInUse, Hint: "another recipient has to remove it, and seals anew then"}
		}
		d.Recipients = slices.Delete(d.Recipients, i, i+1)
		return d.renew(o, r.rand())
	})
	if err != nil {
		return nil, err
	}
	// What is sealed from now on is sealed under the new key, so this is all.
	copies, err := expose()
	if err != nil {
		return nil, err
	}
	var out []Exposed
	for _, c := range copies {
		e := Exposed{Environment: env, Component: c.component}
		for _, one := range c.record.Secrets {
			e.Versions = append(e.Versions, one.Version)
		}
		slices.Sort(e.Versions)
		e.Versions = slices.Compact(e.Versions)
		out = append(out, e)
	}
	r.tell(ctx, Event{Action: "recipient removed", Environment: env, Object: name, Before: fmt.Sprintf("could open the passwords of %d components", len(out))})
	return out, r.completeRing(ctx, env)
}

// completeRing seals under the current data key what is still sealed under the former one.
func (r *Registry) completeRing(ctx context.Context, env string) error {
	d := newRingRecord()
	revision, err := r.get(ctx, ringKey(env), d)
	if err != nil {
		return err
	}
	if revision == 0 {
		return errNotSealed
	}
	if len(d.Former) == 0 {
		return nil
	}
	o, err := d.open(env, r.o.OpeningKey)
	if err != nil {
		return err
	}
	for range maxAttempts {
		v, err := r.listOf(ctx, ringKey(env))
		if err != nil {
			return err
		}
		again := false
		for key, c := range sortedBy(v.sealed) {
			if c.env != env || c.record.Generation >= o.generation {
				continue
			}
			again = true
			_, err := changeAny(ctx, r, key, newSealedRecord, func(now *sealedRecord, exists bool) error {
				if !exists || now.Generation >= o.generation {
					return errSame
				}
				all := make(map[contentID]*redact.Secret)
				for i, one := range now.Secrets {
					password, err := o.openSecret(c.component, now, i)
					if err != nil {
						return err
					}
					all[one.contentID] = redact.NewSecret(password)
					clear(password)
				}
				return o.seal(c.component, now, all, r.rand())
			})
			if err != nil {
				return err
			}
		}
		if !again {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", named(ringKey(env)), trustkeep.ErrConflict)
}
