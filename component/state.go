package component

import (
	"fmt"
	"math"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// State is a serializable form of a component; Restore reverses it. Private keys in it are
// protected by their password.
type State struct {
	ID       string
	Name     string
	Versions []VersionState
}

// VersionState is one version in a State.
type VersionState struct {
	Number   int
	Replaced time.Time
	Stored
}

// Stored is the content of a version in a State. Each kind uses its own fields.
type Stored = content.Stored

// State returns the component in a form that can be stored, as JSON for example. It shares no
// memory with the component.
func (c *Component) State() State {
	s := State{ID: c.id, Name: c.name, Versions: make([]VersionState, len(c.versions))}
	for i, v := range c.versions {
		s.Versions[i] = VersionState{v.number, v.replaced, v.stored.Clone()}
	}
	return s
}

// Restore makes a component from its state, with the first of the kinds that claims the
// content.
//
// It parses the current version and checks only the outline of the others, which are parsed
// when they are used. Whether an X.509 private key belongs to its certificate is checked when
// the key is opened.
//
// Errors wrap ErrCorrupt for a state that is damaged, contradicts itself, or has a private key
// without a password; ErrUnsupported if no kind claims the content.
func Restore(s State, kinds ...Kind) (*Component, error) {
	c, err := restore(s, kinds)
	if err != nil {
		return nil, failure("restore", s.Name, err)
	}
	return c, nil
}

// maxVersion is the number of the last version that a component can have.
const maxVersion = math.MaxInt32

func restore(s State, kinds []Kind) (*Component, error) {
	if hasNil(kinds) {
		return nil, fmt.Errorf("a nil kind: %w", trustkeep.ErrInvalid)
	}
	if s.ID == "" || len(s.Versions) == 0 {
		return nil, fmt.Errorf("no ID or no version: %w", trustkeep.ErrCorrupt)
	}
	if err := checkName(s.Name); err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err)
	}
	last := s.Versions[len(s.Versions)-1]
	var kind Kind
	for _, k := range kinds {
		if k.Holds(last.Stored) {
			kind = k
			break
		}
	}
	if kind == nil && len(last.Chain)+len(last.Store)+len(last.Data) == 0 {
		return nil, fmt.Errorf("version %d without content: %w", last.Number, trustkeep.ErrCorrupt)
	}
	if kind == nil {
		return nil, fmt.Errorf("content of none of the %d kinds: %w", len(kinds), trustkeep.ErrUnsupported)
	}
	c := &Component{id: s.ID, name: s.Name, kind: kind, versions: make([]*version, len(s.Versions))}
	var visibility trustkeep.Visibility
	for i, v := range s.Versions {
		number := func(err error) error { return fmt.Errorf("version %d: %w", v.Number, err) }
		if v.Number < 1 || v.Number > maxVersion || i > 0 && v.Number <= s.Versions[i-1].Number || !kind.Holds(v.Stored) {
			return nil, number(trustkeep.ErrCorrupt)
		}
		own, err := kind.Outline(v.Stored)
		if err != nil {
			return nil, number(err)
		}
		if i > 0 && own != visibility {
			return nil, number(fmt.Errorf("%s content among %s: %w", own, visibility, trustkeep.ErrCorrupt))
		}
		visibility = own
		c.versions[i] = &version{number: v.Number, replaced: v.Replaced, kind: kind, stored: v.Stored.Clone(), visibility: own}
	}
	var err error
	if c.content, err = c.current().content(); err != nil {
		return nil, fmt.Errorf("version %d: %w", last.Number, err)
	}
	return c, nil
}
