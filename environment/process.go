package environment

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/partner"
)

// deployedRecord is a process as it was deployed: its definition, its connections and
// the components that they depend on, each as it was then.
type deployedRecord struct {
	stamp
	Atoms       []string                    `json:"atoms,omitempty"` // none means all
	Process     Process                     `json:"process"`
	Connections []Connection                `json:"connections,omitempty"`
	Defined     []Connection                `json:"defined,omitempty"`  // the connections, not overridden
	Partners    []Partner                   `json:"partners,omitempty"` // of the connections
	Frozen      map[string]*componentRecord `json:"frozen,omitempty"`
}

func newDeployedRecord() *deployedRecord { return new(deployedRecord) }

func (d *deployedRecord) check(id string) error {
	err := is(d.Process.ID, id)
	for _, c := range d.Connections {
		err = cmp.Or(err, c.checkSettings())
	}
	for _, p := range d.Partners {
		err = cmp.Or(err, p.checkMembers())
	}
	for id, f := range d.Frozen {
		if f == nil {
			return fmt.Errorf("an empty copy of %s", trustkeep.Printable(id))
		}
		err = cmp.Or(err, f.check(id))
	}
	return err
}

// DeployedProcess is a process that is deployed.
type DeployedProcess struct {
	Process Process
	// All: it is deployed to all atoms of the environment, those that are attached later
	// included. Atoms is empty then.
	All bool
	// Atoms that it is deployed to.
	Atoms []string
	// Frozen are the versions of its components, by ID.
	Frozen map[string]int
	Time   time.Time
	Actor  string
}

// DeployProcess deploys a process with everything that it depends on: its connections,
// with this environment's overrides, and their components, as they are at one moment. The
// copies are frozen: what is changed later takes effect in the process when it is deployed
// again, and Stale lists it until then. Substitutions are the exception, they count at
// once.
//
// A process that is not deployed yet is deployed to all atoms of the environment, those that are
// attached later included; one that is gets new copies where it is deployed, be that all atoms or
// single ones.
//
// The error wraps trustkeep.ErrNotFound for a process that does not exist, or something
// that it depends on, such as a connection that does not count in the environment.
func (e *Environment) DeployProcess(ctx context.Context, process string) error {
	return e.deployProcess(ctx, process, asBefore)
}

// DeployProcessToAll is DeployProcess to all atoms of the environment, also if the process is
// deployed to single ones.
func (e *Environment) DeployProcessToAll(ctx context.Context, process string) error {
	return e.deployProcess(ctx, process, toAll)
}

// DeployProcessTo is DeployProcess to these atoms and no others: if the process is deployed to
// others, or to all, that ends. The atoms need not be attached yet. The error also wraps
// trustkeep.ErrInvalid for an empty list.
func (e *Environment) DeployProcessTo(ctx context.Context, process string, atoms ...string) error {
	if err := checkAtoms("deploy process", atoms); err != nil {
		return failure("deploy process", process, err)
	}
	return e.deployProcess(ctx, process, toOnly(atoms))
}

// DeployProcessAlso is DeployProcess to these atoms besides those that the process is deployed
// to already; all of them get the new copies. One that is deployed to all atoms stays so. The
// error also wraps trustkeep.ErrInvalid for an empty list.
func (e *Environment) DeployProcessAlso(ctx context.Context, process string, atoms ...string) error {
	if err := checkAtoms("deploy process", atoms); err != nil {
		return failure("deploy process", process, err)
	}
	return e.deployProcess(ctx, process, toAlso(atoms))
}

func (e *Environment) deployProcess(ctx context.Context, process string, where placing) error {
	if err := checkID("deploy process", process); err != nil {
		return err
	}
	before, next, err := e.placeProcess(ctx, process, where, func() (*deployedRecord, error) { return e.picture(ctx, process) })
	if err == nil {
		e.tell(ctx, "process deployed", process, before.describe(), next.describe())
	}
	return failure("deploy process", process, err)
}

