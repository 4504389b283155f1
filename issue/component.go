package issue

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// GenerateComponent makes a private component with a new key and a certificate for it, see
// New. The key is protected by ComponentOptions.NewPassword, or else Password; the error
// wraps ErrEmpty without either. Clock and Rand of the component count where the
// certificate's are nil.
func GenerateComponent(ctx context.Context, name string, certificate Options, o keystore.ComponentOptions) (*keystore.Component, error) {
	const op = "issue: generate component"
	if err := ctx.Err(); err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: name, Err: err}
	}
	id, err := New(certificate.of(o))
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: name, Err: err}
	}
	return keystore.NewComponent(ctx, name, id, o)
}

// RenewComponent replaces the certificate of a private component and, unless NewKey is set,
// keeps its key, see Renew. Options hold the current password, which the key keeps unless
// NewPassword is set. KeepAs must be empty: components keep versions.
//
// For a public component the error wraps ErrUnsupported: whoever holds the private key has
// to ask.
func RenewComponent(ctx context.Context, c *keystore.Component, renew RenewOptions, o keystore.ComponentOptions) (*keystore.Component, error) {
	return renewed(ctx, "renew", c, renew, o)
}

// RegenerateComponent is RenewComponent with a new key.
func RegenerateComponent(ctx context.Context, c *keystore.Component, renew RenewOptions, o keystore.ComponentOptions) (*keystore.Component, error) {
	renew.NewKey = true
	return renewed(ctx, "regenerate", c, renew, o)
}

func renewed(ctx context.Context, op string, c *keystore.Component, renew RenewOptions, o keystore.ComponentOptions) (*keystore.Component, error) {
	if renew.KeepAs != "" {
		return nil, &trustkeep.Error{Op: "issue: " + op + " component", Alias: c.Name(), Err: fmt.Errorf("KeepAs, where versions are kept: %w", trustkeep.ErrInvalid)}
	}
	renew.Certificate = renew.Certificate.of(o)
	return c.Change(ctx, op, func(ks *keystore.Keystore, alias string) error {
		_, err := Renew(ctx, ks, alias, renew)
		return err
	}, o)
}

// of takes clock and randomness from the options of a component.
func (o Options) of(c keystore.ComponentOptions) Options {
	if o.Clock == nil {
		o.Clock = c.Clock
	}
	if o.Rand == nil {
		o.Rand = c.Rand
	}
	return o
}
