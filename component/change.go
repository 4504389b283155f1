package component

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Import makes a component from a file in any format that one of Options.Kinds reads. The kind
// is detected from the bytes, not from a file name. The component is private if the file holds
// a private key. It keeps all certificates of a chain.
//
// The stages are name, size, scanner, format, password, match of key and certificate, and
// policy. If one fails, there is no component.
//
// Errors wrap ErrInvalid for a bad name, no kinds or a nil one, or a private key without a
// password to protect it; ErrRejected or any other error of scanner and policy; ErrUnsupported
// for a file with several entries and no Alias, or with a secret key; ErrEmpty for a file
// without a certificate or key; ErrKeyMismatch for a private key without its certificate;
// ErrCorrupt, also if only a part of the file is unreadable, since that could be the key or an
// issuer; ErrIncorrectPassword; ErrNotFound for the alias; ErrLimit.
func Import(ctx context.Context, name string, file []byte, o Options) (*Component, error) {
	const op = "import"
	if err := checkName(name); err != nil {
		return nil, failure(op, name, err)
	}
	if len(o.Kinds) == 0 {
		return nil, failure(op, name, &trustkeep.Error{Op: "Options.Kinds", Err: trustkeep.ErrInvalid, Hint: "pass keystore.ComponentKind(), pgp.ComponentKind(), or both"})
	}
	if err := o.admit(ctx, name, file); err != nil {
		return nil, failure(op, name, err)
	}
	of, forget := o.of(name)
	defer forget()
	kind := o.kindOf(file, o.Kinds[0])
	c, err := kind.Parse(file, nil, of)
	if err != nil {
		return nil, failure(op, name, err)
	}
	return create(op, name, c, kind, o)
}

// Create makes a component from a source: a new key with its certificate (issue.Options), a
// new PGP key (pgp.GenerateOptions), an identity or PGP key in memory (*keystore.Identity,
// *pgp.Key).
//
// NewPassword, or else Password, protects a private key; the error wraps ErrInvalid without
// either. Other errors are those of the source and the policy.
func Create(ctx context.Context, name string, source Source, o Options) (*Component, error) {
	const op = "create"
	if err := checkName(name); err != nil {
		return nil, failure(op, name, err)
	}
	c, err := o.make(ctx, name, source, nil)
	if err != nil {
		return nil, failure(op, name, err)
	}
	return create(op, name, c, c.ComponentKind(), o)
}

func create(op, name string, c Content, kind Kind, o Options) (*Component, error) {
	id, err := newID(o.ID, o.Rand)
	if err != nil {
		return nil, failure(op, name, err)
	}
	return o.admitted(op, &Component{id: id, name: name, kind: kind, content: c, versions: []*version{newVersion(1, o.now(), c)}})
}

// kindOf returns the kind that claims a file, or else another one.
func (o Options) kindOf(file []byte, other Kind) Kind {
	for _, k := range o.Kinds {
		if k.Detect(file) {
			return k
		}
	}
	return other
}

// Reimport replaces the content by that of a file of the same kind, see Import. Without
// Options.Kinds, the kind that the component was imported or restored with reads the file. The
// error wraps ErrUnsupported if a private component would become public, or a public one
// private.
//
// Known parts stay: issuers that an X.509 file leaves out are taken from the current chain,
// and a copy of the current PGP key is merged with it.
func (c *Component) Reimport(ctx context.Context, file []byte, o Options) (*Component, error) {
	const op = "reimport"
	if err := o.admit(ctx, c.name, file); err != nil {
		return nil, failure(op, c.name, err)
	}
	of, forget := o.of(c.name)
	defer forget()
	next, err := o.kindOf(file, c.kind).Parse(file, c.before(), of)
	return c.replaced(op, next, err, o)
}

// Renew replaces the content by that of a source, see Create: a renewed certificate, a new
// key, a PGP key with a later expiry. Options.Password opens the current content for sources
// that need it. The error wraps ErrUnsupported if the new content is of another kind or
// visibility: only its holder can renew a public component's key.
func (c *Component) Renew(ctx context.Context, source Source, o Options) (*Component, error) {
	next, err := o.make(ctx, c.name, source, c.before())
	return c.replaced("renew", next, err, o)
}

func (o Options) make(ctx context.Context, name string, source Source, before Content) (Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if given.IsNil(source) {
		return nil, fmt.Errorf("no source: %w", trustkeep.ErrInvalid)
	}
	of, forget := o.of(name)
	defer forget()
	made, err := source.MakeContent(ctx, before, of)
	if err == nil && made == nil {
		err = fmt.Errorf("a source without content: %w", trustkeep.ErrInvalid)
	}
	return made, err
}

// ChangePassword protects the private key with another password, and those keys of pending
// requests that are under the same one. Errors wrap ErrIncorrectPassword, ErrInvalid without a
// new password, or ErrUnsupported for a public component.
func (c *Component) ChangePassword(current, next trustkeep.PasswordSource, o Options) (*Component, error) {
	const op = "change password"
	o.Password, o.NewPassword = current, next
	of, forget := o.of(c.name)
	defer forget()
	waiting, opened, err := c.pendingUnder(of)
	if err != nil {
		return nil, failure(op, c.name, err)
	}
	out := *c
	out.pending = waiting
	if c.before() == nil && opened {
		return o.admitted(op, &out)
	}
	changed, err := c.content.ChangePassword(of)
	return out.replaced(op, changed, err, o)
}

// CheckPassword returns nil if the password opens the private key; that of the newest request
// if there is no other. The error wraps ErrIncorrectPassword, or ErrUnsupported for a public
// component.
func (c *Component) CheckPassword(password trustkeep.PasswordSource) error {
	if err := c.content.CheckPassword(password); err != nil {
		return failure("check password", c.name, err)
	}
	return nil
}

// Rollback makes the content of an earlier version current again, as a new version. The error
// wraps ErrNotFound if that version is not kept, ErrCorrupt if it is damaged.
func (c *Component) Rollback(number int, o Options) (*Component, error) {
	const op = "roll back"
	for _, v := range c.versions {
		if v.number == number {
			again, err := v.content()
			return c.replaced(op, again, err, o)
		}
	}
	return nil, failure(op, c.name, fmt.Errorf("version %d: %w", number, trustkeep.ErrNotFound))
}

func (c *Component) replaced(op string, next Content, err error, o Options) (*Component, error) {
	if err == nil && (next.Kind() != c.Kind() || next.Visibility() != c.Visibility()) {
		err = fmt.Errorf("a %s %s component cannot take over %s %s content: %w", c.Visibility(), c.Kind(), next.Visibility(), next.Kind(), trustkeep.ErrUnsupported)
	}
	if err == nil && c.Version() >= maxVersion {
		err = fmt.Errorf("version %d is the last one: %w", c.Version(), trustkeep.ErrLimit)
	}
	if err != nil {
		return nil, failure(op, c.name, err)
	}
	return o.admitted(op, c.replace(next, o))
}
