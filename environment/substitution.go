package environment

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Substitution puts a PGP component in the place of another.
type Substitution struct {
	Component string `json:"component"`
	// Process in which it counts; empty for the whole environment. One for a
	// process counts before one for the environment.
	Process string `json:"process,omitempty"`
	// Replacement counts instead. For a process it may be the component itself, which then
	// counts there whatever the environment substitutes.
	Replacement string `json:"replacement"`
}

// Substitute makes the environment, or one process in it, use another PGP component instead
// of one: a partner's production key instead of the test key that the process
// is made with, for example. It takes effect at once, in deployed processes too. If the
// replacement is the component itself, the process goes on with its own although the
// environment substitutes another. An empty replacement ends the substitution.
//
// The error wraps trustkeep.ErrUnsupported unless both are PGP components of the same
// visibility, trustkeep.ErrNotFound for a component or process that does not exist and for a
// substitution to end that is not set, and trustkeep.ErrInvalid for a component in its own place
// in the whole environment.
func (e *Environment) Substitute(ctx context.Context, s Substitution) error {
	if err := checkID("substitute", s.Component); err != nil {
		return err
	}
	slot := e.substitution(s)
	if s.Replacement == "" {
		before, _, err := slot.write(ctx, e.r, to[Substitution](nil))
		if err == nil && before == nil {
			err = fmt.Errorf("nothing is substituted for it: %w", trustkeep.ErrNotFound)
		}
		if err == nil {
			e.tell(ctx, "substitution ended", s.Component, before.describe(), "")
		}
		return failure("substitute", s.Component, err)
	}
	if s.Replacement == s.Component && s.Process == "" {
		return failure("substitute", s.Component, &trustkeep.Error{
			Op: "by itself", Err: trustkeep.ErrInvalid, Hint: "an empty Replacement ends a substitution",
		})
	}
	needs := []string{componentKey(s.Component), componentKey(s.Replacement)}
	c, err := e.r.want(ctx, s.Component, trustkeep.PGP, 0)
	if err == nil {
		_, err = e.r.want(ctx, s.Replacement, trustkeep.PGP, c.Visibility())
	}
	if err == nil && s.Process != "" {
		_, err = e.r.Process(ctx, s.Process)
		needs = append(needs, processKey(s.Process))
	}
	if err != nil {
		return failure("substitute", s.Component, err)
	}
	before, next, err := assignIn(ctx, e, slot, to(&s), needs)
	if err == nil {
		e.tell(ctx, "substitution set", s.Component, before.describe(), next.describe())
	}
	return failure("substitute", s.Component, err)
}

func (s *Substitution) describe() string {
	switch {
	case s == nil:
		return ""
	case s.Process != "":
		return s.Replacement + " in process " + s.Process
	}
	return s.Replacement
}

// substitution is the place of what is substituted for a component, in one process or
// everywhere.
func (e *Environment) substitution(of Substitution) slot[*environmentRecord, Substitution] {
	is := func(s Substitution) bool { return s.Component == of.Component && s.Process == of.Process }
	return environmentSlot(e, func(d *environmentRecord) *Substitution {
		if i := slices.IndexFunc(d.Substitutions, is); i >= 0 {
			s := d.Substitutions[i]
			return &s
		}
		return nil
	}, func(d *environmentRecord, s *Substitution) {
		d.Substitutions = slices.DeleteFunc(d.Substitutions, is)
		if s != nil {
			d.Substitutions = append(d.Substitutions, *s)
		}
	})
}

// Substitutions lists what is substituted, in the order in which that was set. The error
// wraps trustkeep.ErrNotFound if the environment was deleted.
func (e *Environment) Substitutions(ctx context.Context) ([]Substitution, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("substitutions", e.id, err)
	}
	return d.Substitutions, nil
}

// substituted returns the component that counts for another.
func (d *environmentRecord) substituted(component, process string) string {
	out := component
	for _, s := range d.Substitutions {
		switch {
		case s.Component != component:
		case s.Process == "" && out == component:
			out = s.Replacement
		case s.Process != "" && s.Process == process:
			return s.Replacement
		}
	}
	return out
}
