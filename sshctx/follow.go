package sshctx

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/settings"
)

// Definition is where the settings of a named connection are kept, such as those of
// environment.Atom.SSH. See Follow.
type Definition interface {
	// Settings returns the current settings, and the same pointer until they change. Nobody changes
	// what it points to. It is asked on every handshake. An error refuses every host.
	Settings() (*Builder, error)
	// Notify has changed called after each change of the settings, or of the trust that they name, until stop is
	// called, which may be from within it. The context ends what it waits for.
	Notify(changed func(context.Context)) (stop func())
	// String names the connection in errors: "connection c".
	String() string
}

// Follow returns a Builder with the current settings of a definition. A Dialer that is made of it uses
// the settings of each moment, and closes connections to hosts that are no longer trusted by itself. A
// configuration of Client uses the trust and the identities of each moment; where another field has
// changed, such as User, every host is refused with trustkeep.ErrOutdated. A configuration of Server judges
// logins by the settings of each moment.
//
// Fields that are assigned on the Builder no longer follow; all others do. Functions are never
// replaced. Errors are those of Settings, and trustkeep.ErrInvalid for nil and for settings with
// interfaces whose values have no ==.
func Follow(d Definition) (Builder, error) {
	if given.IsNil(d) {
		return Builder{}, &trustkeep.Error{Op: "sshctx: follow", Err: trustkeep.ErrInvalid, Hint: "there is no definition"}
	}
	now, err := d.Settings()
	if err != nil {
		return Builder{}, err
	}
	if what := settings.Differ(now, now); what != "" { // it would be taken for the program's
		return Builder{}, &trustkeep.Error{Op: "sshctx: follow: " + what, Err: trustkeep.ErrInvalid, Hint: "its value cannot be compared; make it a pointer"}
	}
	b := now.detached()
	b.follows = &following{d, now}
	return b, nil
}

// following is a definition, and what a Builder was at first.
type following struct {
	definition Definition
	base       *Builder
}

// detached is the Builder with slices of its own.
func (b Builder) detached() Builder {
	b.Identities, b.Legacy = slices.Clone(b.Identities), slices.Clone(b.Legacy)
	return b
}

// current returns the Builder as it is now, which follows nothing.
func (b Builder) current() (Builder, error) {
	if b.follows == nil {
		return b, nil
	}
	next, err := b.follows.definition.Settings()
	if err != nil {
		return Builder{}, err
	}
	out := settings.Merge(&b, b.follows.base, next)
	out.follows = nil
	return out, nil
}

// orAsItWas is current for explanations.
func (b Builder) orAsItWas() Builder {
	if now, err := b.current(); err == nil {
		return now
	}
	b.follows = nil
	return b
}

// during returns what counts in the midst of a handshake that has begun with other settings.
func (b Builder) during(began Builder) (Builder, error) {
	now, err := b.current()
	if err == nil && b.follows != nil {
		if what := settings.Differ(&began, &now, "Global", "Trusted", "Identities", "Timeout", "Authorized", "ForcesCommands"); what != "" {
			err = fmt.Errorf("the definition of %s has changed, ask again (%s): %w", trustkeep.Printable(b.follows.definition.String()), what, trustkeep.ErrOutdated)
		}
	}
	return now, err
}
