package environment

import (
	"fmt"
	"slices"
	"sync/atomic"

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

// livePartner is what is used with a partner for some uses, as it is defined now.
type livePartner struct {
	scope
	id   string
	uses partner.Use

	last atomic.Pointer[partnerState]
}

// partnerState is what was made in a state of the registry.
type partnerState struct {
	v   *inventory
	set *partner.Set[*component.Component]
	err error
}

// partnerSet returns what is used with a partner for some uses. The set follows.
func (s scope) partnerSet(id string, uses partner.Use) (*partner.Set[*component.Component], error) {
	l := &livePartner{scope: s, id: id, uses: uses}
	if _, err := l.current(); err != nil {
		return nil, err
	}
	return partner.Follow(l.current), nil
}

func (l *livePartner) current() (*partner.Set[*component.Component], error) {
	if err := l.a.tooOld(); err != nil {
		return nil, failure("partner", l.id, err)
	}
	v, last := l.a.state.Load(), l.last.Load()
	if last == nil || last.v != v {
		set, err := l.in(v)
		last = &partnerState{v, set, failure("partner", l.id, err)}
		l.last.Store(last)
	}
	return last.set, last.err
}

func (l *livePartner) in(v *inventory) (*partner.Set[*component.Component], error) {
	p, err := l.partner(v, l.id)
	if err != nil {
		return nil, err
	}
	set := new(partner.Set[*component.Component])
	for _, m := range p.Members {
		if !m.countsIn(l.a.env) || m.Uses&l.uses == 0 {
			continue
		}
		h, err := l.find(v, m.Component)
		if err == nil {
			err = set.Add(partner.Member[*component.Component]{
				Item: h.component, Uses: m.Uses & l.uses, PreferredFrom: m.PreferredFrom, Variant: m.Environment,
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
	l := &livePartner{scope: s, id: id, uses: partner.ClientTLS}
	return partner.Live[*component.Component]{
		Ask:   l.current,
		Open:  func(c *component.Component) (trustkeep.Identity, error) { return s.identity(c.ID()) },
		Clock: s.a.r.o.Clock,
	}.Identity(partner.ClientTLS)
}
