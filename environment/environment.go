package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Environment is a place that components and processes are deployed to, such as "test"
// or "production", and that running programs, its atoms, are attached to.
//
// It is safe for concurrent use.
type Environment struct {
	r  *Registry
	id string
}

// environmentRecord is what an environment has of its own. Deployed processes and atoms
// have records of theirs.
type environmentRecord struct {
	stamp
	Deployed      map[string]Deployment `json:"deployed,omitempty"` // by component
	Substitutions []Substitution        `json:"substitutions,omitempty"`
	Overrides     map[string]Override   `json:"overrides,omitempty"` // by connection
	Roles         map[string]string     `json:"roles,omitempty"`     // component by role
	// Held are the versions of components that the environment is kept at.
	Held map[string]*componentRecord `json:"held,omitempty"`
	// Known is what the components were when the environment began to refer to them.
	Known      map[string]identity `json:"known,omitempty"`
	parsed     map[string]*held    // Held, in an inventory
	KnownHosts string              `json:"knownHosts,omitempty"` // for SSH.EnvironmentHosts
}

func newEnvironmentRecord() *environmentRecord { return new(environmentRecord) }

func (d *environmentRecord) check(string) error {
	for id, o := range d.Overrides {
		o = o.ofBefore()
		d.Overrides[id] = o
		if err := o.check(); err != nil {
			return fmt.Errorf("override of %s: %w", trustkeep.Printable(id), err)
		}
	}
	for id, f := range d.Held {
		if f == nil {
			return fmt.Errorf("an empty copy of %s", trustkeep.Printable(id))
		}
		if err := f.check(id); err != nil {
			return err
		}
	}
	return nil
}

// Common roles; any other name is allowed.
const (
	RolePrimary  = "primary"  // signs and decrypts what is exchanged with others
	RoleTLS      = "tls"      // identifies servers and clients
	RoleInternal = "internal" // encrypts what stays inside
)

// CreateEnvironment makes an environment. The error wraps trustkeep.ErrExists.
func (r *Registry) CreateEnvironment(ctx context.Context, id string) (*Environment, error) {
	if err := checkID("create environment", id); err != nil {
		return nil, err
	}
	if id+"/" == administratorsPrefix {
		// Grants of an Authority mean by it what is sealed for administrators alone.
		return nil, failure("create environment", id, fmt.Errorf("a name that means something else: %w", trustkeep.ErrInvalid))
	}
	err := change(ctx, r, environmentKey(id), newEnvironmentRecord, func(_ *environmentRecord, exists bool) error {
		if exists {
			return trustkeep.ErrExists
		}
		return nil
	})
	if err != nil {
		return nil, failure("create environment", id, err)
	}
	r.tell(ctx, Event{Action: "environment created", Environment: id, Object: id})
	return &Environment{r, id}, nil
}

// Environment returns an environment. The error wraps trustkeep.ErrNotFound.
func (r *Registry) Environment(ctx context.Context, id string) (*Environment, error) {
	e := &Environment{r, id}
	if _, err := e.record(ctx); err != nil {
		return nil, failure("environment", id, err)
	}
	return e, nil
}

// Environments returns the IDs of all environments. Damaged records are skipped and reported in
// the error.
func (r *Registry) Environments(ctx context.Context) ([]string, error) {
	v, err := r.listOf(ctx, environmentPrefix)
	if err != nil {
		return nil, failure("environments", "", err)
	}
	return slices.Sorted(maps.Keys(v.environments)), failure("environments", "", v.problem())
}

