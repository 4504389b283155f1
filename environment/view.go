package environment

import (
	"context"
	"fmt"
	"maps"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// of returns what the inventory is to an atom of an environment, which had another one before,
// nil for none: with components in the versions that the environment is kept at, without processes
// that are deployed to others, and with the last usable certificate of each component that it
// trusts. What it returns must not be updated; the
// inventory goes on.
func (v *inventory) of(env, atom string, before *inventory) *inventory {
	out := v.in(env)
	maps.DeleteFunc(out.deployed, func(_ string, p *deployedProcess) bool {
		return p.environment == env && !reach(p.record.Atoms).covers(atom)
	})
	for id := range out.trusting(env, atom) {
		h := out.components[id]
		if h == nil || h.component.Kind() != trustkeep.X509 {
			continue // of which whoever wants it tells
		}
		_, err := h.certificate()
		if err == nil {
			continue
		}
		// As with a damaged record, what was known of it before goes on.
		err = fmt.Errorf("component %s is trusted, version %d has no usable certificate: %w", id, h.component.Version(), err)
		if before != nil {
			if last := before.components[id]; last != nil && last.usable() {
				out.components[id] = last
				err = fmt.Errorf("%w; version %d goes on", err, last.component.Version())
			}
		}
		if out.damaged[componentKey(id)] == nil {
			out.damaged[componentKey(id)] = err
		}
	}
	return out
}

func (h *held) usable() bool {
	_, err := h.certificate()
	return err == nil
}

// trusting returns the components by which an atom trusts others, outside of processes: those
// that are deployed to it, and those of connections that count there.
func (v *inventory) trusting(env, atom string) map[string]bool {
	d := v.environments[env]
	if d == nil {
		return nil
	}
	out := make(map[string]bool)
	for id, one := range d.Deployed {
		if one.reaches(atom) {
			out[id] = true
		}
	}
	for id, c := range v.connections {
		if !c.countsIn(env) {
			continue
		}
		trusted, _ := d.Overrides[id].apply(c).trusted(env, func(id string) (Partner, error) { return v.partners[id], nil })
		for _, id := range trusted {
			out[id] = true
		}
	}
	return out
}

// checkUsable refuses content without a usable certificate in the place of content with one, for
// a component that something refers to: trust in it would become trust in nobody. Who begins to
// refer to it at the same moment may find it so; atoms then go on with what they had.
func (r *Registry) checkUsable(ctx context.Context, before, after *component.Component) error {
	if losesCertificate(before, after) == nil {
		return nil
	}
	v, err := r.references(ctx)
	if err != nil {
		return err
	}
	if err := v.checkUsable(before, after); err != nil {
		return err
	}
	return v.unread()
}

func (v *inventory) checkUsable(before, after *component.Component) error {
	err := losesCertificate(before, after)
	if uses := v.uses(after.ID()); err != nil && len(uses) > 0 {
		return &trustkeep.Error{Op: "in use: " + listed(uses), Err: err, Hint: "end these uses first"}
	}
	return nil
}

// losesCertificate returns why an X.509 component has no usable certificate any more; nil if it has,
// or had none.
func losesCertificate(before, after *component.Component) error {
	if after.Kind() != trustkeep.X509 {
		return nil
	}
	if _, err := keystore.CertificateOf(before); err != nil {
		return nil
	}
	_, err := keystore.CertificateOf(after)
	return err
}
