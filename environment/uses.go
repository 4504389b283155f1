package environment

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Reference is a place that refers to a component.
type Reference struct {
	// As is how: "trusted by connection", "deployed".
	As string `json:"as"`
	// Environment of the use; empty for definitions, which are in none.
	Environment string `json:"environment,omitempty"`
	// By is the ID of what uses it; empty for a deployment on its own.
	By string `json:"by,omitempty"`
}

// String spells the use.
func (u Reference) String() string {
	text := u.As
	if u.By != "" {
		text += " " + u.By
	}
	if u.Environment != "" {
		text += " in " + u.Environment
	}
	return text
}

func listed(uses []Reference) string {
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

// Uses lists whatever refers to a component: connections, processes, partners,
// deployments, substitutions, overrides, roles, and frozen copies. It is what changes when the
// component is replaced, and what keeps it from being deleted.
func (r *Registry) Uses(ctx context.Context, component string) ([]Reference, error) {
	if err := checkID("uses", component); err != nil {
		return nil, err
	}
	v, err := r.references(ctx)
	if err != nil {
		return nil, failure("uses", component, err)
	}
	return v.uses(component), failure("uses", component, v.unread())
}

func (v *inventory) uses(component string) []Reference {
	var out []Reference
	add := func(yes bool, as, environment, by string) {
		if yes {
			out = append(out, Reference{as, environment, by})
		}
	}
	for id, c := range sortedBy(v.connections) {
		add(slices.Contains(c.Trusted, component), "trusted by connection", "", id)
		add(c.Identity == component, "identity of connection", "", id)
		add(slices.Contains(c.RevocationExempt, component), "exempt from revocation on connection", "", id)
	}
	for id, p := range sortedBy(v.processes) {
		add(slices.Contains(p.Components, component), "used by process", "", id)
	}
	for id, p := range sortedBy(v.partners) {
		for _, m := range p.Members {
			add(m.Component == component, "used with partner", m.Environment, id)
		}
	}
	for env, d := range sortedBy(v.environments) {
		_, deployed := d.Deployed[component]
		_, held := d.Held[component]
		add(held, "held", env, "")
		add(deployed, "deployed", env, "")
		for _, s := range d.Substitutions {
			add(s.Component == component, "substituted", env, s.Process)
			add(s.Replacement == component, "substitute", env, s.Process)
		}
		for id, o := range sortedBy(d.Overrides) {
			add(o.Trusted != nil && slices.Contains(*o.Trusted, component), "trusted by connection", env, id)
			add(o.Identity != nil && *o.Identity == component, "identity of connection", env, id)
			add(o.RevocationExempt != nil && slices.Contains(*o.RevocationExempt, component), "exempt from revocation on connection", env, id)
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
