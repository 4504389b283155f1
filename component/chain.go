package component

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// CompleteChain adds issuers to the chain of an X.509 component, in the place where they
// belong, and keeps its certificate and key. file holds certificates to choose from, in PEM, DER
// or PKCS#7 and in any order, such as a CA's bundle. Each that is added is checked by its
// signature. The chain need not reach a root. If there is nothing to add to a complete chain,
// the result is c.
//
// The file passes the stages of an import. For a private component, Password opens the content;
// the new one is under NewPassword, or else Password.
//
// Errors wrap ErrNotFound, naming the issuer, if none of the certificates continues a chain that
// ends before its root, or the one of the right name has another key; ErrCorrupt for an issuer
// that is no CA; ErrUnsupported for PGP; ErrEmpty for a file without certificates, or a component
// without; ErrIncorrectPassword.
func (c *Component) CompleteChain(ctx context.Context, file []byte, o Options) (*Component, error) {
	return c.editChain(ctx, "complete chain", file, false, o)
}

// SetChain makes the certificates of a file the chain of an X.509 component, in their order of
// issuing. The component's own certificate may be among them; alone, it drops the others. Each must
// have signed another one, which is checked by the signature. Everything else is as for
// CompleteChain; the error wraps ErrInvalid, naming it, for a certificate that belongs to another
// chain.
func (c *Component) SetChain(ctx context.Context, file []byte, o Options) (*Component, error) {
	return c.editChain(ctx, "set chain", file, true, o)
}

func (c *Component) editChain(ctx context.Context, op string, file []byte, replace bool, o Options) (*Component, error) {
	if err := o.admit(ctx, c.name, file); err != nil {
		return nil, failure(op, c.name, err)
	}
	if c.before() == nil {
		return nil, failure(op, c.name, errAwaited)
	}
	chain, ok := c.content.(interface {
		EditChain(file []byte, replace bool, o content.Options) (Content, error)
	})
	if !ok {
		return nil, failure(op, c.name, fmt.Errorf("a %s component has no chain: %w", c.Kind(), trustkeep.ErrUnsupported))
	}
	of, forget := o.of(c.name)
	defer forget()
	next, err := chain.EditChain(file, replace, of)
	if err == nil && next.Stored().Equal(c.content.Stored()) {
		return c, nil
	}
	return c.replaced(op, next, err, o)
}

// Findings returns what is odd about the current content: keystore.CodeMissingIssuer for a chain
// with a gap. Package audit looks further.
func (c *Component) Findings() []trustkeep.Finding {
	if f, ok := c.content.(interface{ Findings() []trustkeep.Finding }); ok {
		return f.Findings()
	}
	return nil
}
