package environment

import (
	"context"

	"github.com/trustkeep/trustkeep/audit"
)

// Audit looks at all components together as package audit does, private keys that are
// used twice and certificates in several components included, and at the copies in deployed
// processes that are no longer what their components hold. Findings name components by ID.
//
// Damaged records are left out and named by the error, which comes with the report.
func (r *Registry) Audit(ctx context.Context, o audit.Options) (*audit.Report, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, failure("audit", "", err)
	}
	if o.Clock == nil {
		o.Clock = r.now
	}
	var targets []audit.Target
	for id, h := range sortedBy(v.components) {
		targets = append(targets, audit.Target{Name: id, Component: h.component})
	}
	for _, p := range sortedBy(v.deployed) {
		for id, h := range sortedBy(p.frozen) {
			if now := v.components[id]; now != nil && now.component.Fingerprint() == h.component.Fingerprint() {
				continue
			}
			where := Reference{As: "frozen in process", By: p.record.Process.ID, Environment: p.environment}
			targets = append(targets, audit.Target{Name: id + ", " + where.String(), Component: h.component})
		}
	}
	return o.Run(targets...), failure("audit", "", v.problem())
}
