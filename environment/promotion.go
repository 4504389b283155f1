package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Promotion names what one environment takes over from another.
type Promotion struct {
	// From is the other environment.
	From string
	// Components are kept at the version that From has now, as by Environment.Hold, and are
	// deployed on their own if they are in From.
	Components []string
	// Processes are deployed with what is deployed of them to From: their definition and those of
	// their connections and partners, and the copies of components. The overrides and
	// substitutions are those of the environment itself, and what only these name is as it is
	// there.
	Processes []string
}

// Promote takes over from another environment what was tried there, whatever has changed since.
// All components change in one step, and then each process in one. If one of these steps fails, those
// before it are taken back, unless somebody else has changed them meanwhile; a program that ends in
// the middle leaves those that it has made: call it again. See Proposal.Promote for a forecast.
//
// What is deployed already goes on with its atoms; what is not is deployed to all, as in
// Promotion.From.
//
// Errors wrap trustkeep.ErrNotFound for what does not exist or is not deployed to From,
// trustkeep.ErrInvalid for a Promotion of nothing or from the environment itself, and
// trustkeep.ErrUnsupported for what is deployed to single atoms of From and not yet here, since
// atoms have other names here, and for a process that a program of before has deployed; others are
// those of Hold, Deploy and DeployProcess. Then nothing is changed, unless the error is also that of
// taking back.
func (e *Environment) Promote(ctx context.Context, p Promotion) error {
	if err := checkID("promote", p.From); err != nil {
		return err
	}
	// Looked at for each step after the record was read that it changes: else the one that writes last
	// could bring back what From had before a change that another promotion has taken over.
	look := func() (*promoted, error) {
		v, err := e.r.list(ctx)
		if err != nil {
			return nil, err
		}
		return v.promoted(e.id, p)
	}
	now, err := look()
	if err != nil {
		return failure("promote", p.From, err)
	}
	var tell []func()
	var takeBack []func() error
	done := func(action, id, before, next string) {
		tell = append(tell, func() { e.tell(ctx, action, id, before, next+" from "+p.From) })
	}
	failed := func(name string, err error) error {
		for _, undo := range slices.Backward(takeBack) {
			err = errors.Join(err, undo())
		}
		return failure("promote", name, err)
	}
	if len(now.held) > 0 {
		slot, err := knowing(ctx, e, e.whole(), keysOf(slices.Sorted(maps.Keys(now.held)), componentKey))
		if err != nil {
			return failure("promote", p.From, err)
		}
		before, next, err := assign(ctx, e.r, slot, func(before *environmentRecord) (_ *environmentRecord, err error) {
			if now, err = look(); err != nil {
				return nil, err
			}
			d := now.in(*before, Deployment{Time: e.r.now(), Actor: actorOf(ctx)})
			return &d, nil
		}, keysOf(slices.Sorted(maps.Keys(now.held)), componentKey))
		if err != nil {
			return failed(p.From, err)
		}
		takeBack = append(takeBack, func() error { return slot.takeBack(context.WithoutCancel(ctx), e.r, next, before) })
		for id := range sortedBy(now.held) {
			done("component promoted", id, before.Held[id].describeHeld(), next.Held[id].describeHeld())
		}
	}
	for id := range sortedBy(now.processes) {
		before, next, err := e.placeProcess(ctx, id, asBefore, func() (*deployedRecord, error) {
			now, err := look()
			if err != nil {
				return nil, err
			}
			return now.processes[id], nil
		})
		if err != nil {
			return failed(id, err)
		}
		takeBack = append(takeBack, func() error {
			return deployedSlot(e.id, id).takeBack(context.WithoutCancel(ctx), e.r, next, before)
		})
		done("process promoted", id, before.describe(), next.describe())
	}
	for _, one := range tell {
		one()
	}
	return nil
}

// promoted is what a promotion changes.
type promoted struct {
	held      map[string]*componentRecord
	deployed  []string // on their own, which were not
	processes map[string]*deployedRecord
}

