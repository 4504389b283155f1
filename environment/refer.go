package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// What refers to something and what deletes it may happen at the same moment, in two
// programs. So both write first and look then, and one of them at least sees the other:
//
//   - remove marks the record as one that is being deleted, and then looks for whatever
//     refers to it;
//   - assign writes what refers to the record, and then looks whether it is still there
//     and not marked. If not, what was written is taken back.

// slot is a place for a value in a record: all of it, or an entry.
type slot[D document, V any] struct {
	key   string
	fresh func() D
	// get returns a copy of the value; nil for an entry that is empty.
	get func(D) *V
	// set puts a value in its place. nil empties an entry.
	set func(D, *V)
	// entry: the record is there without the value, and must be.
	entry bool
}

// edit makes the value of a slot of the one that is in it, nil for none. It may be called again
// if somebody else was faster; after an error nothing is written.
type edit[V any] func(before *V) (next *V, err error)

// to is the edit that does not look at what there was.
func to[V any](next *V) edit[V] { return func(*V) (*V, error) { return next, nil } }

// write puts what an edit makes into the slot and returns it and what was there before.
func (s slot[D, V]) write(ctx context.Context, r *Registry, e edit[V]) (before, next *V, err error) {
	err = change(ctx, r, s.key, s.fresh, func(d D, exists bool) (err error) {
		before = nil
		if exists {
			before = s.get(d)
		} else if s.entry {
			return missing(s.key)
		}
		if next, err = e(before); err != nil {
			return err
		}
		_, err = s.exchange(d, exists, next)
		if next != nil {
			next = s.get(d) // with what set has added
		}
		return err
	})
	return before, next, err
}

// takeBack puts back what was in the slot, if next still is.
func (s slot[D, V]) takeBack(ctx context.Context, r *Registry, next, before *V) error {
	_, err := changeAny(ctx, r, s.key, s.fresh, func(d D, exists bool) error {
		if !exists || !same(s.get(d), next) {
			return errSame
		}
		_, err := s.exchange(d, exists, before)
		return err
	})
	return err
}

func (s slot[D, V]) exchange(d D, exists bool, next *V) (before *V, err error) {
	if exists {
		before = s.get(d)
	}
	switch {
	case s.entry && !exists:
		return nil, missing(s.key)
	case s.entry || next != nil:
		s.set(d, next)
		return before, nil
	case exists:
		return before, errRemove
	}
	return nil, errSame
}

// same compares values as they are stored.
func same[V any](a, b *V) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// assign changes a slot and returns what was in it and what is now. If one of the records that
// the value refers to is not there then, or is being deleted, the slot gets back what it
// had, unless somebody else has changed it meanwhile.
func assign[D document, V any](ctx context.Context, r *Registry, s slot[D, V], e edit[V], needs []string) (before, next *V, err error) {
	return assignIf(ctx, r, s, e, func(*V) error { return r.present(ctx, needs) })
}

// assignIf is assign with another look, at what was written.
func assignIf[D document, V any](ctx context.Context, r *Registry, s slot[D, V], e edit[V], look func(next *V) error) (before, next *V, err error) {
	if before, next, err = s.write(ctx, r, e); err != nil {
		return nil, nil, err
	}
	if err := look(next); err != nil {
		return nil, nil, errors.Join(err, s.takeBack(context.WithoutCancel(ctx), r, next, before))
	}
	return before, next, nil
}

// header is what all records have.
type header struct{ stamp }

// present says whether records are there and stay.
func (r *Registry) present(ctx context.Context, keys []string) error {
	for _, key := range keys {
		d := new(header)
		revision, err := r.get(ctx, key, d)
		switch {
		case err != nil:
			return err
		case revision == 0:
			return missing(key)
		case d.Deleting:
			return beingDeleted(key)
		}
	}
	return nil
}

// named spells what a key is about: "component a".
func named(key string) string {
	switch kind, environment, id := kindOfKey(key); kind {
	case "components":
		return "component " + id
	case "connections":
		return "connection " + id
	case "processes":
		return "process " + id
	case "partners":
		return "partner " + id
	case "environments":
		return "environment " + id
	case "processes of environment":
		return "process " + id + " deployed to " + environment
	case "atoms of environment":
		return "atom " + id + " of " + environment
	case "secrets":
		return "data key of " + placeOf(environment)
	case "exposed":
		return "former passwords of " + placeOf(environment)
	case "secrets of component":
		return "passwords of component " + id + " for " + placeOf(environment)
	}
	return trustkeep.Printable(key)
}

func missing(key string) error { return fmt.Errorf("%s: %w", named(key), trustkeep.ErrNotFound) }

func beingDeleted(key string) error {
	return fmt.Errorf("%s is being deleted: %w", named(key), trustkeep.ErrNotFound)
}

func keysOf(ids []string, key func(id string) string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, key(id))
	}
	return out
}

// remove deletes a record. inUse is asked what keeps it from being deleted, before
// anything is written and again when nobody can refer to it any more. last is done just
// before the record goes, nil for nothing.
//
// A program that dies in between leaves the mark; deleting again goes on from there.
func remove[D document](ctx context.Context, r *Registry, key string, fresh func() D, inUse func(*inventory) error, last func(*inventory) error) error {
	look := func() (*inventory, error) {
		v, err := r.references(ctx)
		if err == nil {
			err = inUse(v)
		}
		if err == nil {
			err = v.unread()
		}
		return v, err
	}
	if _, err := look(); err != nil {
		return err
	}
	mark := func(ctx context.Context, deleting bool) (uint64, error) {
		return changeAny(ctx, r, key, fresh, func(d D, exists bool) error {
			switch {
			case !exists && deleting:
				return missing(key)
			case !exists, !deleting && !d.stamped().Deleting:
				return errSame
			}
			// A mark is written over that of somebody else, who then cannot
			// delete what this one gives up to delete.
			d.stamped().Deleting = deleting
			return nil
		})
	}
	revision, err := mark(ctx, true)
	if err == nil {
		var v *inventory
		if v, err = look(); err == nil && last != nil {
			err = last(v)
		}
	}
	if err == nil {
		err = r.delete(ctx, key, revision)
	}
	if err != nil {
		_, undone := mark(context.WithoutCancel(ctx), false)
		err = errors.Join(err, undone)
	}
	return err
}

// unread is the error of damaged records that may refer to something.
func (v *inventory) unread() error {
	rest := v.clone()
	for key := range rest.damaged {
		if kind, _, _ := kindOfKey(key); kind == "components" || kind == "atoms of environment" || strings.HasPrefix(kind, "secrets") {
			delete(rest.damaged, key)
		}
	}
	return rest.problem()
}
