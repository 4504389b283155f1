package environment

import (
	"context"

	"github.com/trustkeep/trustkeep/component"
)

// CompleteChain adds issuers to the chain of an X.509 component from those in a file, and
// SetChain makes the file its chain; see component.Component.CompleteChain and SetChain. Audit
// says where it is needed. The password of a private component may be left out where it is
// kept. What a chain holds counts for what is sent to peers, not for trust.
func (r *Registry) CompleteChain(ctx context.Context, id string, file []byte, o ComponentOptions) (*component.Component, error) {
	return r.editChain(ctx, "complete chain", id, file, o, (*component.Component).CompleteChain)
}

// SetChain makes the certificates of a file the chain of an X.509 component; see CompleteChain.
func (r *Registry) SetChain(ctx context.Context, id string, file []byte, o ComponentOptions) (*component.Component, error) {
	return r.editChain(ctx, "set chain", id, file, o, (*component.Component).SetChain)
}

type chainEdit func(*component.Component, context.Context, []byte, component.Options) (*component.Component, error)

func (r *Registry) editChain(ctx context.Context, op, id string, file []byte, o ComponentOptions, edit chainEdit) (*component.Component, error) {
	password := o.protection()
	if o.Password == nil {
		o.Password = r.keptPassword(ctx, id)
	}
	return r.update(ctx, op, id, password, func(_ *componentRecord, c *component.Component) (*component.Component, error) {
		return edit(c, ctx, file, r.options(o))
	})
}
