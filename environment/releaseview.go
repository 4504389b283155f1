package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// view is what a registry has at one moment, as far as it can be trusted.
type view struct {
	c   *control
	at  map[string]*state // by key
	inv *inventory
}

func (v *view) clone() *view {
	c := *v.c
	c.indexes, c.revisions = maps.Clone(c.indexes), maps.Clone(c.revisions)
	return &view{c: &c, at: maps.Clone(v.at), inv: v.inv.clone()}
}

// view reads everything. Where the current version of a record is not to be trusted, the one
// that an index lists takes its place, if the storage still has it.
func (l *ledger) view(ctx context.Context) (*view, error) {
	c, err := l.control(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.inner.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := c.unread(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	v := &view{c: c, at: make(map[string]*state), inv: newInventory()}
	if last != nil {
		v.inv = last.inv.clone()
	}
	for _, raw := range all {
		if _, _, signed := changeOf(raw.Key); !signed {
			continue
		}
		s := parsedBefore(raw, last)
		if s.err == nil {
			s.err = c.trusts(ctx, l, s)
		}
		if s.err != nil {
			if err := l.fallBack(ctx, c, s); err != nil {
				return nil, err
			}
		}
		v.set(s, last)
	}
	for key, e := range c.all() {
		if v.at[key] != nil {
			continue
		}
		s := &state{key: key}
		if e.Deleted {
			s.entry = e // cleaned up
		} else {
			s.err = withheld(key, e)
			if err := l.fallBack(ctx, c, s); err != nil {
				return nil, err
			}
		}
		v.set(s, last)
	}
	if last != nil {
		for key := range last.at {
			if v.at[key] == nil {
				v.inv.update(Update{Records: []Record{{Key: key, Deleted: true}}})
			}
		}
	}
	// Whoever may change a record may have lost that right where it counts by now.
	for _, env := range v.environments() {
		for key := range v.counted(env) {
			s := v.at[key]
			if s == nil || s.signed == nil || s.err != nil {
				continue
			}
			if err := v.rightful(s, env); err != nil {
				s.err = fmt.Errorf("environment: record %s: %w: %w", key, trustkeep.ErrUntrusted, err)
				if err := l.fallBack(ctx, c, s); err != nil {
					return nil, err
				}
				v.set(s, nil)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.authority == c.authority {
		l.last = v.clone()
	}
	return v, nil
}

// parsedBefore is parsed, of what was read before without parsing it again.
func parsedBefore(raw Record, last *view) *state {
	if last != nil {
		if s := last.at[raw.Key]; s != nil && s.signed != nil && s.err == nil && s.text != nil && string(s.text) == string(raw.Value) {
			own := *s
			own.revision = raw.Revision
			return &own
		}
	}
	return parsed(raw)
}

// set takes over a state. Where last, if not nil, has the same, the inventory has it.
func (v *view) set(s *state, last *view) {
	v.at[s.key] = s
	if last != nil && last.at[s.key] != nil && last.at[s.key].digest() == s.digest() {
		return
	}
	r := Record{Key: s.key, Deleted: s.deleted() || s.signed == nil, Revision: s.revision}
	if !r.Deleted {
		r.Value = s.signed.Statement().Document
	}
	v.inv.update(Update{Records: []Record{r}})
}

// fallBack puts the version that an index lists in the place of one that is not to be
// trusted. s.err stays.
func (l *ledger) fallBack(ctx context.Context, c *control, s *state) error {
	s.signed, s.entry = nil, authority.Entry{}
	e, ok := c.known(s.key)
	if !ok {
		return nil
	}
	if e.Deleted {
		s.entry = e
		return nil
	}
	versions, err := l.inner.Versions(ctx, s.key)
	if err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
		return err
	}
	for _, raw := range slices.Backward(versions) {
		if raw.Deleted || raw.Err != nil {
			continue
		}
		if old := parsed(raw); old.err == nil && old.vouch() == e {
			s.signed = old.signed
			return nil
		}
	}
	return nil
}

// environments are those that there are, and those that have an index.
func (v *view) environments() []string {
	all := make(map[string]bool)
	for env := range v.inv.environments {
		all[env] = true
	}
	for env := range v.c.indexes {
		if env != "" {
			all[env] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// counted are the records that the index of an environment lists.
func (v *view) counted(env string) map[string]bool {
	out := v.inv.counts(env)
	if out == nil {
		return nil
	}
	own := ringKey(env)
	for key := range v.at {
		if key == secretsKey || key == own || strings.HasPrefix(key, own+"/") {
			out[key] = true
		}
	}
	return out
}

// within are the environments in which a record counts.
func (v *view) within(key string) map[string]bool {
	out := make(map[string]bool)
	for _, env := range v.environments() {
		if v.counted(env)[key] {
			out[env] = true
		}
	}
	if _, env, _ := changeOf(key); env != "" {
		out[env] = true
	}
	return out
}

// rightful tells whether a record may be listed in the index of an environment: the index
// vouches for it already, or its signer may make such changes there.
func (v *view) rightful(s *state, env string) error {
	if v.c.released(env, s.vouch()) || s.deleted() {
		return nil
	}
	kind, _, _ := changeOf(s.key)
	return v.c.authority.May(s.signed.Statement().Signer, kind, env)
}

// entries are those of the index of an environment as it should be, "" being the registry.
func (v *view) entries(env string) ([]authority.Entry, error) {
	out := []authority.Entry{}
	before := v.c.indexes[env].statement()
	counted := v.counted(env)
	for key, s := range v.at {
		_, has := before.Find(key)
		switch {
		case env != "" && !counted[key] && !(has && s.deleted()):
			continue
		case s.digest().IsZero() && has:
			return nil, s.err // withheld, and what it holds is not known
		case s.digest().IsZero():
			continue
		case env != "" && s.err == nil && !s.deleted():
			if err := v.rightful(s, env); err != nil {
				return nil, err
			}
		}
		out = append(out, s.vouch())
	}
	slices.SortFunc(out, func(a, b authority.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// pending are the keys of the records that are in an index in another version.
func (v *view) pending() []string {
	var out []string
	for key, s := range v.at {
		if s.err != nil {
			continue
		}
		wrong := !v.c.released("", s.vouch())
		for env := range v.within(key) {
			wrong = wrong || !v.c.released(env, s.vouch())
		}
		if wrong {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
