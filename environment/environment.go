package environment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
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
}

func newEnvironmentRecord() *environmentRecord { return new(environmentRecord) }

// Deployment is a component that was deployed on its own.
type Deployment struct {
	// Component is its ID.
	Component string `json:"-"`
	// Atoms that it is deployed to; empty for all of the environment.
	Atoms []string  `json:"atoms,omitempty"`
	Time  time.Time `json:"time"`
	Actor string    `json:"actor,omitempty"`
}

func (d Deployment) reaches(atom string) bool {
	return len(d.Atoms) == 0 || slices.Contains(d.Atoms, atom)
}

// Substitution puts a PGP component in the place of another.
type Substitution struct {
	Component string `json:"component"`
	// Process in which it counts; empty for the whole environment. One for a
	// process counts before one for the environment.
	Process     string `json:"process,omitempty"`
	Replacement string `json:"replacement"`
}

// Override changes fields of a connection in one environment. Nil fields change nothing.
type Override struct {
	Trusted    *[]string `json:"trusted,omitempty"`
	Identity   *string   `json:"identity,omitempty"`
	ServerName *string   `json:"serverName,omitempty"`
}

func (o Override) apply(c Connection) Connection {
	if o.Trusted != nil {
		c.Trusted = *o.Trusted
	}
	if o.Identity != nil {
		c.Identity = *o.Identity
	}
	if o.ServerName != nil {
		c.ServerName = *o.ServerName
	}
	return c
}

// Roles that programs of this field give their keys. Any other name will do as well.
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

// Environments returns the IDs of all environments.
func (r *Registry) Environments(ctx context.Context) ([]string, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, failure("environments", "", err)
	}
	return slices.Sorted(maps.Keys(v.environments)), nil
}

// DeleteEnvironment removes an environment and what is deployed to it. The error wraps
// trustkeep.ErrInUse while atoms are attached to it.
func (r *Registry) DeleteEnvironment(ctx context.Context, id string) error {
	if err := checkID("delete environment", id); err != nil {
		return err
	}
	v, err := r.list(ctx)
	if err != nil {
		return failure("delete environment", id, err)
	}
	for _, a := range v.atoms {
		if a.environment == id {
			return failure("delete environment", id, fmt.Errorf("atom %s is attached: %w", a.id, trustkeep.ErrInUse))
		}
	}
	e := &Environment{r, id}
	for _, p := range v.deployed {
		if p.environment == id {
			if err := e.UndeployProcess(ctx, p.record.Process.ID); err != nil {
				return failure("delete environment", id, err)
			}
		}
	}
	err = remove(ctx, r, environmentKey(id), newEnvironmentRecord, anything)
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
	if err == nil && revision == 0 {
		err = fmt.Errorf("environment: %w", trustkeep.ErrNotFound)
	}
	return d, err
}

func (e *Environment) change(ctx context.Context, edit func(*environmentRecord) error) error {
	return change(ctx, e.r, environmentKey(e.id), newEnvironmentRecord, func(d *environmentRecord, exists bool) error {
		if !exists {
			return fmt.Errorf("environment: %w", trustkeep.ErrNotFound)
		}
		return edit(d)
	})
}

func (e *Environment) tell(ctx context.Context, action, object, before, after string) {
	e.r.tell(ctx, Event{Action: action, Environment: e.id, Object: object, Before: before, After: after})
}

