package keystore

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
	"github.com/trustkeep/trustkeep/internal/entry"
)

// ComponentState is a component in a form that can be stored, for example as JSON.
// Private keys are in it as they are kept: under their password.
type ComponentState struct {
	ID       string
	Name     string
	Versions []RevisionState
}

// RevisionState is one version in a ComponentState.
type RevisionState struct {
	Number   int
	Replaced time.Time
	// Chain is the DER of the certificates, the component's own first.
	Chain [][]byte
	// Store is the PKCS#12 store with the private key; empty for public components.
	Store []byte `json:",omitempty"`
}

// State returns what RestoreComponent makes the component of again.
func (c *Component) State() ComponentState {
	s := ComponentState{ID: c.id, Name: c.name}
	for _, r := range c.versions {
		v := RevisionState{Number: r.number, Replaced: r.replaced, Store: bytes.Clone(r.store)}
		for _, der := range r.chain {
			v.Chain = append(v.Chain, bytes.Clone(der))
		}
		s.Versions = append(s.Versions, v)
	}
	return s
}

// RestoreComponent makes a component of its stored state. The error wraps ErrCorrupt
// when the state contradicts itself. Whether a private key belongs to its certificate is
// found out when it is opened.
func RestoreComponent(s ComponentState) (*Component, error) {
	if s.ID == "" || len(s.Versions) == 0 {
		return nil, componentError("restore", s.Name, fmt.Errorf("no ID or no version: %w", trustkeep.ErrCorrupt))
	}
	if err := component.CheckName(s.Name); err != nil {
		return nil, componentError("restore", s.Name, fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err))
	}
	c := &Component{id: s.ID, name: s.Name}
	for i, v := range s.Versions {
		if v.Number < 1 || v.Number > math.MaxInt32 || i > 0 && v.Number <= s.Versions[i-1].Number || len(v.Chain) == 0 ||
			(len(v.Store) > 0) != (len(s.Versions[0].Store) > 0) || slices.ContainsFunc(v.Chain, notACertificate) {
			return nil, componentError("restore", s.Name, fmt.Errorf("version %d: %w", v.Number, trustkeep.ErrCorrupt))
		}
		chain := make([][]byte, len(v.Chain))
		for j, der := range v.Chain {
			chain[j] = bytes.Clone(der)
		}
		r := newRevision(chain, nil)
		if len(v.Store) > 0 {
			r.store = bytes.Clone(v.Store)
		}
		r.number, r.replaced = v.Number, v.Replaced
		c.versions = append(c.versions, r)
	}
	return c, nil
}

func notACertificate(der []byte) bool {
	_, ok := entry.NewCertificate(der).Outline()
	return !ok
}
