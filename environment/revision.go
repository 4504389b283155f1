package environment

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// Revision names the state of a definition that was read, for whoever writes it back: two writers
// do not lose each other's change. It is opaque, equal for equal states, and empty for what does
// not exist.
type Revision string

// revisionOf names the state of a definition; empty for none.
func revisionOf[V any](v *V) Revision {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "unreadable" // which what was read never is
	}
	sum := sha256.Sum256(text)
	return Revision(base64.RawURLEncoding.EncodeToString(sum[:18]))
}

// replacing is the edit of a writer who has read a revision.
func replacing[V any](read Revision, next *V) edit[V] {
	return func(before *V) (*V, error) {
		switch now := revisionOf(before); {
		case now == read:
			return next, nil
		case read == "":
			return nil, &trustkeep.Error{Op: "create", Err: trustkeep.ErrExists, Hint: "to change it, start from what the registry returns, with its Revision"}
		}
		return nil, &trustkeep.Error{Op: "change", Err: trustkeep.ErrConflict, Hint: "somebody else has changed it since it was read: read it again"}
	}
}

// UpdateConnection changes a connection by a function, which is called again if somebody else was
// faster; an error of it ends the change and is returned. Other errors are those of Connection
// and SetConnection. The function must leave ID as it is; what it does to Revision does not matter.
func (r *Registry) UpdateConnection(ctx context.Context, id string, change func(*Connection) error) error {
	return update(ctx, "update connection", id, change, r.Connection, r.SetConnection,
		func(c *Connection) (string, *Revision) { return c.ID, &c.Revision })
}

// UpdateProcess is UpdateConnection of a process.
func (r *Registry) UpdateProcess(ctx context.Context, id string, change func(*Process) error) error {
	return update(ctx, "update process", id, change, r.Process, r.SetProcess,
		func(p *Process) (string, *Revision) { return p.ID, &p.Revision })
}

// UpdatePartner is UpdateConnection of a partner.
func (r *Registry) UpdatePartner(ctx context.Context, id string, change func(*Partner) error) error {
	return update(ctx, "update partner", id, change, r.Partner, r.SetPartner,
		func(p *Partner) (string, *Revision) { return p.ID, &p.Revision })
}

// UpdateOverride changes the override of a connection by a function, which is called again if
// somebody else was faster. The function gets the zero Override if there is none, and ends the
// override by leaving no field set. An error of it ends the change and is returned. Other errors
// are those of Override.
func (e *Environment) UpdateOverride(ctx context.Context, connection string, change func(*Override) error) error {
	read := func(ctx context.Context, connection string) (Override, error) {
		all, err := e.Overrides(ctx)
		return all[connection], err
	}
	write := func(ctx context.Context, o Override) error {
		if o == (Override{}) {
			return nil // there was none, and is none
		}
		return e.Override(ctx, connection, o)
	}
	return update(ctx, "update override", connection, change, read, write,
		func(o *Override) (string, *Revision) { return connection, &o.Revision })
}

func update[V any](ctx context.Context, op, id string, change func(*V) error, read func(context.Context, string) (V, error),
	write func(context.Context, V) error, parts func(*V) (id string, revision *Revision),
) error {
	if change == nil {
		return failure(op, id, fmt.Errorf("no change: %w", trustkeep.ErrInvalid))
	}
	for range maxAttempts {
		v, err := read(ctx, id)
		if err != nil {
			return err
		}
		_, p := parts(&v)
		revision := *p
		if err := change(&v); err != nil {
			return failure(op, id, err)
		}
		now, p := parts(&v)
		if now != id {
			return failure(op, id, fmt.Errorf("a change of ID: %w", trustkeep.ErrInvalid))
		}
		*p = revision
		err = write(ctx, v)
		if !errors.Is(err, trustkeep.ErrConflict) && !errors.Is(err, trustkeep.ErrExists) || ctx.Err() != nil {
			return err
		}
	}
	return failure(op, id, fmt.Errorf("others were faster %d times: %w", maxAttempts, trustkeep.ErrConflict))
}
