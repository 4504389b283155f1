package environment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// HistoryEntry is a former or the current state of a component or environment, as it is kept.
type HistoryEntry struct {
	// Revision names it; see Environment.Rollback.
	Revision uint64
	Time     time.Time
	Actor    string
	// State describes it; empty for a deletion or a damaged record.
	State string
}

// History lists the changes of a component that the storage still has, the oldest first.
// The error wraps trustkeep.ErrNotFound for one that never was.
func (r *Registry) History(ctx context.Context, component string) ([]HistoryEntry, error) {
	if err := checkID("history", component); err != nil {
		return nil, err
	}
	out, err := history(ctx, r, componentKey(component), newComponentRecord, func(d *componentRecord) string {
		c, err := d.component()
		if err != nil {
			return ""
		}
		return describe(c)
	})
	return out, failure("history", component, err)
}

// History lists the changes of what is deployed on its own, substituted and overridden,
// the oldest first. Deployed processes are not part of it.
func (e *Environment) History(ctx context.Context) ([]HistoryEntry, error) {
	if err := checkID("history", e.id); err != nil {
		return nil, err
	}
	out, err := history(ctx, e.r, environmentKey(e.id), newEnvironmentRecord, (*environmentRecord).describe)
	return out, failure("history", e.id, err)
}

func history[D document](ctx context.Context, r *Registry, key string, fresh func() D, state func(D) string) ([]HistoryEntry, error) {
	versions, err := r.storage.Versions(ctx, key)
	if err != nil {
		return nil, err
	}
	out := make([]HistoryEntry, len(versions))
	for i, v := range versions {
		out[i] = HistoryEntry{Revision: v.Revision, Time: v.Time}
		d := fresh()
		if v.Deleted || decode(v, d) != nil {
			continue
		}
		out[i].Time, out[i].Actor, out[i].State = d.stamped().Time, d.stamped().Actor, state(d)
	}
	return out, nil
}

// describe says all that makes one state of an environment different from another.
func (d *environmentRecord) describe() string {
	var deployed, held, substitutions, overrides, roles []string
	for id, one := range sortedBy(d.Deployed) {
		if len(one.Atoms) > 0 {
			id += " " + reach(one.Atoms).describe()
		}
		deployed = append(deployed, id)
	}
	for _, s := range d.Substitutions {
		substitutions = append(substitutions, s.Component+" by "+s.describe())
	}
	for id, o := range sortedBy(d.Overrides) {
		overrides = append(overrides, id+": "+o.describe())
	}
	for role, id := range sortedBy(d.Roles) {
		roles = append(roles, role+": "+id)
	}
	for id, f := range sortedBy(d.Held) {
		held = append(held, id+" "+f.describeHeld())
	}
	list := func(all []string, by string) string { return "[" + strings.Join(all, by) + "]" }
	text := fmt.Sprintf("deployed %s, substitutions %s, overrides %s, roles %s",
		list(deployed, " "), list(substitutions, ", "), list(overrides, "; "), list(roles, ", "))
	if d.KnownHosts != "" {
		text += ", " + describeHosts(d.KnownHosts)
	}
	if len(held) > 0 {
		text += ", held " + list(held, ", ")
	}
	return text
}

