package environment

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
)

// ExpiryQuery selects what Expiring lists. The zero value lists what is deployed
// anywhere and has expired or will within 30 days.
type ExpiryQuery struct {
	// Environment and Atom narrow the list; empty is any. An atom has what is deployed
	// to it, and whatever else there is in the environments that it is attached to.
	Environment, Atom string
	// From and Before bound the expiry: From <= NotAfter < Before. A zero From
	// includes all that have expired; a zero Before is 30 days from now.
	From, Before time.Time
	// All lists components that are not deployed anywhere too.
	All bool
	// InUse leaves out connections that are defined but not in use in an environment: they are
	// in use where Connection.Environments names it, where they are overridden or part of a
	// deployed process, and where an atom has reported peers of them (see Atom.Report).
	InUse bool
}

// Expiry is a certificate or key that expires, at one place that uses it.
type Expiry struct {
	Component   string `json:"component"`
	Name        string `json:"name"`
	Type        string `json:"type"` // "certificate" or "certificate.pgp"
	Environment string `json:"environment,omitempty"`
	Location    string `json:"location"` // "deployed", "connection out", ...; "component" for one that is not deployed
	// All: it concerns all atoms of the environment, those that are attached later included.
	// Atoms is empty then.
	All bool `json:"all,omitempty"`
	// Atoms that it concerns.
	Atoms    []string  `json:"atoms,omitempty"`
	Version  int       `json:"version"`
	Frozen   bool      `json:"frozen,omitempty"`  // a copy: the process has to be deployed again
	Subject  string    `json:"subject,omitempty"` // of the certificate, or the subkey that ends before its key
	Issuer   bool      `json:"issuer,omitempty"`  // one of the certificate's chain
	NotAfter time.Time `json:"notAfter"`
	Expired  bool      `json:"expired"`
	// Requested is when the last certificate request was made that waits for its reply; zero
	// if none does.
	Requested time.Time `json:"requested,omitzero"`
}

