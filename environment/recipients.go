package environment

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
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