// DeleteEnvironment removes an environment and what is deployed to it. The error wraps
// trustkeep.ErrInUse while atoms are attached to it, partners have members for it or connections
// name it, and trustkeep.ErrNotFound if it does not exist. After other errors, some processes may already
// be undeployed; call it again.
func (r *Registry) DeleteEnvironment(ctx context.Context, id string) error {
	if err := checkID("delete environment", id); err != nil {
		return err
	}
	inUse := func(v *inventory) error {
		for _, a := range sortedBy(v.atoms) {
			if a.environment == id {
				return fmt.Errorf("atom %s is attached: %w", a.id, trustkeep.ErrInUse)
			}
		}
		for _, p := range sortedBy(v.partners) {
			if slices.ContainsFunc(p.Members, func(m PartnerMember) bool { return m.Environment == id }) {
				return fmt.Errorf("partner %s has members for it: %w", p.ID, trustkeep.ErrInUse)
			}
		}
		for _, c := range sortedBy(v.connections) {
			if slices.Contains(c.Environments, id) {
				return fmt.Errorf("connection %s names it: %w", c.ID, trustkeep.ErrInUse)
			}
		}
		return nil
	}
	e := &Environment{r, id}
	err := remove(ctx, r, environmentKey(id), newEnvironmentRecord, inUse, func(v *inventory) error {
		for _, p := range sortedBy(v.deployed) {
			if p.environment == id {
				if err := e.UndeployProcess(ctx, p.record.Process.ID); err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "environment deleted", Environment: id, Object: id})
	}
	return failure("delete environment", id, err)
}

// ID names the environment.
func (e *Environment) ID() string { return e.id }

func (e *Environment) record(ctx context.Context) (*environmentRecord, error) {
	if err := checkID("environment", e.id); err != nil {
		return nil, err
	}
	d := new(environmentRecord)
	revision, err := e.r.get(ctx, environmentKey(e.id), d)
	switch {
	case err != nil:
		return nil, err
	case revision == 0:
		return nil, missing(environmentKey(e.id))
	case d.Deleting:
		return nil, beingDeleted(environmentKey(e.id))
	}
	return d, nil
}

// environmentSlot is an entry of an environment's record.
func environmentSlot[V any](e *Environment, get func(*environmentRecord) *V, set func(*environmentRecord, *V)) slot[*environmentRecord, V] {
	return slot[*environmentRecord, V]{key: environmentKey(e.id), fresh: newEnvironmentRecord, entry: true, get: get, set: set}
}

// entrySlot is an entry of a map in an environment's record.
func entrySlot[V any](e *Environment, in func(*environmentRecord) *map[string]V, key string) slot[*environmentRecord, V] {
	return environmentSlot(e, func(d *environmentRecord) *V {
		if v, ok := (*in(d))[key]; ok {
			return &v
		}
		return nil
	}, func(d *environmentRecord, v *V) {
		m := in(d)
		if v == nil {
			delete(*m, key)
			return
		}
		if *m == nil {
			*m = make(map[string]V)
		}
		(*m)[key] = *v
	})
}

func (e *Environment) tell(ctx context.Context, action, object, before, after string) {
	e.r.tell(ctx, Event{Action: action, Environment: e.id, Object: object, Before: before, After: after})
}

// SetRole gives a component a role in the environment, such as RoleTLS. An empty component
// ends the role. The error wraps trustkeep.ErrUnsupported for a public component, and
// trustkeep.ErrNotFound for one that does not exist and for a role to end that is not given.
func (e *Environment) SetRole(ctx context.Context, role, component string) error {
	if err := checkID("set role", role); err != nil {
		return err
	}
	var next *string
	var needs []string
	if component != "" {
		if _, err := e.r.want(ctx, component, 0, trustkeep.Private); err != nil {
			return failure("set role", role, err)
		}
		next, needs = &component, []string{componentKey(component)}
	}
	slot := entrySlot(e, func(d *environmentRecord) *map[string]string { return &d.Roles }, role)
	before, _, err := assignIn(ctx, e, slot, to(next), needs)
	if err == nil && before == nil && next == nil {
		err = fmt.Errorf("no component has this role: %w", trustkeep.ErrNotFound)
	}
	if err == nil {
		was := ""
		if before != nil {
			was = *before
		}
		e.tell(ctx, "role set", role, was, component)
	}
	return failure("set role", role, err)
}

// Roles returns the components by their roles.
func (e *Environment) Roles(ctx context.Context) (map[string]string, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("roles", e.id, err)
	}
	return d.Roles, nil
}
