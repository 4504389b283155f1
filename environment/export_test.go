package environment

import (
	"context"
	"crypto/hpke"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// WaitForPasswords bounds how long handshakes wait for a password.
func (a *Atom) WaitForPasswords(d time.Duration) { a.passwordWait = d }

// WriteCopiesBy has the local copy of an atom written by a function, which is given what it was
// written by before.
func (a *Atom) WriteCopiesBy(write func(path string, data []byte, before func(string, []byte) error) error) {
	a.local.mu.Lock()
	defer a.local.mu.Unlock()
	before := a.local.write
	a.local.write = func(path string, data []byte) error { return write(path, data, before) }
}

// PasswordTags returns for each version of a component, by number, the tag of its password:
// the same where the password is the same. Versions whose password is not kept have none.
func (r *Registry) PasswordTags(ctx context.Context, id string) (map[int]string, error) {
	_, d, _, err := r.component(ctx, id)
	if err != nil {
		return nil, failure("password tags", id, err)
	}
	out := make(map[int]string)
	for n, s := range d.Secrets {
		if s.Tag != "" {
			out[n] = s.Tag
		}
	}
	return out, nil
}

// SamePassword tells whether two tags of PasswordTags are of the same password.
func SamePassword(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// SealedState compares what is sealed with what counts: what is missing, and what is sealed
// though it need not be. Components that never were are left out.
func (r *Registry) SealedState(ctx context.Context) (missing, extra []string, err error) {
	v, err := r.list(ctx)
	if err == nil {
		err = v.problem()
	}
	if err != nil {
		return nil, nil, err
	}
	where := v.whereabouts()
	needed := make(map[string][]contentID)
	for id, h := range sortedBy(v.components) {
		if h.component.Visibility() != trustkeep.Private {
			continue
		}
		for _, place := range where.places(id, h.record.outline()) {
			all := v.needs(where, place, id, h.record.outline())
			needed[sealedKey(place, id)] = all
			if !v.holds(place, id, all) {
				missing = append(missing, placeOf(place)+": "+id)
			}
		}
	}
	s := r.newSealer()
	for key, c := range sortedBy(v.sealed) {
		if v.components[c.component] == nil {
			if gone, err := r.wasDeleted(ctx, c.component); err != nil {
				return nil, nil, err
			} else if gone {
				extra = append(extra, placeOf(c.env)+": "+c.component+", which was deleted")
			}
			continue
		}
		if needed[key] == nil {
			extra = append(extra, placeOf(c.env)+": "+c.component)
		}
		for _, one := range c.record.Secrets {
			if needed[key] != nil && !slices.Contains(needed[key], one.contentID) {
				extra = append(extra, fmt.Sprintf("%s: %s, version %d", placeOf(c.env), c.component, one.Version))
			}
		}
		o, err := s.ringOf(ctx, c.env)
		if err != nil {
			return nil, nil, err
		}
		for i := range c.record.Secrets {
			if _, err := o.openSecret(c.component, c.record, i); err != nil {
				return nil, nil, err
			}
		}
	}
	return missing, extra, nil
}

// Openings tries a key on everything in records: each wrapped data key as that of each
// environment, generation and list of recipients, and under whatever that gives each sealed
// password as that of each environment, component, version, number and content. It returns the
// passwords, and for which environment and component each is.
func Openings(key *OpeningKey, records []Record) map[string]string {
	v := newInventory()
	var rings []*ringRecord
	var copies []*sealedCopy
	envs, components := map[string]bool{administrators: true}, make(map[string]bool)
	for _, record := range records {
		kind, env, id := kindOfKey(record.Key)
		envs[env] = true
		switch kind {
		case "components":
			components[id] = true
		case "secrets":
			d := newRingRecord()
			if decode(record, d) == nil {
				rings = append(rings, d)
			}
		case "secrets of component":
			components[id] = true
			c := &sealedCopy{env: env, component: id, record: newSealedRecord()}
			if decode(record, c.record) == nil {
				copies = append(copies, c)
			}
		}
		v.apply(record)
	}
	keys := make(map[string]bool)
	for _, d := range rings {
		for _, list := range rings {
			for _, p := range d.Recipients {
				for env := range envs {
					for generation := range 8 {
						o, err := hpke.NewRecipient(p.Enc, key.key(), hpke.HKDFSHA256(), hpke.AES256GCM(), ringInfo(env, generation))
						if err != nil {
							continue
						}
						if dataKey, err := o.Open(list.digest(), p.Wrapped); err == nil {
							keys[string(dataKey)] = true
						}
					}
				}
			}
		}
	}
	for _, d := range rings {
		for _, f := range d.Former {
			for dataKey := range keys {
				for env := range envs {
					if former, err := openGCM([]byte(dataKey), f.Sealed, formerBinding(env, d.Generation, f.Generation)); err == nil {
						keys[string(former)] = true
					}
				}
			}
		}
	}
	out := make(map[string]string)
	for _, c := range copies {
		for _, one := range c.record.Secrets {
			for dataKey := range keys {
				for env := range envs {
					for id := range components {
						for number := range uint64(40) {
							if p, err := openGCM([]byte(dataKey), one.Sealed, secretBinding(env, id, number, one.contentID)); err == nil {
								out[string(p)] = c.env + ":" + c.component
							}
						}
					}
				}
			}
		}
	}
	return out
}

// StorageOf returns the storage of a registry.
func StorageOf(r *Registry) Storage { return r.storage }

// ForgetAuthority makes an atom, and the registry that it is of, panic when they verify anything.
func ForgetAuthority(a *Atom) {
	a.gate.mu.Lock()
	a.gate.authority = nil
	a.gate.mu.Unlock()
	l := a.r.storage.(*ledger)
	l.mu.Lock()
	l.authority = nil
	l.mu.Unlock()
}
