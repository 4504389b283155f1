package environment

import "maps"

// of returns what the inventory is to an atom of an environment: without processes that are
// deployed to others. What it returns must not be updated; the inventory goes on.
func (v *inventory) of(env, atom string) *inventory {
	out := v.clone()
	maps.DeleteFunc(out.deployed, func(_ string, p *deployedProcess) bool {
		return p.environment == env && !reach(p.record.Atoms).covers(atom)
	})
	return out
}
