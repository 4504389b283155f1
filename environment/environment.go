package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
// An empty Trusted takes away the connection's own trust, so that it trusts what is
// deployed; an empty Identity presents none.
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

// owned returns a copy that the caller does not share. An empty list of trusted components
// is kept apart from none, in JSON too.
func (o Override) owned() Override {
	if o.Trusted != nil {
		own := append([]string{}, *o.Trusted...)
		o.Trusted = &own
	}
	return o
}

func (o *Override) describe() string {
	if o == nil {
		return ""
	}
	var text []string
	add := func(name string, set bool, value func() string) {
		if set {
			text = append(text, name+" "+value())
		}
	}
	add("trusted", o.Trusted != nil, func() string { return fmt.Sprint(*o.Trusted) })
	add("identity", o.Identity != nil, func() string { return strconv.Quote(*o.Identity) })
	add("server name", o.ServerName != nil, func() string { return strconv.Quote(*o.ServerName) })
	return strings.Join(text, ", ")
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
// trustkeep.ErrInUse while atoms are attached to it, and trustkeep.ErrNotFound if there is
// none. When it fails otherwise, some processes may have been taken back already; it can
// be called again.
func (r *Registry) DeleteEnvironment(ctx context.Context, id string) error {
	if err := checkID("delete environment", id); err != nil {
		return err
	}
	attached := func(v *inventory) error {
		for _, a := range sortedBy(v.atoms) {
			if a.environment == id {
				return fmt.Errorf("atom %s is attached: %w", a.id, trustkeep.ErrInUse)
			}
		}
		return nil
	}
	e := &Environment{r, id}
	err := remove(ctx, r, environmentKey(id), newEnvironmentRecord, attached, func(v *inventory) error {
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
	next := &Deployment{Atoms: slices.Clone(atoms), Time: e.r.now(), Actor: actorOf(ctx)}
	before, err := assign(ctx, e.r, e.deployment(component), next, []string{componentKey(component)})
	if err == nil {
		e.tell(ctx, "component deployed", component, before.describe(), describe(c)+", "+next.describe())
	}
	return failure("deploy", c.Name(), err)
}

func (e *Environment) deployment(component string) slot[*environmentRecord, Deployment] {
	return entrySlot(e, func(d *environmentRecord) *map[string]Deployment { return &d.Deployed }, component)
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

func (d *Deployment) describe() string {
	switch {
	case d == nil:
		return ""
	case len(d.Atoms) == 0:
		return "to all atoms"
	}
	return fmt.Sprintf("to atoms %v", d.Atoms)
}

// Undeploy takes a component back that was deployed on its own. Frozen copies in deployed
// processes stay. The error wraps trustkeep.ErrNotFound.
func (e *Environment) Undeploy(ctx context.Context, component string) error {
	before, err := e.deployment(component).write(ctx, e.r, nil)
	if err == nil && before == nil {
		err = fmt.Errorf("deployment: %w", trustkeep.ErrNotFound)
	}
	if err == nil {
		e.tell(ctx, "component undeployed", component, before.describe(), "")
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
	slot := e.substitution(s)
	if s.Replacement == "" || s.Replacement == s.Component {
		before, err := slot.write(ctx, e.r, nil)
		if err == nil && before != nil {
			e.tell(ctx, "substitution ended", s.Component, before.Replacement, "")
		}
		return failure("substitute", s.Component, err)
	}
	needs := []string{componentKey(s.Component), componentKey(s.Replacement)}
	c, err := e.r.want(ctx, s.Component, trustkeep.PGP, 0)
	if err == nil {
		_, err = e.r.want(ctx, s.Replacement, trustkeep.PGP, c.Visibility())
	}
	if err == nil && s.Process != "" {
		_, err = e.r.Process(ctx, s.Process)
		needs = append(needs, processKey(s.Process))
	}
	if err != nil {
		return failure("substitute", s.Component, err)
	}
	before, err := assign(ctx, e.r, slot, &s, needs)
	if err == nil {
		was := ""
		if before != nil {
			was = before.Replacement
		}
		e.tell(ctx, "substitution set", s.Component, was, s.Replacement)
	}
	return failure("substitute", s.Component, err)
}

// substitution is the place of what is substituted for a component, in one process or
// everywhere.
func (e *Environment) substitution(of Substitution) slot[*environmentRecord, Substitution] {
	is := func(s Substitution) bool { return s.Component == of.Component && s.Process == of.Process }
	return environmentSlot(e, func(d *environmentRecord) *Substitution {
		if i := slices.IndexFunc(d.Substitutions, is); i >= 0 {
			s := d.Substitutions[i]
			return &s
		}
		return nil
	}, func(d *environmentRecord, s *Substitution) {
		d.Substitutions = slices.DeleteFunc(d.Substitutions, is)
		if s != nil {
			d.Substitutions = append(d.Substitutions, *s)
		}
	})
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
	if err := checkID("override", connection); err != nil {
		return err
	}
	var next *Override
	var needs []string
	after := ""
	if o != (Override{}) {
		c, err := e.r.Connection(ctx, connection)
		if err != nil {
			return failure("override", connection, err)
		}
		o = o.owned()
		c = o.apply(c)
		if err := e.r.checkConnection(ctx, c); err != nil {
			return failure("override", connection, err)
		}
		next, after = &o, c.describe()
		needs = append(keysOf(c.components(), componentKey), connectionKey(connection))
	}
	slot := entrySlot(e, func(d *environmentRecord) *map[string]Override { return &d.Overrides }, connection)
	before, err := assign(ctx, e.r, slot, next, needs)
	if err == nil && (before != nil || next != nil) {
		e.tell(ctx, "connection overridden", connection, before.describe(), after)
	}
	return failure("override", connection, err)
}

// Overrides returns what is changed for this environment, by connection.
func (e *Environment) Overrides(ctx context.Context) (map[string]Override, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("overrides", e.id, err)
	}
	return d.Overrides, nil
}

// SetRole gives a component a role in the environment, such as RoleTLS; no component
// takes it away. The error wraps trustkeep.ErrUnsupported for a public component.
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
	before, err := assign(ctx, e.r, slot, next, needs)
	if err == nil && (before != nil || next != nil) {
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