// Deploy deploys a component on its own, to all atoms of the environment or to those
// that are named. A public X.509 component is trusted from then on, in whatever version
// it is, by every connection without trust of its own. A PGP component becomes available
// by its ID.
//
// The error wraps trustkeep.ErrNotDeployable for a private X.509 component, which comes
// with the process or connection that uses it, and trustkeep.ErrUnsupported for a
// certificate that crypto/x509 refuses.
func (e *Environment) Deploy(ctx context.Context, component string, atoms ...string) error {
	c, err := e.r.want(ctx, component, 0, 0)
	if err != nil {
		return failure("deploy", component, err)
	}
	if err := deployable(c); err != nil {
		return failure("deploy", c.Name(), err)
	}
	for _, a := range atoms {
		if err := checkID("deploy", a); err != nil {
			return err
		}
	}
	var old *Deployment
	set := func(ctx context.Context, next *Deployment) error {
		return e.change(ctx, func(d *environmentRecord) error {
			if old = nil; d.Deployed == nil {
				d.Deployed = make(map[string]Deployment)
			}
			if before, ok := d.Deployed[component]; ok {
				old = &before
			}
			if next == nil {
				delete(d.Deployed, component)
			} else {
				d.Deployed[component] = *next
			}
			return nil
		})
	}
	next := &Deployment{Atoms: slices.Clone(atoms), Time: e.r.now(), Actor: actorOf(ctx)}
	before := ""
	err = e.r.refer(ctx, []string{component}, func(ctx context.Context) error {
		err := set(ctx, next)
		if old != nil {
			before = old.describe()
		}
		return err
	}, func(ctx context.Context) error { return set(ctx, old) })
	if err == nil {
		e.tell(ctx, "component deployed", component, before, describe(c)+", "+next.describe())
	}
	return failure("deploy", c.Name(), err)
}

func deployable(c trustkeep.Component) error {
	if c.Kind() == trustkeep.PGP {
		return nil
	}
	if c.Visibility() != trustkeep.Public {
		return &trustkeep.Error{
			Op: "private X.509 component", Err: trustkeep.ErrNotDeployable,
			Hint: "deploy a process that uses it, or its public part as a component of its own",
		}
	}
	if x, ok := c.(*keystore.Component); ok {
		_, err := x.Certificate()
		return err
	}
	return errKind
}

func (d Deployment) describe() string {
	if len(d.Atoms) == 0 {
		return "to all atoms"
	}
	return fmt.Sprintf("to atoms %v", d.Atoms)
}

// Undeploy takes a component back that was deployed on its own. Frozen copies in deployed
// processes stay. The error wraps trustkeep.ErrNotFound.
func (e *Environment) Undeploy(ctx context.Context, component string) error {
	var before string
	err := e.change(ctx, func(d *environmentRecord) error {
		old, ok := d.Deployed[component]
		if !ok {
			return fmt.Errorf("deployment: %w", trustkeep.ErrNotFound)
		}
		before = old.describe()
		delete(d.Deployed, component)
		return nil
	})
	if err == nil {
		e.tell(ctx, "component undeployed", component, before, "")
	}
	return failure("undeploy", component, err)
}

// Deployments lists the components that are deployed on their own, by ID.
func (e *Environment) Deployments(ctx context.Context) ([]Deployment, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("deployments", e.id, err)
	}
	var out []Deployment
	for id, one := range sortedBy(d.Deployed) {
		one.Component = id
		out = append(out, one)
	}
	return out, nil
}

// Substitute makes the environment, or one process in it, use another PGP component in
// the place of one: a partner's production key instead of the test key that the process
// is made with, for example. It takes effect at once, in deployed processes too. An empty
// replacement, or the component itself, is the default again.
//
// The error wraps trustkeep.ErrUnsupported unless both are PGP components of the same
// visibility.
func (e *Environment) Substitute(ctx context.Context, s Substitution) error {
	back := s.Replacement == "" || s.Replacement == s.Component
	ids := []string{s.Component}
	if !back {
		c, err := e.r.want(ctx, s.Component, trustkeep.PGP, 0)
		if err == nil {
			_, err = e.r.want(ctx, s.Replacement, trustkeep.PGP, c.Visibility())
		}
		if err == nil && s.Process != "" {
			_, err = e.r.Process(ctx, s.Process)
		}
		if err != nil {
			return failure("substitute", s.Component, err)
		}
		ids = append(ids, s.Replacement)
	}
	var before string
	set := func(ctx context.Context, replacement string) error {
		before = ""
		return e.change(ctx, func(d *environmentRecord) error {
			d.Substitutions = slices.DeleteFunc(d.Substitutions, func(old Substitution) bool {
				same := old.Component == s.Component && old.Process == s.Process
				if same {
					before = old.Replacement
				}
				return same
			})
			if replacement != "" {
				d.Substitutions = append(d.Substitutions, Substitution{s.Component, s.Process, replacement})
			}
			return nil
		})
	}
	if back {
		if err := set(ctx, ""); err != nil {
			return failure("substitute", s.Component, err)
		}
		e.tell(ctx, "substitution ended", s.Component, before, "")
		return nil
	}
	err := e.r.refer(ctx, ids,
		func(ctx context.Context) error { return set(ctx, s.Replacement) },
		func(ctx context.Context) error { return set(ctx, before) })
	if err == nil {
		e.tell(ctx, "substitution set", s.Component, before, s.Replacement)
	}
	return failure("substitute", s.Component, err)
}

