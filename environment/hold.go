package environment

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// Hold keeps the environment at one version of a component, zero for the current one, until Hold
// or Promote chooses another or Follow ends it. Whatever uses the component there uses that
// version: a deployment on its own, connections, partners, roles, and processes when they are
// deployed again. Without Hold it is the current version, at each moment. A copy is kept, so that
// the version stays when the component keeps it no longer.
//
// The error wraps trustkeep.ErrNotFound for a component or version that does not exist,
// trustkeep.ErrInvalid for a negative version, and trustkeep.ErrUnsupported for a version with a
// certificate that crypto/x509 refuses.
func (e *Environment) Hold(ctx context.Context, component string, version int) error {
	if version < 0 {
		return failure("hold", component, fmt.Errorf("version %d: %w", version, trustkeep.ErrInvalid))
	}
	name := component
	// Looked at after the environment's record was read: else the one that writes last could keep what
	// was current before another one.
	look := func(*componentRecord) (*componentRecord, error) {
		c, d, _, err := e.r.component(ctx, component)
		if err == nil && d.Deleting {
			err = beingDeleted(componentKey(component))
		}
		if err == nil {
			name, err = c.Name(), counting(c)
		}
		if err != nil {
			return nil, err
		}
		return d.frozenAt(cmp.Or(version, c.Version()))
	}
	if _, err := look(nil); err != nil {
		return failure("hold", name, err)
	}
	before, next, err := assignIn(ctx, e, e.held(component), look, []string{componentKey(component)})
	if err == nil {
		e.tell(ctx, "version held", component, before.describeHeld(), next.describeHeld())
	}
	return failure("hold", name, err)
}

// Follow ends what Hold or Promote did: the environment uses the current version of the component
// again. The error wraps trustkeep.ErrNotFound if it does so already.
func (e *Environment) Follow(ctx context.Context, component string) error {
	if err := checkID("follow", component); err != nil {
		return err
	}
	before, _, err := e.held(component).write(ctx, e.r, to[componentRecord](nil))
	if err == nil && before == nil {
		err = fmt.Errorf("held version: %w", trustkeep.ErrNotFound)
	}
	if err == nil {
		e.tell(ctx, "version followed", component, before.describeHeld(), "")
	}
	return failure("follow", component, err)
}

// Held returns the versions that the environment is kept at, by component. Others are followed.
func (e *Environment) Held(ctx context.Context) (map[string]int, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("held", e.id, err)
	}
	out := make(map[string]int, len(d.Held))
	for id, h := range d.Held {
		c, err := h.component()
		if err != nil {
			return nil, failure("held", id, err)
		}
		out[id] = c.Version()
	}
	return out, nil
}

func (e *Environment) held(component string) slot[*environmentRecord, componentRecord] {
	return environmentSlot(e, func(d *environmentRecord) *componentRecord { return d.Held[component] },
		func(d *environmentRecord, next *componentRecord) {
			if next == nil {
				delete(d.Held, component)
				return
			}
			if d.Held == nil {
				d.Held = make(map[string]*componentRecord)
			}
			d.Held[component] = next
		})
}

// frozenAt returns a record of one version alone.
func (d *componentRecord) frozenAt(version int) (*componentRecord, error) {
	all := *d
	for _, s := range []**component.State{&all.X509, &all.PGP} {
		if *s == nil {
			continue
		}
		one := **s
		i := slices.IndexFunc(one.Versions, func(v component.VersionState) bool { return v.Number == version })
		if i < 0 {
			return nil, fmt.Errorf("version %d: %w", version, trustkeep.ErrNotFound)
		}
		one.Versions = one.Versions[i : i+1]
		*s = &one
	}
	out := all.frozen()
	c, err := out.component()
	if err == nil {
		err = holdable(c)
	}
	return out, err
}

// holdable refuses an X.509 component without a usable certificate.
func holdable(c *component.Component) error {
	if c.Kind() != trustkeep.X509 {
		return nil
	}
	_, err := keystore.CertificateOf(c)
	return err
}

func (d *componentRecord) describeHeld() string {
	if d == nil {
		return ""
	}
	c, err := d.component()
	if err != nil {
		return "damaged"
	}
	return fmt.Sprintf("version %d", c.Version())
}

// parse reads the copies that the environment is kept at.
func (d *environmentRecord) parse() error {
	d.parsed = make(map[string]*held, len(d.Held))
	for id, f := range d.Held {
		c, err := f.component()
		if err != nil {
			return err
		}
		d.parsed[id] = &held{c, f}
	}
	return nil
}

// in returns what the inventory is in an environment: components in the versions that it is kept
// at. It must not be updated.
func (v *inventory) in(env string) *inventory {
	out := v.clone()
	if d := v.environments[env]; d != nil {
		maps.Copy(out.components, d.parsed)
	}
	return out
}

// holding makes the versions count that a proposal keeps an environment at, and what it promotes.
func (v *inventory) holding(d *environmentRecord, env string, p Proposal) error {
	now := &promoted{held: make(map[string]*componentRecord)}
	for id, version := range p.Hold {
		h, err := v.current(id)
		if err == nil {
			err = counting(h.component)
		}
		if err != nil {
			return err
		}
		if version == 0 {
			version = h.component.Version()
		}
		if now.held[id], err = h.record.frozenAt(version); err != nil {
			return fmt.Errorf("%s: %w", named(componentKey(id)), err)
		}
	}
	*d = now.in(*d, Deployment{})
	if err := d.parse(); err != nil || p.Promote.From == "" {
		return err
	}
	now, err := v.promoted(env, p.Promote)
	if err != nil {
		return err
	}
	for id, one := range now.processes {
		if err := v.run(env, id, one); err != nil {
			return err
		}
	}
	*d = now.in(*d, Deployment{})
	return d.parse()
}

// run makes a process count that is frozen.
func (v *inventory) run(env, id string, d *deployedRecord) error {
	if before := v.deployed[deployedKey(env, id)]; before != nil {
		d.Atoms = before.record.Atoms
	}
	one := &deployedProcess{environment: env, record: d, frozen: make(map[string]*held)}
	for id, f := range d.Frozen {
		c, err := f.component()
		if err != nil {
			return err
		}
		one.frozen[id] = &held{c, f}
	}
	v.deployed[deployedKey(env, id)] = one
	return nil
}
