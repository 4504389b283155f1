package issue

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/keystore"
)

// MakeContent implements component.Source: component.Create makes a component with a new key
// and a certificate, see New. NewPassword of component.Options, or else Password, protects the
// key; the error wraps ErrInvalid without either. A nil Clock or Rand is taken from
// component.Options.
func (o Options) MakeContent(ctx context.Context, before content.Content, c content.Options) (content.Content, error) {
	if before != nil && before.Visibility() != trustkeep.Private {
		return nil, errPublic
	}
	id, err := New(o.of(c))
	if err != nil {
		return nil, err
	}
	return id.MakeContent(ctx, before, c)
}

// MakeContent implements component.Source: component.Component.Renew replaces the certificate
// of a private component, and with NewKey its key, see Renew. Password of component.Options
// opens the component and stays unless NewPassword is set. KeepAs must be empty, since
// components keep versions. For a public component the error wraps ErrUnsupported.
func (o RenewOptions) MakeContent(ctx context.Context, before content.Content, c content.Options) (content.Content, error) {
	switch {
	case o.KeepAs != "":
		return nil, fmt.Errorf("KeepAs, where versions are kept: %w", trustkeep.ErrInvalid)
	case before == nil:
		return nil, fmt.Errorf("nothing to renew: %w", trustkeep.ErrInvalid)
	case before.Visibility() != trustkeep.Private:
		return nil, errPublic
	}
	id, err := keystore.IdentityOf(content.Held(before), c.Password)
	if err != nil {
		return nil, err
	}
	const alias = "component"
	ks := keystore.New()
	defer ks.Close()
	if err := ks.SetIdentity(alias, id); err != nil {
		return nil, err
	}
	o.Certificate = o.Certificate.of(c)
	if id, err = Renew(ctx, ks, alias, o); err != nil {
		return nil, err
	}
	return id.MakeContent(ctx, before, c)
}

var errPublic = fmt.Errorf("no key or certificate can be made for a public component: %w", trustkeep.ErrUnsupported)

// of takes clock and randomness from the options of a component.
func (o Options) of(c content.Options) Options {
	if o.Clock == nil {
		o.Clock = c.Clock
	}
	if o.Rand == nil {
		o.Rand = c.Rand
	}
	return o
}