// Rollback makes a former revision of the environment current again, in one step: what
// was deployed on its own, held versions, substitutions, overrides, roles and known hosts. Held
// versions are exactly those of then. Other components are in their current versions, which the Event
// lists; see Hold and Registry.Rollback for those.
//
// The error wraps trustkeep.ErrNotFound for a revision that is not kept, for a component,
// connection or process that does not exist any more, for a component that was deleted since
// and whose ID another one has now, and for an override of a connection that does not count here any more;
// others are those of Deploy and Override, for what could not be set so now. Then nothing is changed.
func (e *Environment) Rollback(ctx context.Context, revision uint64) error {
	versions, err := e.r.storage.Versions(ctx, environmentKey(e.id))
	if err != nil {
		return failure("roll back", e.id, err)
	}
	i := slices.IndexFunc(versions, func(v Record) bool { return v.Revision == revision && !v.Deleted })
	if i < 0 {
		return failure("roll back", e.id, fmt.Errorf("revision %d: %w", revision, trustkeep.ErrNotFound))
	}
	former := newEnvironmentRecord()
	if err := decode(versions[i], former); err != nil {
		return failure("roll back", e.id, err)
	}
	needs := former.references()
	if err := e.r.present(ctx, needs); err != nil {
		return failure("roll back", e.id, err)
	}
	if err := e.r.stillKnown(ctx, former, versions[i].Time); err != nil {
		return failure("roll back", e.id, err)
	}
	if err := e.allowed(ctx, former); err != nil {
		return failure("roll back", e.id, err)
	}
	former.stamp = stamp{}
	before, _, err := assignIf(ctx, e.r, e.whole(), to(former), func(*environmentRecord) error {
		if err := e.r.present(ctx, needs); err != nil {
			return err
		}
		return e.overridable(ctx, former)
	})
	if err == nil {
		e.tell(ctx, "environment rolled back", e.id, before.describe(), former.describe()+e.following(ctx, former))
	}
	return failure("roll back", e.id, err)
}

// following says in which versions an environment has the components that it is not kept at a
// version of.
func (e *Environment) following(ctx context.Context, d *environmentRecord) string {
	var out []string
	for _, key := range d.references() {
		kind, _, id := kindOfKey(key)
		if kind != "components" || d.Held[id] != nil {
			continue
		}
		if c, _, _, err := e.r.component(ctx, id); err == nil { // else it goes on without
			out = append(out, fmt.Sprintf("%s version %d", id, c.Version()))
		}
	}
	if out == nil {
		return ""
	}
	return ", following [" + strings.Join(out, ", ") + "]"
}

// allowed refuses a former state that nobody could set now.
func (e *Environment) allowed(ctx context.Context, former *environmentRecord) error {
	for id := range sortedBy(former.Deployed) {
		if former.Held[id] != nil {
			continue // it is that which counts, and was checked
		}
		c, err := e.r.want(ctx, id, 0, 0)
		if err == nil {
			err = deployable(c)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", named(componentKey(id)), err)
		}
	}
	for id, o := range sortedBy(former.Overrides) {
		c, err := e.r.Connection(ctx, id)
		if err == nil && c.SSH == nil && o.ofSSH() {
			err = fmt.Errorf("settings of SSH for a connection of TLS: %w", trustkeep.ErrInvalid)
		}
		if err == nil {
			err = e.r.checkConnection(ctx, o.apply(c))
		}
		if err != nil {
			return fmt.Errorf("override of %s: %w", named(connectionKey(id)), err)
		}
	}
	return e.overridable(ctx, former)
}

// overridable refuses overrides of connections that do not count in the environment.
func (e *Environment) overridable(ctx context.Context, d *environmentRecord) error {
	for id := range sortedBy(d.Overrides) {
		c, err := e.r.Connection(ctx, id)
		if err == nil && !c.countsIn(e.id) {
			err = c.elsewhere(e.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whole is all that the environment has of its own.
func (e *Environment) whole() slot[*environmentRecord, environmentRecord] {
	return environmentSlot(e, func(d *environmentRecord) *environmentRecord {
		out := *d
		out.stamp = stamp{}
		return &out
	}, func(d, next *environmentRecord) { *d = *next })
}

// references are the keys of all that the environment refers to.
func (d *environmentRecord) references() []string {
	keys := keysOf(slices.Collect(maps.Keys(d.Deployed)), componentKey)
	keys = append(keys, keysOf(slices.Collect(maps.Keys(d.Held)), componentKey)...)
	for _, s := range d.Substitutions {
		keys = append(keys, componentKey(s.Component), componentKey(s.Replacement))
		if s.Process != "" {
			keys = append(keys, processKey(s.Process))
		}
	}
	for connection, o := range d.Overrides {
		keys = append(keys, connectionKey(connection))
		keys = append(keys, o.apply(Connection{}).needs()...)
	}
	keys = append(keys, keysOf(slices.Collect(maps.Values(d.Roles)), componentKey)...)
	slices.Sort(keys)
	return slices.Compact(keys)
}
