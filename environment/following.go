package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/trustkeep/trustkeep"
)

// paths are the records that concern the atom: those of the registry, and of its own
// environment. Other environments and atoms, of which there may be thousands, do not.
func (a *Atom) paths() []string {
	paths := []string{
		componentsPrefix, connectionsPrefix, processesPrefix, partnersPrefix,
		environmentKey(a.env), deployedKey(a.env, ""), ringKey(a.env), sealedKey(a.env, ""),
	}
	if a.gate != nil {
		paths = append(paths, a.gate.paths()...)
	} else if a.local != nil && a.r.o.Sealer != nil {
		paths = append(paths, secretsKey) // for a start without storage
	}
	return paths
}

// admit has the gate look at what the storage reports, and returns what may count of it.
func (a *Atom) admit(u Update) (Update, bool) {
	out, ok, changed := a.gate.take(a.closing, u)
	if !changed {
		return out, ok
	}
	if err := a.gate.problem(); err != nil {
		a.o.Logger.Error("the storage is not to be trusted; the atom goes on with what it had", "atom", a.id, "error", err)
	} else {
		a.o.Logger.Info("what the storage has is vouched for again", "atom", a.id)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notify()
	return out, ok
}

// following tells whether changes arrive.
type following struct {
	err     error         // why they do not
	stopped chan struct{} // closed while they do not
}

// begin waits for the first state.
func (a *Atom) begin(ctx context.Context, updates <-chan Update) error {
	var why error
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return errors.Join(why, fs.ErrClosed)
			}
			a.heard(u.Err)
			if why = u.Err; u.Full {
				a.take(u)
				if a.state.Load() == nil {
					return a.gate.problem()
				}
				if u.Err == nil {
					a.hears(a.r.now())
				}
				return nil
			}
		case <-ctx.Done():
			return errors.Join(ctx.Err(), why)
		}
	}
}

func (a *Atom) follow(updates <-chan Update) {
	defer close(a.done)
	for u := range updates {
		changed := a.take(u)
		if u.Err == nil {
			a.hears(a.r.now())
		}
		a.heard(u.Err) // wakes those who wait for what is above
		if changed && a.o.OnChange != nil {
			a.o.OnChange()
		}
	}
	a.heard(fs.ErrClosed)
}

// heard takes over what an update says of the storage. One goroutine calls it at a time.
func (a *Atom) heard(err error) {
	a.mu.Lock()
	before := a.following.err
	a.mu.Unlock()
	switch {
	case err == nil && before == nil, errors.Is(before, fs.ErrClosed): // of which there is no end
		return
	case err == nil:
		a.o.Logger.Info("the atom follows changes again", "atom", a.id)
	case a.closing.Err() != nil:
	case before == nil || before.Error() != err.Error():
		a.o.Logger.Error("the atom no longer follows changes; it goes on with what it had", "atom", a.id, "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.following.err = err; {
	case before == nil:
		close(a.following.stopped)
	case err == nil:
		a.following.stopped = make(chan struct{})
	}
	a.notify()
}

// notify wakes those who wait for a change. The caller holds the lock.
func (a *Atom) notify() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Stopped returns a channel that is closed when changes no longer arrive: the storage
// cannot be reached or was closed, or the atom was. Problem says why. If the channel is
// closed and changes arrive again, Stopped returns a new one.
func (a *Atom) Stopped() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.following.stopped
}

// Problem says why changes do not arrive, if they do not, whether the environment was
// deleted, and which records are damaged; the atom keeps using their last good versions.
// It is nil if all is well.
func (a *Atom) Problem() error {
	a.mu.Lock()
	err := a.following.err
	a.mu.Unlock()
	if err != nil {
		err = failure("follow", a.id, err)
	}
	if a.gate != nil {
		err = errors.Join(err, a.gate.problem())
	}
	if a.local != nil {
		err = errors.Join(err, a.local.problem())
	}
	v := a.state.Load()
	return errors.Join(err, a.ageProblem(), v.gone(a.env), v.problem())
}

// gone is the error of an atom whose environment does not exist any more.
func (v *inventory) gone(env string) error {
	if v.environments[env] != nil || v.damaged[environmentKey(env)] != nil {
		return nil
	}
	return failure("follow", env, fmt.Errorf("the environment was deleted: %w", trustkeep.ErrNotFound))
}
