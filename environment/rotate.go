package environment

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// Successor returns what the next Authority is made of: the same Document with the next number
// and the indexes that there are. Change it, have it signed by the thresholds of root keys of
// both, see authority.Make, and give it to Rotate before anything else is changed.
//
// The error wraps trustkeep.ErrUntrusted if one of the indexes is not to be trusted, and
// trustkeep.ErrUnsupported for a registry without Options.Authority.
func (r *Registry) Successor(ctx context.Context) (authority.Document, error) {
	l, err := r.ledger()
	if err != nil {
		return authority.Document{}, failure("successor", "", err)
	}
	c, err := l.control(ctx)
	if err == nil {
		for _, key := range slices.Sorted(maps.Keys(c.problems)) {
			err = cmp.Or(err, c.problems[key])
		}
	}
	if err != nil {
		return authority.Document{}, failure("successor", "", err)
	}
	d := c.authority.Next()
	d.Indexes = c.digests()
	return d, nil
}

// digests are those of the indexes, by environment.
func (c *control) digests() map[string]authority.Digest {
	out := make(map[string]authority.Digest)
	for env, i := range c.indexes {
		out[env] = i.signed.Digest()
	}
	return out
}

// Rotate makes a successor of the Authority count, see Successor: with other keys, grants or
// roles. What an index vouches for stays valid, whoever signed it; what no
// index vouches for, and somebody signed who has no longer the right to, is signed anew. Then
// the indexes are released under the successor. Atoms and registries follow by themselves.
//
// Environments that the signer cannot release alone keep their last state until
// Registry.Propose has made their indexes anew: the error says which, wraps
// trustkeep.ErrNotPermitted, and the successor counts all the same. Rotate can be called again
// with the same successor, by another program too. It wraps trustkeep.ErrConflict, and changes
// nothing, if an index was made since Successor: have a new one signed. Other errors are those of
// authority.Authority.Follow.
func (r *Registry) Rotate(ctx context.Context, successor []byte) error {
	l, err := r.ledger()
	if err == nil {
		err = l.rotate(ctx, successor)
	}
	return failure("rotate", "", err)
}

func (l *ledger) rotate(ctx context.Context, successor []byte) error {
	v, err := l.view(ctx)
	if err != nil {
		return err
	}
	before := v.c.authority
	next := before
	if d, err := authority.Parse[authority.Document](successor); err != nil {
		return err
	} else if d.Digest() != before.Digest() {
		if next, err = before.Follow(successor); err != nil {
			return err
		}
	}
	if l.who == "" {
		return next.MayRelease("", "")
	}
	if listed := next.Document().Indexes; next != before && !maps.Equal(listed, v.c.digests()) {
		return &trustkeep.Error{Op: "authority", Err: trustkeep.ErrConflict, Hint: "it does not list the indexes that there are now: make it with Registry.Successor, and have it signed again"}
	}
	// While the one before still counts: nobody may lose sight of a record in between.
	for _, key := range slices.Sorted(maps.Keys(v.at)) {
		s := v.at[key]
		if s.signed == nil || s.err != nil || v.stays(s, next) {
			continue
		}
		kind, _, _ := changeOf(key)
		if err := next.May(l.who, kind, slices.Sorted(maps.Keys(v.within(key)))...); err != nil {
			return err
		}
		var document []byte
		if !s.deleted() {
			document = s.signed.Statement().Document
		}
		own, err := l.sign(v, s, document)
		if err != nil {
			return err
		}
		if own.revision, err = l.write(ctx, key, own.text, s.revision, v.inv.filesOf(key)); err != nil {
			return err
		}
		v.at[key] = own
	}
	if next != before {
		if err := l.succeed(ctx, v.c, next); err != nil {
			return err
		}
	}
	v.c.authority = next
	if err := l.release(ctx, v, nil); err != nil {
		return err
	}
	if v, err = l.view(ctx); err != nil {
		return err
	}
	var left []error
	for _, env := range v.environments() {
		if v.c.indexes[env].statement().Authority != next.Number() {
			left = append(left, cmp.Or(l.releases(v.c, env), fmt.Errorf("environment %s: %w", env, trustkeep.ErrConflict)))
		}
	}
	if next != before {
		l.r.tell(ctx, Event{Action: "authority rotated", Object: next.Registry(), Before: fmt.Sprint(before.Number()), After: fmt.Sprint(next.Number())})
	}
	return errors.Join(left...)
}

// stays tells whether a record is valid under the next authority too.
func (v *view) stays(s *state, next *authority.Authority) bool {
	own := s.vouch()
	in := v.c.listing(s.key)
	if len(in) > 0 && !slices.ContainsFunc(in, func(env string) bool { return !v.c.released(env, own) }) {
		return true
	}
	kind, env, _ := changeOf(s.key)
	if env != "" && len(in) == 0 {
		in = []string{env}
	}
	return next.VerifyRecord(s.signed, s.key) == nil && next.May(s.signed.Statement().Signer, kind, in...) == nil
}

// succeed adds an authority to the chain of successors.
func (l *ledger) succeed(ctx context.Context, c *control, next *authority.Authority) error {
	documents := chain{Documents: []json.RawMessage{}}
	raw, err := l.inner.Get(ctx, documentsKey)
	switch {
	case err == nil:
		if err := json.Unmarshal(raw.Value, &documents); err != nil {
			return fmt.Errorf("environment: record %s: %w", documentsKey, trustkeep.ErrCorrupt)
		}
	case !errors.Is(err, trustkeep.ErrNotFound):
		return err
	}
	documents.Documents = append(documents.Documents, next.Encode())
	text, err := json.Marshal(documents)
	if err == nil {
		_, err = l.inner.Put(ctx, documentsKey, text, c.revisions[documentsKey])
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if next.Number() > l.authority.Number() {
		l.authority, l.last = next, nil
	}
	return nil
}
