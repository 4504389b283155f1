package component

import (
	"bytes"
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
	// Pending are the requests that have not been answered, the newest last, and LastRequest
	// the number of the last one ever made.
	Pending     []PendingState `json:",omitempty"`
	LastRequest int            `json:",omitempty"`
}

// VersionState is one version in a State.
type VersionState struct {
	Number   int
	Replaced time.Time
	Stored
}

// PendingState is a request in a State: the request in PEM, and the key that waits for the
// reply, under its password. A key of X.509 is stored with a certificate that it has signed
// itself, which counts for nothing.
type PendingState struct {
	Number  int
	Made    time.Time
	Request []byte
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
	s.LastRequest = c.lastAsk
	for _, p := range c.pending {
		s.Pending = append(s.Pending, PendingState{p.number, p.made, bytes.Clone(p.request), p.key.stored.Clone()})
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
	if s.ID == "" || len(s.Versions)+len(s.Pending) == 0 {
		return nil, fmt.Errorf("no ID, or neither a version nor a request: %w", trustkeep.ErrCorrupt)
	}
	if err := checkName(s.Name); err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err)
	}
	kind, err := kindOf(s, kinds)
	if err != nil {
		return nil, err
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
	if err := c.restorePending(s); err != nil {
		return nil, err
	}
	if c.current() == nil {
		c.content = awaited{c.pending[len(c.pending)-1], kind}
		return c, nil
	}
	if c.content, err = c.current().content(); err != nil {
		return nil, fmt.Errorf("version %d: %w", c.Version(), err)
	}
	if len(c.pending) > 0 && c.content.Visibility() != trustkeep.Private {
		return nil, fmt.Errorf("requests of a public component: %w", trustkeep.ErrCorrupt)
	}
	return c, nil
}

// kindOf returns the first of the kinds that claims the content of a state.
func kindOf(s State, kinds []Kind) (Kind, error) {
	var last Stored
	what := "version"
	number := 0
	if n := len(s.Versions); n > 0 {
		last, number = s.Versions[n-1].Stored, s.Versions[n-1].Number
	} else {
		n := len(s.Pending)
		what, last, number = "request", s.Pending[n-1].Stored, s.Pending[n-1].Number
	}
	for _, k := range kinds {
		if k.Holds(last) {
			return k, nil
		}
	}
	if len(last.Chain)+len(last.Store)+len(last.Data) == 0 {
		return nil, fmt.Errorf("%s %d without content: %w", what, number, trustkeep.ErrCorrupt)
	}
	return nil, fmt.Errorf("content that none of the %d kinds holds: %w", len(kinds), trustkeep.ErrUnsupported)
}

// restorePending checks only the outline of keys, as that of former versions.
func (c *Component) restorePending(s State) error {
	c.lastAsk = s.LastRequest
	if len(s.Pending) > maxPending {
		return fmt.Errorf("%d requests: %w", len(s.Pending), trustkeep.ErrCorrupt)
	}
	for i, p := range s.Pending {
		number := func(err error) error { return fmt.Errorf("request %d: %w", p.Number, err) }
		if p.Number < 1 || p.Number > s.LastRequest || i > 0 && p.Number <= s.Pending[i-1].Number || len(p.Request) == 0 || !c.kind.Holds(p.Stored) {
			return number(trustkeep.ErrCorrupt)
		}
		visibility, err := c.kind.Outline(p.Stored)
		if err != nil {
			return number(err)
		}
		if visibility != trustkeep.Private {
			return number(fmt.Errorf("no private key: %w", trustkeep.ErrCorrupt))
		}
		c.pending = append(c.pending, &pending{p.Number, p.Made, bytes.Clone(p.Request), &version{kind: c.kind, stored: p.Stored.Clone(), visibility: visibility}})
	}
	return nil
}
