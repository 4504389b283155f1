package environment

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Renew replaces the content of a private component by what a source makes, such as a new
// key or a renewed certificate, see component.Component.Renew. The password may be left out
// where it is kept.
//
// The source is asked once, and so is the CA that it asks. If somebody else changes the
// component meanwhile, its name or password for instance, what was made is written over that.
// The error wraps trustkeep.ErrConflict if they have replaced the content.
func (r *Registry) Renew(ctx context.Context, id string, source component.Source, o ComponentOptions) (*component.Component, error) {
	given := o.protection()
	if o.Password == nil {
		o.Password = r.keptPassword(ctx, id)
	}
	once := &onceSource{source: source}
	defer once.forget()
	return r.Update(ctx, id, given, func(c *component.Component) (*component.Component, error) {
		return c.Renew(ctx, once, r.options(o))
	})
}

// keptPassword asks for the password of a component when it is needed.
func (r *Registry) keptPassword(ctx context.Context, id string) trustkeep.PasswordSource {
	return trustkeep.PasswordFunc(func() ([]byte, error) {
		kept, err := r.Password(ctx, id)
		if err != nil {
			return nil, err
		}
		return kept.Reveal()
	})
}

// onceSource asks a source once, however often a change is made anew.
type onceSource struct {
	source   component.Source
	made     component.Content
	replaced string         // the fingerprint that made takes the place of
	under    *redact.Secret // the password of made
}

func (s *onceSource) forget() { s.under.Wipe() }

// MakeContent implements component.Source.
func (s *onceSource) MakeContent(ctx context.Context, before component.Content, o content.Options) (component.Content, error) {
	if s.made != nil {
		if before.Fingerprint() != s.replaced {
			return nil, &trustkeep.Error{Op: "renew", Err: trustkeep.ErrConflict, Hint: "somebody else has replaced the content meanwhile"}
		}
		return s.again(o)
	}
	if given.IsNil(s.source) {
		return nil, fmt.Errorf("no source: %w", trustkeep.ErrInvalid)
	}
	made, err := s.source.MakeContent(ctx, before, o)
	if err != nil || made == nil {
		return nil, err
	}
	if p := o.Protection(); p != nil && made.Visibility() == trustkeep.Private {
		password, err := p.Reveal()
		if err != nil {
			return nil, err
		}
		s.under = redact.NewSecret(password)
		clear(password)
	}
	s.made, s.replaced = made, before.Fingerprint()
	return made, nil
}

// again returns what was made, under the password that the component has by now.
func (s *onceSource) again(o content.Options) (component.Content, error) {
	if s.under == nil || !errors.Is(s.made.CheckPassword(o.Protection()), trustkeep.ErrIncorrectPassword) {
		return s.made, nil
	}
	o.NewPassword = o.Protection()
	o.Password = trustkeep.PasswordFunc(func() ([]byte, error) { return append([]byte{}, s.under.Bytes()...), nil })
	return s.made.ChangePassword(o)
}
