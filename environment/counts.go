package environment

import "slices"

// counts returns the keys of the records that matter to the atoms of an environment: its own
// record and those of the processes that are deployed to it, the connections and partners that
// count there, the components that any of these refers to, and what is sealed of them. Keys of components are in it
// whether or not there is such a component. An environment that does not exist has none.
//
// Connections count as the environment overrides them: an identity that the environment
// replaces by another is none of its business. Definitions of processes do not count: atoms
// use what was deployed of them, frozen copies included.
func (v *inventory) counts(env string) map[string]bool {
	d := v.environments[env]
	if d == nil {
		return nil
	}
	out := map[string]bool{environmentKey(env): true}
	component := func(ids ...string) {
		for _, id := range ids {
			out[componentKey(id)] = true
		}
	}
	for id := range d.Deployed {
		component(id)
	}
	for _, s := range d.Substitutions {
		component(s.Component, s.Replacement)
	}
	for _, id := range d.Roles {
		component(id)
	}
	for id, c := range v.connections {
		if c.countsIn(env) {
			out[connectionKey(id)] = true
			c = d.Overrides[id].apply(c)
			component(c.components()...)
			for _, p := range c.partners() {
				out[partnerKey(p)] = true
			}
		}
	}
	for id, p := range v.partners {
		if members := p.members(env); len(members) > 0 {
			out[partnerKey(id)] = true
			component(members...)
		}
	}
	for key, p := range v.deployed {
		if p.environment == env {
			out[key] = true
			for id := range p.record.Frozen {
				component(id)
			}
		}
	}
	if v.rings[env] != nil {
		out[ringKey(env)] = true
	}
	for key, c := range v.sealed {
		if c.env == env && out[componentKey(c.component)] {
			out[key] = true
		}
	}
	return out
}

// environmentsOf returns the environments in which a component counts, sorted.
func (v *inventory) environmentsOf(component string) []string {
	var out []string
	for env := range v.environments {
		if v.counts(env)[componentKey(component)] {
			out = append(out, env)
		}
	}
	slices.Sort(out)
	return out
}
