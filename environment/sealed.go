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
