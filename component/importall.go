package component

import (
	"context"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// maxImported bounds the components of one file, which costs as much to read for each.
const maxImported = 64

// ImportAll makes a component of each entry of a file: of each private key with its chain, and
// of each certificate that is an entry of its own; of each key of a PGP keyring. They are named
// after their aliases, or else numbered. Options.KeyPasswords opens keys whose passwords are not
// the store's; Alias and ID must be empty. NewPassword, or else Password, protects all keys.
//
// The stages are those of Import, whose errors it returns, and the scanner sees the file once. If one
// entry fails, which the error names, there are no components. The error wraps ErrLimit for
// more than 64 entries.
func ImportAll(ctx context.Context, file []byte, o Options) ([]*Component, error) {
	const op = "import all"
	if o.Alias != "" || o.ID != "" {
		return nil, failure(op, "", fmt.Errorf("an Alias or ID for several components: %w", trustkeep.ErrInvalid))
	}
	if len(o.Kinds) == 0 {
		return nil, failure(op, "", &trustkeep.Error{Op: "Options.Kinds", Err: trustkeep.ErrInvalid, Hint: "pass keystore.ComponentKind(), pgp.ComponentKind(), or both"})
	}
	if err := o.admit(ctx, "file", file); err != nil {
		return nil, failure(op, "", err)
	}
	kind := o.kindOf(file, o.Kinds[0])
	lister, ok := kind.(content.Lister)
	if !ok {
		return nil, failure(op, "", fmt.Errorf("a kind that does not list its files: %w", trustkeep.ErrUnsupported))
	}
	of, forget := o.of("")
	defer forget()
	aliases, err := lister.Entries(file, of)
	switch {
	case err != nil:
		return nil, failure(op, "", err)
	case len(aliases) == 0:
		return nil, failure(op, "", fmt.Errorf("neither a key nor a certificate: %w", trustkeep.ErrEmpty))
	case len(aliases) > maxImported:
		return nil, failure(op, "", fmt.Errorf("%d entries, at most %d: %w", len(aliases), maxImported, trustkeep.ErrLimit))
	}
	o.Scanner = nil // it has seen the file
	var out []*Component
	for i, alias := range aliases {
		if err := ctx.Err(); err != nil {
			return nil, failure(op, alias, err)
		}
		name := strings.TrimSpace(alias)
		if checkName(name) != nil {
			name = fmt.Sprintf("entry %d", i+1)
		}
		of.Name, of.Alias = name, alias
		made, err := kind.Parse(file, nil, of)
		if err != nil {
			return nil, failure(op, alias, err)
		}
		c, err := create(op, name, made, kind, o)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
