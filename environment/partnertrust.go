package environment

import (
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/partner"
)

// partners are those that the connection takes trust or identity from.
func (c Connection) partners() []string {
	var out []string
	for _, id := range []string{c.TrustedPartner, c.IdentityPartner} {
		if id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// ownTrust tells whether the connection has trust of its own, which replaces what is deployed.
func (c Connection) ownTrust() bool { return len(c.Trusted) > 0 || c.TrustedPartner != "" }

// serving are the components that are used with a partner in an environment for one of some uses.
func (p Partner) serving(environment string, uses partner.Use) []string {
	var out []string
	for _, m := range p.Members {
		if m.countsIn(environment) && m.Uses&uses != 0 && !slices.Contains(out, m.Component) {
			out = append(out, m.Component)
		}
	}
	return out
}

// trusted are the components that a connection trusts of its own, as its partner is defined.
func (c Connection) trusted(environment string, find func(partner string) (Partner, error)) ([]string, error) {
	if c.TrustedPartner == "" {
		return c.Trusted, nil
	}
	p, err := find(c.TrustedPartner)
	return p.serving(environment, partner.VerifyTLS), err
}

// partner returns a partner as it counts: as it was when the process was deployed, else as it is
// defined now.
func (s scope) partner(v *inventory, id string) (Partner, error) {
	if s.process == "" {
		if p, ok := v.partners[id]; ok {
			return p, nil
		}
		return Partner{}, missing(partnerKey(id))
	}
	if d := s.deployed(v); d != nil {
		return d.record.partner(id)
	}
	return Partner{}, fmt.Errorf("process %s is no longer deployed: %w", s.process, trustkeep.ErrNotFound)
}

func (d *deployedRecord) partner(id string) (Partner, error) {
	for _, p := range d.Partners {
		if p.ID == id {
			return p, nil
		}
	}
	return Partner{}, fmt.Errorf("%s in process %s: %w", named(partnerKey(id)), d.Process.ID, trustkeep.ErrNotFound)
}

// partnerSet returns what is used with a partner for some uses.
func (s scope) partnerSet(id string, uses partner.Use) (*partner.Set[*component.Component], error) {
	v := s.a.state.Load()
	p, err := s.partner(v, id)
	if err != nil {
		return nil, err
	}
	set := new(partner.Set[*component.Component])
	for _, m := range p.Members {
		if !m.countsIn(s.a.env) || m.Uses&uses == 0 {
			continue
		}
		h, err := s.find(v, m.Component)
		if err == nil {
			err = set.Add(partner.Member[*component.Component]{
				Item: h.component, Uses: m.Uses & uses, PreferredFrom: m.PreferredFrom, Variant: m.Environment,
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return set, nil
}

// partnerIdentity presents what is used with a partner for ClientTLS, as it is preferred at each
// handshake.
func (s scope) partnerIdentity(id string) trustkeep.Identity {
	return partner.Live[*component.Component]{
		Ask:   func() (*partner.Set[*component.Component], error) { return s.partnerSet(id, partner.ClientTLS) },
		Open:  func(c *component.Component) (trustkeep.Identity, error) { return s.identity(c.ID()) },
		Clock: s.a.r.o.Clock,
	}.Identity(partner.ClientTLS)
}
