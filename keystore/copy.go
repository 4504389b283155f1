package keystore

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

const opCopy = "keystore: copy"

// CopyFrom adds entries of another store: those with the aliases, or all if none is given. It
// unlocks the keys with the passwords that the other store knows; saving protects them with
// this store's password. If it fails, nothing changes.
//
// Errors: ErrExists if an alias is taken (Rename one of the two); ErrNotFound; ErrUnsupported
// for an entry that is not understood, between stores of different formats; ErrInvalid for a
// nil store; the errors of unlocking a key.
func (k *Keystore) CopyFrom(other *Keystore, aliases ...string) error {
	if other == nil {
		return &trustkeep.Error{Op: opCopy, Err: fmt.Errorf("nil keystore: %w", trustkeep.ErrInvalid)}
	}
	return k.copyFrom(other, nil, aliases...)
}

// copyFrom asks spend for what opening keys costs. If nil, it is an operation of its own.
func (k *Keystore) copyFrom(other *Keystore, spend limits.Spender, aliases ...string) error {
	copies, err := other.copies(opCopy, k.Format(), aliases, spend)
	if err != nil {
		return err
	}
	return k.exchange(opCopy, nil, copies)
}

func (k *Keystore) copies(op string, to trustkeep.Format, aliases []string, spend limits.Spender) ([]*item, error) {
	var (
		from      trustkeep.Format
		items     []*item
		passwords []*redact.Secret
		errs      []error
		missing   error
	)
	k.look(func(s *state) {
		from, items = s.format, s.items
		if spend == nil {
			spend = s.operation()
		}
		if len(aliases) > 0 {
			items = make([]*item, len(aliases))
			for i, alias := range aliases {
				if items[i], missing = s.find(op, alias); missing != nil {
					return
				}
			}
		}
		passwords, errs = make([]*redact.Secret, len(items)), make([]error, len(items))
		for i, it := range items {
			passwords[i], errs[i] = s.credential(it, nil, false)
		}
	})
	if missing != nil {
		return nil, missing
	}
	copies := make([]*item, len(items))
	entry.Parallel(len(items), func(i int) {
		defer passwords[i].Wipe()
		if errs[i] == nil {
			copies[i], errs[i] = items[i].copyOf(passwords[i].Bytes(), from == to, spend)
		}
	})
	for i, err := range errs {
		if err != nil {
			return nil, &trustkeep.Error{Op: op, Path: k.Path(), Format: string(from), Alias: items[i].e.Alias, Err: err}
		}
	}
	return copies, nil
}

// copyOf makes an entry of its own, free of the password of the store that it
// came from.
func (it *item) copyOf(password []byte, sameFormat bool, spend limits.Spender) (*item, error) {
	if it.e.Kind == entry.Opaque && !sameFormat {
		return nil, fmt.Errorf("opaque entry into another format: %w", trustkeep.ErrUnsupported)
	}
	if it.e.Key == nil {
		return it.variant(func(*entry.Entry) {}), nil
	}
	next, err := it.opened(password, spend)
	if err != nil {
		return nil, err
	}
	next.password, next.was = nil, nil
	next.own.Store(false)
	return next, nil
}
