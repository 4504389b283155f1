package keystore

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/redact"
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

// variant returns a copy of the item whose entry change has worked on. The key
// stays as it is stored.
func (it *item) variant(change func(*entry.Entry)) *item {
	e := *it.e
	change(&e)
	return &item{e: &e, password: it.password, set: it.set}
}

// free fails with ErrEmpty or ErrExists unless the alias can be added.
func (k *Keystore) free(op, alias string) error {
	if alias == "" {
		return &trustkeep.Error{Op: op, Err: fmt.Errorf("alias: %w", trustkeep.ErrEmpty)}
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if old := k.byAlias[entry.Fold(alias)]; old != nil {
		return exists(op, alias, old.e.Alias)
	}
	return nil
}

// exchange replaces entries in one step, or changes nothing: each of added
// takes the place of its counterpart in removed, and those without one go to
// the end. It fails with ErrConflict when one of removed is no longer in the
// store and with ErrExists when an alias is taken by another entry.
func (k *Keystore) exchange(op string, removed, added []*item) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	counterpart := make(map[*item]int, len(removed))
	for i, it := range removed {
		counterpart[it] = i
	}
	items := make([]*item, 0, len(k.items)+len(added))
	found := 0
	for _, it := range k.items {
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
		return &trustkeep.Error{Op: op, Alias: removed[0].e.Alias, Err: trustkeep.ErrConflict, Hint: "the store was changed in the meantime"}
	}
	items = append(items, added[min(len(removed), len(added)):]...)

	taken := make(map[string]bool, len(added))
	for _, it := range added {
		folded := entry.Fold(it.e.Alias)
		if it.e.Alias == "" {
			return &trustkeep.Error{Op: op, Err: fmt.Errorf("alias: %w", trustkeep.ErrEmpty)}
		}
		if old := k.byAlias[folded]; old != nil {
			if _, gone := counterpart[old]; !gone {
				return exists(op, it.e.Alias, old.e.Alias)
			}
		}
		if taken[folded] {
			return exists(op, it.e.Alias, it.e.Alias)
		}
		taken[folded] = true
	}
	k.items = items
	k.byAlias = make(map[string]*item, len(items))
	for _, it := range items {
		if folded := entry.Fold(it.e.Alias); k.byAlias[folded] == nil {
			k.byAlias[folded] = it
		}
	}
	k.index.Store(nil)
	return nil
}
