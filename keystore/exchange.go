package keystore

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// newItem makes an entry of an identity under the identity's alias.
func (k *Keystore) newItem(id *Identity, password *redact.Secret) *item {
	it := &item{
		e:        &entry.Entry{Alias: id.alias, Kind: entry.Key, Created: k.now(), Key: &entry.PrivateKey{}, Chain: wrap(id)},
		password: password, set: true,
	}
	it.identity.Store(id)
	return it
}

// exchange replaces entries in one step, or changes nothing: each of added
// takes the place of its counterpart in removed, and those without one go to
// the end. It fails with ErrConflict when one of removed is no longer in the
// store and with ErrExists when an alias is taken by another entry.
func (k *Keystore) exchange(op string, removed, added []*item) error {
	return k.edit(func(s *state) (*state, error) { return s.exchange(op, removed, added) })
}

func (s *state) exchange(op string, removed, added []*item) (*state, error) {
	counterpart := make(map[*item]int, len(removed))
	for i, it := range removed {
		counterpart[it] = i
	}
	items := make([]*item, 0, len(s.items)+len(added))
	found := 0
	for _, it := range s.items {
		i, gone := counterpart[it]
		if gone {
			found++
		}
		switch {
		case !gone:
			items = append(items, it)
		case i < len(added):
			items = append(items, added[i])
		}
	}
	if found < len(removed) {
		return nil, &trustkeep.Error{Op: op, Alias: removed[0].e.Alias, Err: trustkeep.ErrConflict, Hint: "the store was changed in the meantime"}
	}
	items = append(items, added[min(len(removed), len(added)):]...)

	taken := make(map[string]bool, len(added))
	for _, it := range added {
		folded := entry.Fold(it.e.Alias)
		if it.e.Alias == "" {
			return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("no alias: %w", trustkeep.ErrInvalid)}
		}
		if old := s.byAlias[folded]; old != nil {
			if _, gone := counterpart[old]; !gone {
				return nil, exists(op, it.e.Alias, old.e.Alias)
			}
		}
		if taken[folded] {
			return nil, exists(op, it.e.Alias, it.e.Alias)
		}
		taken[folded] = true
	}
	return s.with(items), nil
}
