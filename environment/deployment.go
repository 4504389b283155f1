package environment

import (
	"context"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// Deployment is a component that was deployed on its own.
type Deployment struct {
	// Component is its ID.
	Component string `json:"-"`
	// All: it is deployed to all atoms of the environment, those that are attached later
	// included. Atoms is empty then.
	All bool `json:"-"`
	// Atoms that it is deployed to.
	Atoms []string  `json:"atoms,omitempty"` // in records, none means all
	Time  time.Time `json:"time"`
	Actor string    `json:"actor,omitempty"`
}

func (d Deployment) reaches(atom string) bool { return reach(d.Atoms).covers(atom) }

// Deploy deploys a component on its own to all atoms of the environment, those that are
// attached later included. A public X.509 component is trusted from then on, in whatever
// version it is, by every connection without trust of its own. A PGP component becomes
// available by its ID.
//
// The error wraps trustkeep.ErrNotDeployable for a private X.509 component, which comes
// with the process or connection that uses it, and trustkeep.ErrUnsupported for a certificate
// that crypto/x509 refuses.
func (e *Environment) Deploy(ctx context.Context, component string) error {
	return e.deploy(ctx, component, toAll)
}

// DeployTo is Deploy to these atoms and no others: what is deployed to others, or to all, is
// taken back there. The atoms need not be attached yet. The error also wraps
// trustkeep.ErrInvalid for an empty list.
func (e *Environment) DeployTo(ctx context.Context, component string, atoms ...string) error {
	if err := checkAtoms("deploy", atoms); err != nil {
		return failure("deploy", component, err)
	}
	return e.deploy(ctx, component, toOnly(atoms))
}

// DeployAlso is Deploy to these atoms besides those that the component is deployed to already. A
// component that is deployed to all stays so. The error also wraps trustkeep.ErrInvalid for an
// empty list.
func (e *Environment) DeployAlso(ctx context.Context, component string, atoms ...string) error {
	if err := checkAtoms("deploy", atoms); err != nil {
		return failure("deploy", component, err)
	}
	return e.deploy(ctx, component, toAlso(atoms))
}

func (e *Environment) deploy(ctx context.Context, component string, where placing) error {
	c, err := e.r.want(ctx, component, 0, 0)
	if err != nil {
		return failure("deploy", component, err)
	}
	if err := deployable(c); err != nil {
		return failure("deploy", c.Name(), err)
	}
	before, next, err := assignIn(ctx, e, e.deployment(component), func(before *Deployment) (*Deployment, error) {
		var now reach
		if before != nil {
			now = before.Atoms
		}
		atoms, err := where(now, before != nil)
		return &Deployment{Atoms: atoms, Time: e.r.now(), Actor: actorOf(ctx)}, err
	}, []string{componentKey(component)})
	if err == nil {
		e.tell(ctx, "component deployed", component, before.describe(), describe(c)+", "+next.describe())
	}
	return failure("deploy", c.Name(), err)
}

func (e *Environment) deployment(component string) slot[*environmentRecord, Deployment] {
	return entrySlot(e, func(d *environmentRecord) *map[string]Deployment { return &d.Deployed }, component)
}

func deployable(c *component.Component) error {
	if c.Kind() == trustkeep.PGP {
		return nil
	}
	if c.Visibility() != trustkeep.Public {
		return &trustkeep.Error{
			Op: "private X.509 component", Err: trustkeep.ErrNotDeployable,
			Hint: "deploy a process that uses it, or its public part as a component of its own",
		}
	}
	_, err := keystore.CertificateOf(c)
	return err
}

func (d *Deployment) describe() string {
	if d == nil {
		return ""
	}
	return reach(d.Atoms).describe()
}

// Undeploy ends the deployment of a component on its own. Frozen copies in deployed processes
// stay. The error wraps trustkeep.ErrNotFound if it is not deployed.
func (e *Environment) Undeploy(ctx context.Context, component string) error {
	return e.undeploy(ctx, component, func(Deployment) (*Deployment, error) { return nil, nil })
}

// UndeployFrom ends the deployment of a component to these atoms; when the last of its atoms
// is gone it is not deployed any more. The error wraps trustkeep.ErrNotFound for an atom that
// it is not deployed to, trustkeep.ErrUnsupported for a component that is deployed to all atoms,
// see DeployTo, and trustkeep.ErrInvalid for an empty list; then nothing is changed.
func (e *Environment) UndeployFrom(ctx context.Context, component string, atoms ...string) error {
	if err := checkAtoms("undeploy", atoms); err != nil {
		return failure("undeploy", component, err)
	}
	return e.undeploy(ctx, component, func(d Deployment) (*Deployment, error) {
		left, err := reach(d.Atoms).without(atoms)
		if len(left) == 0 {
			return nil, err
		}
		return &Deployment{Atoms: left, Time: e.r.now(), Actor: actorOf(ctx)}, err
	})
}

func (e *Environment) undeploy(ctx context.Context, component string, less func(Deployment) (*Deployment, error)) error {
	if err := checkID("undeploy", component); err != nil {
		return err
	}
	before, next, err := e.deployment(component).write(ctx, e.r, func(before *Deployment) (*Deployment, error) {
		if before == nil {
			return nil, fmt.Errorf("it is not deployed: %w", trustkeep.ErrNotFound)
		}
		return less(*before)
	})
	if err == nil {
		e.tell(ctx, "component undeployed", component, before.describe(), next.describe())
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
		one.Component, one.All = id, len(one.Atoms) == 0
		out = append(out, one)
	}
	return out, nil
}
