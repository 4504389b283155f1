package component

import (
	"fmt"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// Draft is a component that somebody has opened to change it: in an editor, say, or in a
// program that renews it. Changes are made to the draft and count when they are saved;
// Close tells whether any would be lost, such as a password that was changed and is not
// stored yet.
//
// It is safe for concurrent use; changes and saving wait for each other, so the functions
// that are called for them must not use the draft themselves.
type Draft struct {
	mu      sync.Mutex
	current *Component
	changed bool
	closed  bool
	save    func(*Component) error
}

// NewDraft opens a component. save stores it, and is called by Save alone; if nil, Save of a
// changed draft fails with an error that wraps ErrInvalid.
func NewDraft(c *Component, save func(*Component) error) *Draft {
	return &Draft{current: c, save: save}
}

// Component returns the component with all changes so far.
func (d *Draft) Component() *Component {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// Change replaces the component by what change makes of it, such as its methods
// Reimport, Rename or ChangePassword. When change fails, the draft stays as it was.
// After Close, and for a change that returns no component, the error wraps ErrInvalid.
func (d *Draft) Change(change func(*Component) (*Component, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("component: the draft is closed: %w", trustkeep.ErrInvalid)
	}
	if d.current == nil || change == nil {
		return fmt.Errorf("component: draft: no component or no change: %w", trustkeep.ErrInvalid)
	}
	next, err := change(d.current)
	if err == nil && next == nil {
		err = fmt.Errorf("component: draft: the change returned no component: %w", trustkeep.ErrInvalid)
	}
	if err != nil {
		return err
	}
	d.current, d.changed = next, true
	return nil
}

// Unsaved reports whether there are changes that were not saved.
func (d *Draft) Unsaved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Save stores the component, if it was changed. When that fails the changes are still
// unsaved.
func (d *Draft) Save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.changed {
		return nil
	}
	if d.save == nil {
		return fmt.Errorf("component: a draft that cannot be saved: %w", trustkeep.ErrInvalid)
	}
	if err := d.save(d.current); err != nil {
		return err
	}
	d.changed = false
	return nil
}

// Close ends the draft. With unsaved changes it fails with an error that wraps
// ErrUnsaved and leaves the draft open, so that it can still be saved, or discarded.
func (d *Draft) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed {
		return &trustkeep.Error{
			Op: "close component", Alias: d.current.Name(), Err: trustkeep.ErrUnsaved,
			Hint: "save the component, or discard the changes",
		}
	}
	d.closed = true
	return nil
}

// Discard ends the draft and gives up what was not saved.
func (d *Draft) Discard() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed, d.closed = false, true
}
