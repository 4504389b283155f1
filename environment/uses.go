package environment

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// Use is a place that refers to a component.
type Use struct {
	// As is how: "trusted by connection", "deployed".
	As string `json:"as"`
	// Environment of the use; empty for definitions, which are in none.
	Environment string `json:"environment,omitempty"`
	// By is the ID of what uses it; empty for a deployment on its own.
	By string `json:"by,omitempty"`
}

// String spells the use.
func (u Use) String() string {
	text := u.As
	if u.By != "" {
		text += " " + u.By
	}
	if u.Environment != "" {
		text += " in " + u.Environment
	}
	return text
}

func listed(uses []Use) string {
	const most = 5
	var text []string
	for _, u := range uses[:min(len(uses), most)] {
		text = append(text, u.String())
	}
	if len(uses) > most {
		text = append(text, fmt.Sprintf("and %d more", len(uses)-most))
	}
	return strings.Join(text, ", ")
}

// Uses lists whatever refers to a component: connections, processes, deployments,
// substitutions, overrides, roles, and frozen copies. It is what changes when the
// component is replaced, and what keeps it from being deleted.
func (r *Registry) Uses(ctx context.Context, component string) ([]Use, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, failure("uses", component, err)
	}
	return v.uses(component), failure("uses", component, v.unread())
}

func (v *inventory) uses(component string) []Use {
	var out []Use
	add := func(yes bool, as, environment, by string) {
		if yes {
			out = append(out, Use{as, environment, by})
		}
	}
	for id, c := range sortedBy(v.connections) {
		add(slices.Contains(c.Trusted, component), "trusted by connection", "", id)
		add(c.Identity == component, "identity of connection", "", id)
	}
	for id, p := range sortedBy(v.processes) {
		add(slices.Contains(p.Components, component), "used by process", "", id)
	}
	for env, d := range sortedBy(v.environments) {
		_, deployed := d.Deployed[component]
		add(deployed, "deployed", env, "")
		for _, s := range d.Substitutions {
			add(s.Component == component, "substituted", env, s.Process)
			add(s.Replacement == component, "substitute", env, s.Process)
		}
		for id, o := range sortedBy(d.Overrides) {
			add(o.Trusted != nil && slices.Contains(*o.Trusted, component), "trusted by connection", env, id)
			add(o.Identity != nil && *o.Identity == component, "identity of connection", env, id)
		}
		for role, id := range sortedBy(d.Roles) {
			add(id == component, "has the role", env, role)
		}
	}
	for _, p := range sortedBy(v.deployed) {
		_, frozen := p.record.Frozen[component]
		add(frozen, "frozen in process", p.environment, p.record.Process.ID)
	}
	return out
}

// ExpiryQuery says what Expiring is to list. The zero value lists what is deployed
// anywhere and has expired or will within 30 days.
type ExpiryQuery struct {
	// Environment and Atom narrow the list; empty is any.
	Environment, Atom string
	// From and Before bound the expiry: From <= NotAfter < Before. A zero From
	// includes all that have expired; a zero Before is 30 days from now.
	From, Before time.Time
	// All lists components that are not deployed too.
	All bool
}

// Expiry is a certificate or key that expires, at one place that uses it.
type Expiry struct {
	Component   string    `json:"component"`
	Name        string    `json:"name"`
	Type        string    `json:"type"` // "certificate" or "certificate.pgp"
	Environment string    `json:"environment,omitempty"`
	Location    string    `json:"location"` // a Use as text; "component" for one that is not deployed
	Atoms       []string  `json:"atoms,omitempty"`
	Version     int       `json:"version"`
	Frozen      bool      `json:"frozen,omitempty"` // a copy: the process has to be deployed again
	Subject     string    `json:"subject,omitempty"`
	Issuer      bool      `json:"issuer,omitempty"` // one of the certificate's chain
	NotAfter    time.Time `json:"notAfter"`
	Expired     bool      `json:"expired"`
}

// Expiring lists what expires, the first to expire first: one row for each certificate
// of a chain, or key, and place that uses it.
func (r *Registry) Expiring(ctx context.Context, q ExpiryQuery) ([]Expiry, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, failure("expiring", "", err)
	}
	now := r.now()
	if q.Before.IsZero() {
		q.Before = now.AddDate(0, 0, 30)
	}
	var out []Expiry
	for env, d := range sortedBy(v.environments) {
		if q.Environment != "" && env != q.Environment {
			continue
		}
		for id, place := range v.places(env, d, q.Atom) {
			if h := v.components[id]; h != nil {
				out = append(out, q.rows(h.component, place, now)...)
			}
		}
	}
	for _, p := range sortedBy(v.deployed) {
		if q.Environment != "" && p.environment != q.Environment {
			continue
		}
		for _, h := range sortedBy(p.frozen) {
			place := Expiry{Environment: p.environment, Location: "frozen in process " + p.record.Process.ID, Frozen: true}
			out = append(out, q.rows(h.component, place, now)...)
		}
	}
	if q.All {
		for _, h := range sortedBy(v.components) {
			out = append(out, q.rows(h.component, Expiry{Location: "component"}, now)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
	return out, failure("expiring", "", v.problem())
}

// places yields the components that an environment uses as they are, and where.
func (v *inventory) places(env string, d *environmentRecord, atom string) iter.Seq2[string, Expiry] {
	return func(yield func(string, Expiry) bool) {
		for id, one := range sortedBy(d.Deployed) {
			if atom == "" || one.reaches(atom) {
				if !yield(id, Expiry{Environment: env, Location: "deployed", Atoms: one.Atoms}) {
					return
				}
			}
		}
		for _, s := range d.Substitutions {
			if !yield(s.Replacement, Expiry{Environment: env, Location: Use{As: "substitute", By: s.Process}.String()}) {
				return
			}
		}
		for role, id := range sortedBy(d.Roles) {
			if !yield(id, Expiry{Environment: env, Location: "has the role " + role}) {
				return
			}
		}
		for name, c := range sortedBy(v.connections) {
			for _, id := range d.Overrides[name].apply(c).components() {
				if !yield(id, Expiry{Environment: env, Location: "connection " + name}) {
					return
				}
			}
		}
	}
}

func (q ExpiryQuery) rows(c trustkeep.Component, place Expiry, now time.Time) []Expiry {
	place.Component, place.Name, place.Version, place.Type = c.ID(), c.Name(), c.Version(), typePGP
	var out []Expiry
	add := func(subject string, issuer bool, end time.Time) {
		if end.IsZero() || end.Before(q.From) || !end.Before(q.Before) {
			return
		}
		row := place
		row.Subject, row.Issuer, row.NotAfter, row.Expired = subject, issuer, end, !now.Before(end)
		out = append(out, row)
	}
	x, ok := c.(*keystore.Component)
	if !ok {
		add("", false, c.NotAfter())
		return out
	}
	place.Type = typeX509
	for i, info := range x.Describe() {
		add(info.Subject, i > 0, info.NotAfter)
	}
	return out
}