// placeProcess deploys what is frozen of a process once the record of its deployment was read: else
// the one that writes last could bring back what was before a change that another deployment has.
func (e *Environment) placeProcess(ctx context.Context, process string, where placing, freeze func() (*deployedRecord, error)) (before, next *deployedRecord, err error) {
	return assignIf(ctx, e.r, deployedSlot(e.id, process), func(before *deployedRecord) (*deployedRecord, error) {
		next, err := freeze()
		if err != nil {
			return nil, err
		}
		var now reach
		if before != nil {
			now = before.Atoms
		}
		next.Atoms, err = where(now, before != nil)
		return next, err
	}, func(next *deployedRecord) error {
		needs := keysOf(slices.Sorted(maps.Keys(next.Frozen)), componentKey)
		return e.r.present(ctx, append(needs, environmentKey(e.id), processKey(process)))
	})
}

func deployedSlot(environment, process string) slot[*deployedRecord, deployedRecord] {
	return slot[*deployedRecord, deployedRecord]{
		key: deployedKey(environment, process), fresh: newDeployedRecord,
		get: func(d *deployedRecord) *deployedRecord {
			out := *d
			out.stamp = stamp{} // of the record, not of what is in it
			return &out
		},
		set: func(d, next *deployedRecord) { *d = *next },
	}
}