// Substitutions lists them.
func (e *Environment) Substitutions(ctx context.Context) ([]Substitution, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("substitutions", e.id, err)
	}
	return d.Substitutions, nil
}

// substituted returns the component that counts for another.
func (d *environmentRecord) substituted(component, process string) string {
	out := component
	for _, s := range d.Substitutions {
		switch {
		case s.Component != component:
		case s.Process == "" && out == component:
			out = s.Replacement
		case s.Process != "" && s.Process == process:
			return s.Replacement
		}
	}
	return out
}

// Override changes fields of a connection for this environment; the zero Override takes
// that back. Deployed processes keep what they were deployed with. Errors are those of
// SetConnection.
func (e *Environment) Override(ctx context.Context, connection string, o Override) error {
	c, err := e.r.Connection(ctx, connection)
	if err != nil {
		return failure("override", connection, err)
	}
	after := o.apply(c)
	if err := e.r.checkConnection(ctx, after); err != nil {
		return failure("override", connection, err)
	}
	var old Override
	set := func(ctx context.Context, o Override) error {
		return e.change(ctx, func(d *environmentRecord) error {
			old = d.Overrides[connection]
			if o == (Override{}) {
				delete(d.Overrides, connection)
				return nil
			}
			if d.Overrides == nil {
				d.Overrides = make(map[string]Override)
			}
			d.Overrides[connection] = o
			return nil
		})
	}
	err = e.r.refer(ctx, after.components(),
		func(ctx context.Context) error { return set(ctx, o) },
		func(ctx context.Context) error { return set(ctx, old) })
	if err == nil {
		e.tell(ctx, "connection overridden", connection, "", after.describe())
	}
	return failure("override", connection, err)
}

// SetRole gives a component a role in the environment, such as RoleTLS; no component
// takes it away. The error wraps trustkeep.ErrUnsupported for a public component.
func (e *Environment) SetRole(ctx context.Context, role, component string) error {
	if err := checkID("set role", role); err != nil {
		return err
	}
	var ids []string
	if component != "" {
		if _, err := e.r.want(ctx, component, 0, trustkeep.Private); err != nil {
			return failure("set role", role, err)
		}
		ids = []string{component}
	}
	var old string
	set := func(ctx context.Context, component string) error {
		return e.change(ctx, func(d *environmentRecord) error {
			old = d.Roles[role]
			if component == "" {
				delete(d.Roles, role)
				return nil
			}
			if d.Roles == nil {
				d.Roles = make(map[string]string)
			}
			d.Roles[role] = component
			return nil
		})
	}
	err := e.r.refer(ctx, ids,
		func(ctx context.Context) error { return set(ctx, component) },
		func(ctx context.Context) error { return set(ctx, old) })
	if err == nil {
		e.tell(ctx, "role set", role, old, component)
	}
	return failure("set role", role, err)
}

// Roles returns the components by their roles.
func (e *Environment) Roles(ctx context.Context) (map[string]string, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("roles", e.id, err)
	}
	return maps.Clone(d.Roles), nil
}