// in returns an environment's record with the components that are promoted.
func (p *promoted) in(d environmentRecord, as Deployment) environmentRecord {
	d.Held, d.Deployed = maps.Clone(d.Held), maps.Clone(d.Deployed)
	if d.Held == nil {
		d.Held = make(map[string]*componentRecord)
	}
	maps.Copy(d.Held, p.held)
	for _, id := range p.deployed {
		if d.Deployed == nil {
			d.Deployed = make(map[string]Deployment)
		}
		if _, ok := d.Deployed[id]; !ok {
			d.Deployed[id] = as
		}
	}
	return d
}

// promoted returns what a promotion would change in an environment.
func (v *inventory) promoted(env string, p Promotion) (*promoted, error) {
	if p.From == env || len(p.Components)+len(p.Processes) == 0 {
		return nil, fmt.Errorf("a promotion of nothing, or from the environment itself: %w", trustkeep.ErrInvalid)
	}
	for _, id := range []string{env, p.From} {
		if v.environments[id] == nil {
			return nil, cmp.Or(v.damaged[environmentKey(id)], missing(environmentKey(id)))
		}
	}
	out := &promoted{held: make(map[string]*componentRecord), processes: make(map[string]*deployedRecord)}
	from, to := v.environments[p.From], v.environments[env]
	there := v.in(p.From)
	for _, id := range p.Components {
		h, err := there.current(id)
		if err == nil {
			err = counting(h.component)
		}
		if err != nil {
			return nil, err
		}
		if out.held[id], err = h.record.frozenAt(h.component.Version()); err != nil {
			return nil, fmt.Errorf("%s: %w", named(componentKey(id)), err)
		}
		one, tried := from.Deployed[id]
		if _, ok := to.Deployed[id]; !tried || ok {
			continue
		}
		if err := reach(one.Atoms).promotable("component", id, p.From); err != nil {
			return nil, err
		}
		if err := deployable(h.component); err != nil {
			return nil, err
		}
		out.deployed = append(out.deployed, id)
	}
	for _, id := range p.Processes {
		d := v.deployed[deployedKey(p.From, id)]
		if d == nil {
			return nil, cmp.Or(v.damaged[deployedKey(p.From, id)], missing(deployedKey(p.From, id)))
		}
		if len(d.record.Defined) < len(d.record.Connections) {
			return nil, &trustkeep.Error{Op: "process " + id + " was deployed by a program of before", Err: trustkeep.ErrUnsupported,
				Hint: "deploy it to " + p.From + " again"}
		}
		if v.deployed[deployedKey(env, id)] == nil {
			if err := reach(d.record.Atoms).promotable("process", id, p.From); err != nil {
				return nil, err
			}
		}
		next, err := freeze(env, id, v.tried(d.record, out.held))
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", id, err)
		}
		out.processes[id] = next
	}
	return out, nil
}

// tried is inventory.read of what a process was deployed with, where it has that, and of what is
// promoted with it.
func (v *inventory) tried(from *deployedRecord, with map[string]*componentRecord) func(key string, into document) error {
	return func(key string, into document) error {
		_, _, id := kindOfKey(key)
		switch into := into.(type) {
		case *processRecord:
			into.Process = from.Process
			return nil
		case *connectionRecord:
			i := slices.IndexFunc(from.Defined, func(c Connection) bool { return c.ID == id })
			if i < 0 {
				return missing(key)
			}
			into.Connection = from.Defined[i]
			return nil
		case *partnerRecord:
			if p, err := from.partner(id); err == nil {
				into.Partner = p
				return nil
			}
		case *componentRecord:
			if f := from.Frozen[id]; f != nil {
				*into = *f
				return nil
			}
		case *environmentRecord:
			err := v.read(key, into)
			*into = (&promoted{held: with}).in(*into, Deployment{})
			// What was tried counts before what is held.
			maps.DeleteFunc(into.Held, func(id string, _ *componentRecord) bool { return from.Frozen[id] != nil })
			return err
		}
		return v.read(key, into)
	}
}

// promotable refuses what is deployed to single atoms.
func (r reach) promotable(kind, id, from string) error {
	if len(r) == 0 {
		return nil
	}
	return &trustkeep.Error{Op: kind + " " + id + " is deployed to single atoms of " + from, Err: trustkeep.ErrUnsupported,
		Hint: "deploy it to atoms here first"}
}
