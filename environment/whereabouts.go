package environment

import (
	"slices"

	"github.com/trustkeep/trustkeep/component"
)

// sealedCopy is a record of sealed passwords in an inventory.
type sealedCopy struct {
	env, component string
	revision       uint64
	record         *sealedRecord
}

// with returns the inventory after a change; d is nil for a deletion.
func (v *inventory) with(key string, d document) *inventory {
	next := v.clone()
	_, env, id := kindOfKey(key)
	switch d := d.(type) {
	case nil:
		next.forget(key)
	case *connectionRecord:
		next.connections[id] = d.Connection
	case *partnerRecord:
		next.partners[id] = d.Partner
	case *environmentRecord:
		next.environments[id] = d
	case *deployedRecord:
		next.deployed[key] = &deployedProcess{environment: env, record: d}
	}
	return next
}

// whereabouts tells in which environments components count.
type whereabouts map[string][]string

func (v *inventory) whereabouts() whereabouts {
	out := make(whereabouts)
	for env := range sortedBy(v.environments) {
		for key := range v.counts(env) {
			if kind, _, id := kindOfKey(key); kind == "components" {
				out[id] = append(out[id], env)
			}
		}
	}
	return out
}

// of returns where a component has to be sealed.
func (w whereabouts) of(component string) []string {
	if places := w[component]; len(places) > 0 {
		return places
	}
	return []string{administrators}
}

// places returns where passwords of a component have to be sealed: keys that wait for the reply to
// a request are for administrators alone, wherever the component counts.
func (w whereabouts) places(component string, has outline) []string {
	out := w.of(component)
	if len(has.waiting) > 0 && !slices.Contains(out, administrators) {
		out = append(slices.Clone(out), administrators)
	}
	return out
}

// outline is what a record of a component has to be sealed.
type outline struct {
	versions []contentID
	waiting  []contentID     // keys that wait, beside those that a version has
	private  map[digest]bool // those that are private, and whose password is not kept by reference
}

func (d *componentRecord) outline() outline {
	var o outline
	for _, c := range d.contents() {
		if c.Version > 0 {
			o.versions = append(o.versions, c)
		}
	}
	for _, c := range d.contents() {
		if c.Version < 0 && !slices.ContainsFunc(o.versions, func(v contentID) bool { return v.Digest == c.Digest }) {
			o.waiting = append(o.waiting, c)
		}
	}
	return o
}

// needs returns the contents of a component whose passwords a place needs, if they are kept.
func (v *inventory) needs(where whereabouts, place, component string, has outline) []contentID {
	switch {
	case place != administrators:
		out := slices.Clone(has.versions)
		for _, f := range v.frozenIn(place, component) {
			for _, c := range f.contents() {
				if !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
		return out
	case slices.Contains(where.of(component), administrators):
		return slices.Concat(has.versions, has.waiting)
	}
	return has.waiting
}

// differ calls found for the components that count elsewhere in another picture.
func (w whereabouts) differ(other whereabouts, found func(component string)) {
	for component, places := range w {
		if !slices.Equal(places, other[component]) {
			found(component)
		}
	}
	for component := range other {
		if w[component] == nil {
			found(component)
		}
	}
}

// frozenIn returns the copies of a component that an environment is kept at and that its deployed
// processes have.
func (v *inventory) frozenIn(env, component string) []*componentRecord {
	var out []*componentRecord
	if d := v.environments[env]; d != nil && d.Held[component] != nil {
		out = append(out, d.Held[component])
	}
	for _, p := range v.deployed {
		if p.environment != env {
			continue
		}
		if f := p.record.Frozen[component]; f != nil {
			out = append(out, f)
		}
	}
	return out
}

// contents are those of all versions in a record that have a private key, and of keys that wait
// for requests to be answered; and public PGP keys, whose digests nobody knows.
func (d *componentRecord) contents() []contentID {
	var out []contentID
	if d == nil {
		return nil
	}
	for _, s := range []*component.State{d.X509, d.PGP} {
		if s == nil {
			continue
		}
		for n, stored := range storedIn(s) {
			if len(stored.Store)+len(stored.Data) > 0 {
				out = append(out, contentID{n, digestOfKey(*stored)})
			}
		}
	}
	return out
}

// knows tells whether the password of a content is sealed anywhere.
func (v *inventory) knows(component string, d digest) bool {
	for _, c := range v.sealed {
		if c.component == component && c.record.knows(d) {
			return true
		}
	}
	return false
}
