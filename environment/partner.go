package environment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/partner"
)

// Partner is the certificates and keys that are used with one trading partner, theirs and
// ours, old and new side by side; see package partner.
type Partner struct {
	ID      string          `json:"id"`
	Members []PartnerMember `json:"members,omitempty"`
	// Revision is what Registry.Partner has read, for SetPartner. It is not part of the
	// definition.
	Revision Revision `json:"-"`
}

// PartnerMember is a component and what it is used for with a partner.
type PartnerMember struct {
	Component string `json:"component"`
	// Uses are what it is used for; our own part, that is Sign, Decrypt, SignMDN
	// and ClientTLS, takes a private component.
	Uses partner.Use `json:"-"`
	// PreferredFrom is when it starts to be used for sending even though an older one
	// is still valid. If zero, as soon as it is valid.
	PreferredFrom time.Time `json:"preferredFrom,omitzero"`
	// Environment that it counts in, if the partner's test and production
	// certificates differ. If empty, all.
	Environment string `json:"environment,omitempty"`
}

// private are the uses that take a private key.
const private = partner.Sign | partner.Decrypt | partner.SignMDN | partner.ClientTLS

// lastUse is the last of package partner.
const lastUse = partner.VerifyTLS

// MarshalJSON spells uses by their names.
func (m PartnerMember) MarshalJSON() ([]byte, error) {
	type plain PartnerMember // without this method
	return json.Marshal(struct {
		plain
		Uses []string `json:"purposes"` // the name in records
	}{plain(m), strings.Split(m.Uses.String(), "|")})
}

