package environment

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/pgp"
)

// CreateRequest makes a component that waits for its first certificate, and returns the
// request for it; see component.CreateRequest. source is issue.RequestOptions, which names the
// holder. Nothing can refer to the component until Install has the reply: ErrEmpty.
//
// The password of the key that waits is kept if the registry has a Sealer.
func (r *Registry) CreateRequest(ctx context.Context, name string, source component.Requester, o ComponentOptions) (*component.Component, []byte, error) {
	const op = "create request"
	c, request, err := component.CreateRequest(ctx, name, source, r.options(o))
	if err != nil {
		return nil, nil, failure(op, name, err)
	}
	if c, err = r.add(ctx, op, c, o.protection()); err != nil {
		return nil, nil, err
	}
	return c, request, nil
}

// Request makes a certificate request for a private X.509 component; see
// component.Component.Request. With the zero issue.RequestOptions, it is for the key, names and
// purposes that the component has. Programs go on with the current certificate until Install
// has the reply, days later perhaps and in another program.
//
// The password may be left out where it is kept; a new key is then under the same one.
func (r *Registry) Request(ctx context.Context, id string, source component.Requester, o ComponentOptions) (request []byte, err error) {
	password := o.protection()
	if o.Password == nil {
		o.Password = r.keptPassword(ctx, id)
	}
	_, err = r.update(ctx, "request", id, password, func(_ *componentRecord, c *component.Component) (next *component.Component, err error) {
		next, request, err = c.Request(ctx, source, r.options(o))
		return next, err
	})
	if err != nil {
		return nil, err
	}
	return request, nil
}

// Install takes the reply to a request, whichever of those that wait it answers, or one for
// the current key; see component.Component.Install. Whatever refers to the component goes on
// with the new content, except frozen copies; see Environment.Stale.
//
// by is issue.InstallOptions, for instance with the roots that the reply has to lead to, or
// pgp.InstallOptions; nil is the zero value of the one that fits. The password may be left out
// where it is kept.
func (r *Registry) Install(ctx context.Context, id string, reply []byte, by component.Installer, o ComponentOptions) (*component.Component, error) {
	return r.update(ctx, "install", id, o.protection(), func(d *componentRecord, c *component.Component) (*component.Component, error) {
		by, o := by, r.options(o)
		switch {
		case given.NilPointer(by):
			return nil, fmt.Errorf("an installer that is a nil pointer: %w", trustkeep.ErrInvalid)
		case by == nil && c.Kind() == trustkeep.PGP:
			by = pgp.InstallOptions{}
		case by == nil:
			by = issue.InstallOptions{}
		}
		if o.Password == nil {
			o.Password = trustkeep.PasswordFunc(func() ([]byte, error) {
				n, err := c.Answers(reply, by, o)
				if err != nil {
					return nil, err
				}
				if n == 0 {
					n = -c.Version()
				}
				kept, err := r.passwordOfKey(ctx, d, c, -n, r.openSealed)
				if err != nil {
					return nil, err
				}
				return kept.Reveal()
			})
		}
		return c.Install(ctx, reply, by, o)
	})
}

// CancelRequest ends a request, by its number; see component.Component.Cancel. The error wraps
// trustkeep.ErrNotFound if it does not wait, and ErrInUse if it is all that the component has:
// delete that.
func (r *Registry) CancelRequest(ctx context.Context, id string, number int) (*component.Component, error) {
	return r.update(ctx, "cancel request", id, nil, func(_ *componentRecord, c *component.Component) (*component.Component, error) {
		return c.Cancel(number)
	})
}

// counted is current of a component that others can refer to.
func (v *inventory) counted(id string) (*held, error) {
	h, err := v.current(id)
	if err == nil {
		err = counting(h.component)
	}
	return h, err
}

// counting refuses what waits for its first certificate: nothing can refer to it.
func counting(c *component.Component) error {
	if c.Version() > 0 {
		return nil
	}
	return &trustkeep.Error{Op: "use component", Alias: c.ID(), Err: fmt.Errorf("it waits for its certificate: %w", trustkeep.ErrEmpty), Hint: "install the reply first"}
}