// picture freezes a process as it is at one moment: nothing of it was changed between the
// first and the last look at it.
func (e *Environment) picture(ctx context.Context, process string) (*deployedRecord, error) {
	var before map[string]uint64
	for range maxAttempts {
		revisions := make(map[string]uint64)
		d, err := freeze(e.id, process, func(key string, into document) (err error) {
			revisions[key], err = e.r.get(ctx, key, into)
			if err == nil && revisions[key] == 0 {
				err = missing(key)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if maps.Equal(revisions, before) {
			return d, nil
		}
		before = revisions
	}
	return nil, fmt.Errorf("process %s: others changed it %d times: %w", process, maxAttempts, trustkeep.ErrConflict)
}

// freeze copies a process and what it depends on in an environment.
func freeze(environment, process string, read func(key string, into document) error) (*deployedRecord, error) {
	d := &deployedRecord{Frozen: make(map[string]*componentRecord)}
	env, p := new(environmentRecord), new(processRecord)
	if err := cmp.Or(read(environmentKey(environment), env), read(processKey(process), p)); err != nil {
		return nil, err
	}
	d.Process = p.Process
	wanted := slices.Clone(p.Process.Components)
	for _, id := range p.Process.Components {
		// Those that take their places are there in any case, but the process goes
		// on with the copy of its deployment.
		if s := env.substituted(id, process); s != id {
			wanted = append(wanted, s)
		}
	}
	for _, id := range p.Process.Connections {
		c := new(connectionRecord)
		if err := read(connectionKey(id), c); err != nil {
			return nil, err
		}
		if !c.Connection.countsIn(environment) {
			return nil, c.Connection.elsewhere(environment)
		}
		d.Defined = append(d.Defined, c.Connection)
		d.Connections = append(d.Connections, env.Overrides[id].apply(c.Connection))
	}
	for _, c := range d.Connections {
		wanted = append(wanted, c.components()...)
		for _, id := range c.partners() {
			if _, err := d.partner(id); err == nil {
				continue
			}
			p := new(partnerRecord)
			if err := read(partnerKey(id), p); err != nil {
				return nil, err
			}
			d.Partners = append(d.Partners, p.Partner)
			wanted = append(wanted, p.Partner.serving(environment, partner.VerifyTLS|partner.ClientTLS)...)
		}
	}
	for _, id := range wanted {
		c := new(componentRecord)
		err := read(componentKey(id), c)
		if f := env.Held[id]; f != nil {
			c = f
		}
		if err == nil {
			var one *component.Component
			if one, err = c.component(); err == nil {
				err = counting(one)
			}
		}
		if err != nil {
			return nil, err
		}
		d.Frozen[id] = c.frozen()
	}
	return d, nil
}

func (d *deployedRecord) versions() map[string]int {
	out := make(map[string]int, len(d.Frozen))
	for id, f := range d.Frozen {
		if c, err := f.component(); err == nil {
			out[id] = c.Version()
		}
	}
	return out
}

func (d *deployedRecord) describe() string {
	if d == nil {
		return ""
	}
	text := reach(d.Atoms).describe() + ", " + fmt.Sprintf("%d connections", len(d.Connections))
	for id, version := range sortedBy(d.versions()) {
		text += fmt.Sprintf(", %s at version %d", id, version)
	}
	return text
}

// UndeployProcess ends the deployment of a process. The error wraps trustkeep.ErrNotFound if
// it is not deployed.
func (e *Environment) UndeployProcess(ctx context.Context, process string) error {
	return e.undeployProcess(ctx, process, func(deployedRecord) (*deployedRecord, error) { return nil, nil })
}

// UndeployProcessFrom ends the deployment of a process to these atoms; when the last of its atoms
// is gone it is not deployed any more. The others keep the copies that they have. Errors are
// those of UndeployFrom.
func (e *Environment) UndeployProcessFrom(ctx context.Context, process string, atoms ...string) error {
	if err := checkAtoms("undeploy process", atoms); err != nil {
		return failure("undeploy process", process, err)
	}
	return e.undeployProcess(ctx, process, func(d deployedRecord) (_ *deployedRecord, err error) {
		d.Atoms, err = reach(d.Atoms).without(atoms)
		if len(d.Atoms) == 0 {
			return nil, err
		}
		return &d, err
	})
}

func (e *Environment) undeployProcess(ctx context.Context, process string, less func(deployedRecord) (*deployedRecord, error)) error {
	if err := checkID("undeploy process", process); err != nil {
		return err
	}
	before, next, err := deployedSlot(e.id, process).write(ctx, e.r, func(before *deployedRecord) (*deployedRecord, error) {
		if before == nil {
			return nil, missing(deployedKey(e.id, process))
		}
		return less(*before)
	})
	if err == nil {
		e.tell(ctx, "process undeployed", process, before.describe(), next.describe())
	}
	return failure("undeploy process", process, err)
}

// Processes lists the processes that are deployed, by ID.
func (e *Environment) Processes(ctx context.Context) ([]DeployedProcess, error) {
	v, err := e.r.list(ctx)
	if err != nil {
		return nil, failure("processes", e.id, err)
	}
	var out []DeployedProcess
	for _, p := range sortedBy(v.deployed) {
		if p.environment == e.id {
			out = append(out, DeployedProcess{
				Process: p.record.Process, All: len(p.record.Atoms) == 0, Atoms: p.record.Atoms, Frozen: p.record.versions(), Time: p.record.Time, Actor: p.record.Actor})
		}
	}
	return out, failure("processes", e.id, v.problem())
}

// Stale is something of a deployed process that is another now: a frozen copy of a component, the
// definition of a connection with the environment's overrides, that of a partner, or that of the process.
type Stale struct {
	Process string
	// Component, Connection or Partner is what it is about; if all are empty, the definition of the process.
	Component  string
	Connection string
	Partner    string
	// Differs says what of a definition differs: "Trusted [b], deployed with [a]".
	Differs []string
	// Name is that of the component.
	Name string
	// Frozen is the version of the copy, Current that of the component; zero for
	// one that was deleted.
	Frozen, Current int
	// NotAfter is when the copy expires.
	NotAfter time.Time
}

// Stale lists what deployed processes hold that is another now: components in another version than
// the current one, and definitions of connections, partners and the process itself that were changed
// or overridden since. Deploy these processes again to use it.
func (e *Environment) Stale(ctx context.Context) ([]Stale, error) {
	v, err := e.r.list(ctx)
	if err != nil {
		return nil, failure("stale", e.id, err)
	}
	var out []Stale
	there := v.in(e.id).components
	for _, p := range sortedBy(v.deployed) {
		if p.environment != e.id {
			continue
		}
		out = append(out, v.staleDefinitions(p)...)
		for id, copied := range sortedBy(p.frozen) {
			current, same := 0, false
			c := copied.component
			if now := there[id]; now != nil {
				current = now.component.Version()
				// Update may begin the versions anew.
				same = c.Version() == current && c.Fingerprint() == now.component.Fingerprint()
			}
			if !same {
				out = append(out, Stale{
					Process: p.record.Process.ID, Component: id, Name: c.Name(),
					Frozen: c.Version(), Current: current, NotAfter: c.NotAfter(),
				})
			}
		}
	}
	return out, failure("stale", e.id, v.problem())
}
