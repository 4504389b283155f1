package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// DateOptions configures Environment.Date.
type DateOptions struct {
	// Memory is a file that remembers the newest index that was dated, so that an older one
	// is refused. Give it to every program that dates. If empty, an index is dated only while
	// it still counts.
	Memory string
}

// Date renews the date of the environment's index, with Options.Signer, a dating key: it says
// that there is no newer one. An index that is not dated for the lifetime that the Authority
// says does not count any more: programs that start refuse it, running ones go on with what
// they have and say so in Atom.Problem. After that an administrator releases it anew, with
// Registry.Complete, unless Memory knows the index.
//
// Errors wrap trustkeep.ErrNotPermitted for another key, trustkeep.ErrUntrusted for an index
// that is forged, older than one that was seen, or does not count any more, and
// trustkeep.ErrUnsupported for a registry without Options.Authority.
func (e *Environment) Date(ctx context.Context, o DateOptions) error {
	return failure("date", e.id, e.date(ctx, o))
}

func (e *Environment) date(ctx context.Context, o DateOptions) error {
	l, err := e.r.ledger()
	if err != nil {
		return err
	}
	c, err := l.control(ctx)
	if err != nil {
		return err
	}
	if err := c.authority.MayDate(l.who, e.id); err != nil {
		return err
	}
	i := c.indexes[e.id]
	if err := cmp.Or(c.problems[documentsKey], c.problems[indexKey(e.id)]); err != nil {
		return err
	}
	if i == nil {
		return &authority.Error{Key: indexKey(e.id), Code: authority.CodeWithheld, Detail: "there is no index of the environment"}
	}
	now, n := l.r.now(), i.statement()
	if err := c.authority.VerifyIndex(i.signed, e.id); err != nil {
		return inRecord(indexKey(e.id), err) // made under an earlier authority
	}
	before := dateOf(c, e.id)
	if before != nil && before.Statement().Index > n.Number {
		return &authority.Error{Key: indexKey(e.id), Code: authority.CodeRolledBack, Detail: fmt.Sprintf("index %d, and number %d was dated", n.Number, before.Statement().Index)}
	}
	seen := remembered{}
	if o.Memory != "" {
		if seen, err = fileMemory(o.Memory).load(); err != nil {
			return err
		}
		if err := seen.check(n.Registry, e.id); err != nil {
			return err
		}
		if n.Number < seen.Index || n.Number == seen.Index && i.signed.Digest() != seen.Digest {
			return &authority.Error{Key: indexKey(e.id), Code: authority.CodeRolledBack, Detail: fmt.Sprintf("index %d, and number %d was dated", n.Number, seen.Index)}
		}
	}
	if before != nil && c.authority.VerifyDate(before, i.signed) != nil {
		before = nil
	}
	if i.signed.Digest() != seen.Digest && !c.authority.FreshUntil(i.signed, before, now).After(now) {
		return &authority.Error{Key: indexKey(e.id), Code: authority.CodeOutdated, Detail: "it does not count any more", Hint: "an administrator releases it anew with Registry.Complete"}
	}
	d, err := authority.Make(authority.Date{
		Registry: n.Registry, Environment: e.id, Authority: c.authority.Number(), Index: n.Number, Digest: i.signed.Digest(),
		Time: now, Expires: now.Add(c.authority.Lifetime(e.id)),
	})
	if err == nil {
		d, err = d.Sign(l.o.Rand, l.signer)
	}
	if err == nil && o.Memory != "" {
		err = fileMemory(o.Memory).save(remembered{Registry: n.Registry, Environment: e.id, Authority: c.authority.Number(), Index: n.Number, Digest: i.signed.Digest()}, now, nil)
	}
	if err == nil {
		_, err = l.inner.Put(ctx, dateKey(e.id), d.Encode(), c.revisions[dateKey(e.id)])
	}
	return err
}

// dateOf reads the date of an environment without verifying it, nil if there is none.
func dateOf(c *control, env string) *authority.Signed[authority.Date] {
	r, ok := c.dates[env]
	if !ok || r.Err != nil {
		return nil
	}
	d, err := authority.Parse[authority.Date](r.Value)
	if err != nil {
		return nil
	}
	return d
}

// outdated tells whether the index of an environment does not count any more.
func (c *control) outdated(env string, now time.Time) bool {
	i := c.indexes[env]
	if env == "" || i == nil {
		return false
	}
	d := dateOf(c, env)
	if d != nil && c.authority.VerifyDate(d, i.signed) != nil {
		d = nil
	}
	return !c.authority.FreshUntil(i.signed, d, now).After(now)
}

// KeepDated calls Date at once and then in this interval until the context ends, and returns
// its error. Failures are logged and tried again with the next. Choose a fraction of the
// lifetime, so that a few may fail. The error wraps trustkeep.ErrInvalid for an interval that
// is none, and is that of Date for a key that may not date.
func (e *Environment) KeepDated(ctx context.Context, interval time.Duration, o DateOptions) error {
	if interval <= 0 {
		return failure("date", e.id, fmt.Errorf("an interval of %v: %w", interval, trustkeep.ErrInvalid))
	}
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		switch err := e.Date(ctx, o); {
		case errors.Is(err, trustkeep.ErrNotPermitted), errors.Is(err, trustkeep.ErrUnsupported):
			return err
		case err != nil && !errors.Is(err, trustkeep.ErrConflict) && ctx.Err() == nil:
			e.r.o.Logger.Error("the index could not be dated", "environment", e.id, "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