// Expiring lists what expires, the first to expire first: one row for each certificate
// of a chain, or key, and place that uses it. Damaged records are left out and named by
// the error, which comes with the list. It wraps trustkeep.ErrNotFound for an environment
// or atom that does not exist.
func (r *Registry) Expiring(ctx context.Context, q ExpiryQuery) ([]Expiry, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, failure("expiring", "", err)
	}
	if err := q.check(v); err != nil {
		return nil, failure("expiring", "", err)
	}
	now := r.now()
	if q.Before.IsZero() {
		q.Before = now.AddDate(0, 0, 30)
	}
	var out []Expiry
	placed := make(map[string]bool) // components that are listed where they are used, if at all
	for env, d := range sortedBy(v.environments) {
		there := v.in(env).components
		for id, place := range v.places(env, d, q.InUse) {
			placed[id], place.All = true, len(place.Atoms) == 0
			if h := there[id]; h != nil && q.covers(v, env, place.Atoms) {
				out = append(out, q.rows(h.component, place, now)...)
			}
		}
	}
	for _, p := range sortedBy(v.deployed) {
		if !q.covers(v, p.environment, p.record.Atoms) {
			continue
		}
		for _, h := range sortedBy(p.frozen) {
			place := Expiry{Environment: p.environment, Location: "frozen in process " + p.record.Process.ID, All: len(p.record.Atoms) == 0, Atoms: p.record.Atoms, Frozen: true}
			out = append(out, q.rows(h.component, place, now)...)
		}
	}
	if q.All {
		for id, h := range sortedBy(v.components) {
			if !placed[id] {
				out = append(out, q.rows(h.component, Expiry{Location: "component"}, now)...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
	return out, failure("expiring", "", v.problem())
}

// check refuses names that there are not, lest a slip of the pen look like good news.
func (q ExpiryQuery) check(v *inventory) error {
	if key := environmentKey(q.Environment); q.Environment != "" && v.environments[q.Environment] == nil && v.damaged[key] == nil {
		return missing(key)
	}
	if q.Atom == "" {
		return nil
	}
	for env, d := range sortedBy(v.environments) {
		if v.atoms[atomKey(env, q.Atom)] != nil {
			return nil
		}
		for _, one := range d.Deployed {
			if slices.Contains(one.Atoms, q.Atom) {
				return nil
			}
		}
	}
	for _, p := range v.deployed {
		if slices.Contains(p.record.Atoms, q.Atom) {
			return nil
		}
	}
	return fmt.Errorf("atom %s: %w", trustkeep.Printable(q.Atom), trustkeep.ErrNotFound)
}

// covers tells whether a place is one that is asked for: in an environment, for some of
// its atoms or for all.
func (q ExpiryQuery) covers(v *inventory, env string, atoms []string) bool {
	switch {
	case q.Environment != "" && q.Environment != env:
		return false
	case q.Atom == "" || slices.Contains(atoms, q.Atom):
		return true
	}
	return len(atoms) == 0 && v.atoms[atomKey(env, q.Atom)] != nil
}

// inUse tells whether a connection is more than defined in an environment; see ExpiryQuery.
func (v *inventory) inUse(env string, d *environmentRecord, c Connection) bool {
	if _, overridden := d.Overrides[c.ID]; overridden || slices.Contains(c.Environments, env) {
		return true
	}
	for _, p := range v.deployed {
		if p.environment == env && slices.Contains(p.record.Process.Connections, c.ID) {
			return true
		}
	}
	for _, a := range v.atoms {
		if a.environment == env && slices.ContainsFunc(a.record.Peers, func(p seenPeer) bool { return p.Process == "" && p.Connection == c.ID }) {
			return true
		}
	}
	return false
}

// places yields the components that an environment uses as they are, and where.
func (v *inventory) places(env string, d *environmentRecord, inUse bool) iter.Seq2[string, Expiry] {
	return func(yield func(string, Expiry) bool) {
		for id, one := range sortedBy(d.Deployed) {
			if !yield(id, Expiry{Environment: env, Location: "deployed", Atoms: one.Atoms}) {
				return
			}
		}
		for _, s := range d.Substitutions {
			if !yield(s.Replacement, Expiry{Environment: env, Location: Reference{As: "substitute", By: s.Process}.String()}) {
				return
			}
		}
		for role, id := range sortedBy(d.Roles) {
			if !yield(id, Expiry{Environment: env, Location: "has the role " + role}) {
				return
			}
		}
		for name, p := range sortedBy(v.partners) {
			for _, id := range p.members(env) {
				if !yield(id, Expiry{Environment: env, Location: "partner " + name}) {
					return
				}
			}
		}
		for name, c := range sortedBy(v.connections) {
			if !c.countsIn(env) || inUse && !v.inUse(env, d, c) {
				continue
			}
			for _, id := range d.Overrides[name].apply(c).components() {
				if !yield(id, Expiry{Environment: env, Location: "connection " + name}) {
					return
				}
			}
		}
	}
}

func (q ExpiryQuery) rows(c *component.Component, place Expiry, now time.Time) []Expiry {
	place.Component, place.Name, place.Version, place.Type = c.ID(), c.Name(), c.Version(), typePGP
	if waiting := c.Pending(); len(waiting) > 0 {
		place.Requested = waiting[len(waiting)-1].Made
	}
	var out []Expiry
	add := func(subject string, issuer bool, end time.Time) {
		if end.IsZero() || end.Before(q.From) || !end.Before(q.Before) {
			return
		}
		row := place
		row.Subject, row.Issuer, row.NotAfter, row.Expired = subject, issuer, end, !now.Before(end)
		out = append(out, row)
	}
	if c.Kind() != trustkeep.X509 {
		add("", false, c.NotAfter())
		for _, p := range c.Parts() {
			if !p.NotAfter.Equal(c.NotAfter()) {
				add(p.Name, false, p.NotAfter)
			}
		}
		return out
	}
	place.Type = typeX509
	for i, info := range c.Describe() {
		add(info.Subject, i > 0, info.NotAfter)
	}
	return out
}
