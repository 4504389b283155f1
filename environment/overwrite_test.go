package environment_test

import (
	"context"
	"errors"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// What tests set, they set whatever there was: like somebody who has just looked.

func (w *world) SetConnection(ctx context.Context, c environment.Connection) error {
	return setConnection(ctx, w.Registry, c)
}

func (w *world) SetProcess(ctx context.Context, p environment.Process) error {
	return setProcess(ctx, w.Registry, p)
}

func (w *world) SetPartner(ctx context.Context, p environment.Partner) error {
	return setPartner(ctx, w.Registry, p)
}

func setConnection(ctx context.Context, r *environment.Registry, c environment.Connection) error {
	if before, err := r.Connection(ctx, c.ID); err == nil {
		c.Revision = before.Revision
	} else if !errors.Is(err, trustkeep.ErrNotFound) && !errors.Is(err, trustkeep.ErrInvalid) {
		return err
	}
	return r.SetConnection(ctx, c)
}

func setProcess(ctx context.Context, r *environment.Registry, p environment.Process) error {
	if before, err := r.Process(ctx, p.ID); err == nil {
		p.Revision = before.Revision
	} else if !errors.Is(err, trustkeep.ErrNotFound) && !errors.Is(err, trustkeep.ErrInvalid) {
		return err
	}
	return r.SetProcess(ctx, p)
}

func setPartner(ctx context.Context, r *environment.Registry, p environment.Partner) error {
	if before, err := r.Partner(ctx, p.ID); err == nil {
		p.Revision = before.Revision
	} else if !errors.Is(err, trustkeep.ErrNotFound) && !errors.Is(err, trustkeep.ErrInvalid) {
		return err
	}
	return r.SetPartner(ctx, p)
}

// override replaces whatever override there is.
func override(ctx context.Context, e *environment.Environment, connection string, o environment.Override) error {
	all, err := e.Overrides(ctx)
	if err != nil {
		return err
	}
	o.Revision = all[connection].Revision
	return e.Override(ctx, connection, o)
}
