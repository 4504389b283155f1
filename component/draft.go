package component

import (
	"fmt"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// Draft is a component opened for changes, in an editor for example. Save stores the changes.
// Close fails while changes are unsaved, such as a new password that is stored nowhere else.
//
// It is safe for concurrent use. Changes and saves run one at a time, so the functions passed
// to a draft must not use the draft.
type Draft struct {
	mu             sync.Mutex
	saved, current *Component
	closed         bool
	save           func(*Component) error
}

// NewDraft opens a component. Save calls save to store it; if save is nil, Save of a changed
// draft fails with ErrInvalid.
func NewDraft(c *Component, save func(*Component) error) *Draft {
	return &Draft{saved: c, current: c, save: save}
}

func (d *Draft) changed() bool { return !d.current.Equal(d.saved) }

// Component returns the component with all changes so far.
func (d *Draft) Component() *Component {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// Change replaces the component by the result of change, which calls methods such as Reimport,
// Rename or ChangePassword. If change fails, the draft stays as it was. After Close, and if
// change returns no component, the error wraps ErrInvalid. A change that changes nothing, or
// takes another one back, leaves nothing to save; see Component.Equal.
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
	d.current = next
	return nil
}

// Unsaved reports whether there are unsaved changes.
func (d *Draft) Unsaved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed()
}

// Save stores the component if it was changed. If that fails, the changes stay unsaved.
func (d *Draft) Save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.changed() {
		return nil
	}
	if d.save == nil {
		return fmt.Errorf("component: a draft that cannot be saved: %w", trustkeep.ErrInvalid)
	}
	if err := d.save(d.current); err != nil {
		return err
	}
	d.saved = d.current
	return nil
}

// Close ends the draft. With unsaved changes the error wraps ErrUnsaved and the draft stays
// open: save or discard it.
func (d *Draft) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed() {
		return &trustkeep.Error{
			Op: "close component", Alias: d.current.Name(), Err: trustkeep.ErrUnsaved,
			Hint: "save the component, or discard the changes",
		}
	}
	d.closed = true
	return nil
}

// Discard ends the draft and drops unsaved changes.
func (d *Draft) Discard() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saved, d.closed = d.current, true
}