// UnmarshalJSON reverses MarshalJSON. The error wraps trustkeep.ErrUnsupported for an unknown
// use.
func (m *PartnerMember) UnmarshalJSON(text []byte) error {
	type plain PartnerMember
	var s struct {
		plain
		Uses []string `json:"purposes"` // the name in records
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	out := PartnerMember(s.plain)
	for _, name := range s.Uses {
		p := partner.Use(1)
		for p <= lastUse && p.String() != name {
			p <<= 1
		}
		if p > lastUse {
			return fmt.Errorf("use %q: %w", trustkeep.Printable(name), trustkeep.ErrUnsupported)
		}
		out.Uses |= p
	}
	*m = out
	return nil
}

type partnerRecord struct {
	stamp
	Partner Partner `json:"partner"`
}

func newPartnerRecord() *partnerRecord { return new(partnerRecord) }

func (d *partnerRecord) check(id string) error {
	return cmp.Or(is(d.Partner.ID, id), d.Partner.checkMembers())
}

func (p Partner) checkMembers() error {
	for _, m := range p.Members {
		if m.Uses == 0 {
			return fmt.Errorf("component %s has no use: %w", trustkeep.Printable(m.Component), trustkeep.ErrInvalid)
		}
		if m.Uses >= lastUse<<1 {
			return fmt.Errorf("component %s has the uses %v: %w", trustkeep.Printable(m.Component), m.Uses, trustkeep.ErrInvalid)
		}
	}
	return nil
}

// SetPartner stores a partner: a changed one with the Revision that Partner has returned, a new
// one without. The error wraps trustkeep.ErrNotFound for a component or environment that does
// not exist, trustkeep.ErrInvalid for a member without a use, trustkeep.ErrUnsupported for one
// with a use that its component cannot serve, and ErrConflict and ErrExists as that of
// SetConnection.
func (r *Registry) SetPartner(ctx context.Context, p Partner) error {
	if err := checkID("set partner", p.ID); err != nil {
		return err
	}
	if err := p.checkMembers(); err != nil {
		return failure("set partner", p.ID, err)
	}
	var needs []string
	for _, m := range p.Members {
		var visibility trustkeep.Visibility
		if m.Uses&private != 0 {
			visibility = trustkeep.Private
		}
		kind := trustkeep.Kind(0)
		if m.Uses&(partner.ClientTLS|partner.VerifyTLS) != 0 {
			kind = trustkeep.X509
		}
		if _, err := r.want(ctx, m.Component, kind, visibility); err != nil {
			return failure("set partner", p.ID, err)
		}
		needs = append(needs, componentKey(m.Component))
		if m.Environment != "" {
			needs = append(needs, environmentKey(m.Environment))
		}
	}
	next := p
	next.Revision = ""
	before, _, err := assign(ctx, r, partnerSlot(p.ID), replacing(p.Revision, &next), needs)
	if err == nil {
		r.tell(ctx, Event{Action: "partner set", Object: p.ID, Before: before.describe(), After: p.describe()})
	}
	return failure("set partner", p.ID, err)
}

func partnerSlot(id string) slot[*partnerRecord, Partner] {
	return slot[*partnerRecord, Partner]{
		key: partnerKey(id), fresh: newPartnerRecord,
		get: func(d *partnerRecord) *Partner { p := d.Partner; return &p },
		set: func(d *partnerRecord, p *Partner) { d.Partner = *p },
	}
}

func (p *Partner) describe() string {
	if p == nil {
		return ""
	}
	var text []string
	for _, m := range p.Members {
		one := m.Component + " to " + m.Uses.String()
		if m.Environment != "" {
			one += " in " + m.Environment
		}
		text = append(text, one)
	}
	return strings.Join(text, ", ")
}

// Partner returns a partner as it is defined. The error wraps trustkeep.ErrNotFound.
func (r *Registry) Partner(ctx context.Context, id string) (Partner, error) {
	if err := checkID("partner", id); err != nil {
		return Partner{}, err
	}
	d := new(partnerRecord)
	revision, err := r.get(ctx, partnerKey(id), d)
	if err == nil && revision == 0 {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return Partner{}, failure("partner", id, err)
	}
	d.Partner.Revision = revisionOf(&d.Partner)
	return d.Partner, nil
}

// Partners returns all partners, by ID. Damaged records are skipped and reported in the error.
func (r *Registry) Partners(ctx context.Context) ([]Partner, error) {
	v, err := r.listOf(ctx, partnersPrefix)
	if err != nil {
		return nil, failure("partners", "", err)
	}
	out := values(v.partners)
	for i := range out {
		out[i].Revision = revisionOf(&out[i])
	}
	return out, failure("partners", "", v.problem())
}

// DeletePartner removes a partner. The error wraps trustkeep.ErrInUse while a connection or an
// override takes its certificates, and trustkeep.ErrNotFound if it does not exist.
func (r *Registry) DeletePartner(ctx context.Context, id string) error {
	if err := checkID("delete partner", id); err != nil {
		return err
	}
	inUse := func(v *inventory) error {
		for _, c := range sortedBy(v.connections) {
			if slices.Contains(c.partners(), id) {
				return fmt.Errorf("connection %s: %w", c.ID, trustkeep.ErrInUse)
			}
		}
		for env, d := range sortedBy(v.environments) {
			for connection, o := range sortedBy(d.Overrides) {
				if slices.Contains(o.apply(Connection{}).partners(), id) {
					return fmt.Errorf("connection %s in %s: %w", connection, env, trustkeep.ErrInUse)
				}
			}
		}
		return nil
	}
	var before *Partner
	err := remove(ctx, r, partnerKey(id), newPartnerRecord, inUse, func(*inventory) error {
		d := new(partnerRecord)
		_, err := r.get(ctx, partnerKey(id), d)
		before = &d.Partner
		return err
	})
	if err == nil {
		r.tell(ctx, Event{Action: "partner deleted", Object: id, Before: before.describe()})
	}
	return failure("delete partner", id, err)
}

// Partner returns what is used with a partner in the atom's environment, in the current
// versions of the components: those of the environment, and those that count in all. The set follows
// the partner and the components; where the partner or one of the components is gone, it has nothing,
// and Resolve fails with that error. The error wraps trustkeep.ErrNotFound if the partner or one of
// its components does not exist.
//
// Resolve answers with the component to use; Atom.Identity and Atom.PGP have the private
// key of one of ours.
func (a *Atom) Partner(id string) (*partner.Set[*component.Component], error) {
	return scope{a, ""}.partnerSet(id, lastUse<<1-1)
}

// countsIn tells whether a member is used in an environment.
func (m PartnerMember) countsIn(environment string) bool {
	return m.Environment == "" || m.Environment == environment
}

// members are the components that are used with a partner in an environment.
func (p Partner) members(environment string) []string {
	return p.serving(environment, lastUse<<1-1)
}
