package environment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// identity tells a component from another that has got its ID: what one of its versions was.
type identity struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"`
}

// assignIn is assign of an entry of an environment. It takes note of what the components are that
// the entry refers to. Once it is written, also is asked besides whether it may stay.
func assignIn[V any](ctx context.Context, e *Environment, s slot[*environmentRecord, V], by edit[V], needs []string, also ...func() error) (was, next *V, err error) {
	if s, err = knowing(ctx, e, s, needs); err != nil {
		return nil, nil, err
	}
	return assignIf(ctx, e.r, s, by, func(*V) error {
		err := e.r.present(ctx, needs)
		for _, ask := range also {
			if err == nil {
				err = ask()
			}
		}
		return err
	})
}

// knowing is a slot that takes note of components that its value needs.
func knowing[V any](ctx context.Context, e *Environment, s slot[*environmentRecord, V], needs []string) (slot[*environmentRecord, V], error) {
	known := make(map[string]identity)
	for _, key := range needs {
		kind, _, id := kindOfKey(key)
		if kind != "components" {
			continue
		}
		c, _, _, err := e.r.component(ctx, id)
		if err != nil {
			return s, fmt.Errorf("%s: %w", named(key), err)
		}
		known[id] = identity{c.Version(), c.Fingerprint()}
	}
	set, before := s.set, make(map[string]identity)
	s.set = func(d *environmentRecord, v *V) {
		set(d, v)
		maps.Copy(before, d.Known) // for the one that takes it back
		d.know(before)
		d.know(known)
	}
	return s, nil
}

// know takes note of components, and forgets those that the environment does not refer to.
func (d *environmentRecord) know(components map[string]identity) {
	if d.Known == nil {
		d.Known = make(map[string]identity)
	}
	maps.Copy(d.Known, components)
	refers := d.references()
	maps.DeleteFunc(d.Known, func(id string, _ identity) bool { return !slices.Contains(refers, componentKey(id)) })
}

// stillKnown checks that the components that a former state of an environment refers to are those
// of then, and not others that have got their IDs since.
func (r *Registry) stillKnown(ctx context.Context, d *environmentRecord, written time.Time) error {
	for _, key := range d.references() {
		kind, _, id := kindOfKey(key)
		if kind != "components" {
			continue
		}
		var err error
		if then, ok := d.Known[id]; ok {
			err = r.sameAs(ctx, id, then)
		} else {
			err = r.sameSince(ctx, id, written)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func anotherComponent(id, why string) error {
	return &trustkeep.Error{
		Op: fmt.Sprintf("%s is not known to be the one of then: %s", named(componentKey(id)), why), Err: trustkeep.ErrNotFound,
		Hint: "make the change anew if this one is meant",
	}
}

// sameAs checks that a component still has, or had, a version.
func (r *Registry) sameAs(ctx context.Context, id string, then identity) error {
	c, _, _, err := r.component(ctx, id)
	if err != nil {
		return fmt.Errorf("%s: %w", named(componentKey(id)), err)
	}
	for _, v := range c.Versions() {
		if v.Number == then.Version && v.Fingerprint() == then.Fingerprint {
			return nil
		}
	}
	return anotherComponent(id, fmt.Sprintf("it has no version %d with fingerprint %s", then.Version, then.Fingerprint))
}

// sameSince checks that a component has not been deleted since some time. It is for records
// that do not say what their components were.
func (r *Registry) sameSince(ctx context.Context, id string, since time.Time) error {
	versions, err := r.storage.Versions(ctx, componentKey(id))
	if err != nil {
		return fmt.Errorf("%s: %w", named(componentKey(id)), err)
	}
	there := false
	for _, v := range versions {
		switch {
		case v.Deleted:
			there = false
		case !v.Time.After(since):
			there = true
		}
	}
	if !there {
		return anotherComponent(id, "its history does not reach back to then without a deletion")
	}
	return nil
}
