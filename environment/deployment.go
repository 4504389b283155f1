package environment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

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

// Deploy deploys a component on its own, to all atoms of the environment or to those
// that are named. A public X.509 component is trusted from then on, in whatever version
// it is, by every connection without trust of its own. A PGP component becomes available
// by its ID. Deploying again replaces the list of atoms; they need not be attached yet.
//
// The error wraps trustkeep.ErrNotDeployable for a private X.509 component, which comes
// with the process or connection that uses it, trustkeep.ErrUnsupported for a certificate
// that crypto/x509 refuses, and trustkeep.ErrInvalid for a list atoms... that is empty and not
// nil.
func (e *Environment) Deploy(ctx context.Context, component string, atoms ...string) error {
	c, err := e.r.want(ctx, component, 0, 0)
	if err != nil {
		return failure("deploy", component, err)
	}
	if err := deployable(c); err != nil {
		return failure("deploy", c.Name(), err)
	}
	if atoms != nil && len(atoms) == 0 {
		return failure("deploy", c.Name(), fmt.Errorf("an empty list of atoms: %w", trustkeep.ErrInvalid))
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
	switch {
	case d == nil:
		return ""
	case len(d.Atoms) == 0:
		return "to all atoms"
	}
	return fmt.Sprintf("to atoms %v", d.Atoms)
}

// Undeploy ends the deployment of a component on its own. Frozen copies in deployed processes
// stay. The error wraps trustkeep.ErrNotFound if it is not deployed.
func (e *Environment) Undeploy(ctx context.Context, component string) error {
	if err := checkID("undeploy", component); err != nil {
		return err
	}
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
