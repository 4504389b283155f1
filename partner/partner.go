// Package partner keeps the old and the new keys or certificates of one trading partner side
// by side, so that keys change without an agreed minute: sending uses the newest valid one,
// receiving accepts all.
//
// Most programs need five names: [Set], [Member], [Set.Add], [Set.Send] and [Set.Resolve].
//
//	keys := new(partner.Set[*pgp.Key])
//	err := keys.Add(partner.Member[*pgp.Key]{Item: old, Uses: partner.Encrypt | partner.Verify})
//	err = keys.Add(partner.Member[*pgp.Key]{Item: fresh, Uses: partner.Encrypt | partner.Verify, PreferredFrom: agreed})
//	to, err := keys.Send(partner.Encrypt, time.Now())
//	from, err := keys.Resolve(partner.Verify, time.Now())
//
// An item is any type with a fingerprint and a validity, such as a key or a component.
package partner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Item is a key or certificate in a Set.
type Item interface {
	// Fingerprint identifies the content.
	Fingerprint() string
	// NotBefore and NotAfter bound the validity. A zero NotAfter means that
	// the item does not expire.
	NotBefore() time.Time
	NotAfter() time.Time
}

// revocable is an Item that can be revoked. A revoked item is never used to
// send, and is still returned for receiving: the verification says what it is
// worth.
type revocable interface{ Revoked() bool }

// divided is an Item with parts of their own validity: a PGP key, whose encryption subkey
// may expire before it. Parts that are not listed for a use make the item useless for it.
type divided interface{ Parts() []trustkeep.Part }

// Use is a purpose of an item in exchanges with a partner.
type Use uint16

// The uses. Combine them with | in Member.Uses.
const (
	// Encrypt what is sent to the partner: the partner's certificate.
	Encrypt Use = 1 << iota
	// Sign what is sent: our key.
	Sign
	// Decrypt what arrives: our keys.
	Decrypt
	// Verify what arrives: the partner's certificates.
	Verify
	// SignMDN signs the receipts that we send (AS2, RFC 4130 section 7).
	SignMDN
	// VerifyMDN verifies the receipts that arrive.
	VerifyMDN
	// ClientTLS proves our identity to the partner's server.
	ClientTLS
	// VerifyTLS verifies the partner's TLS servers and clients: their certificates.
	VerifyTLS
)

// sends are the uses for which one item has to be chosen.
const sends = Encrypt | Sign | SignMDN | ClientTLS

// String returns the names of the uses joined by "|".
func (u Use) String() string {
	var names []string
	for i, name := range []string{"encrypt", "sign", "decrypt", "verify", "sign-mdn", "verify-mdn", "client-tls", "verify-tls"} {
		if u&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// Member is an item and its place in a set.
type Member[T Item] struct {
	Item T
	// Uses of the item.
	Uses Use
	// PreferredFrom is when sending switches to the item although an older one is still valid:
	// the day agreed with the partner. If zero, as soon as the item is valid. Receiving
	// ignores it.
	PreferredFrom time.Time
	// Variant separates members for different systems of one partner, such as "test" and
	// "production". See Set.Variant.
	Variant string
}

// Set holds the items of one partner. The zero Set is empty and ready for use. It is safe for
// concurrent use.
type Set[T Item] struct {
	source func() (*Set[T], error) // see Follow; nil for none

	mu      sync.RWMutex
	members []Member[T]
}

// Follow returns a Set whose members are those of the Set that source returns at each moment, such as
// the one of environment.Atom.Partner. Add and Remove are trustkeep.ErrUnsupported. If source fails,
// Resolve and Send return its error, and there are no Members. It may be called by several
// goroutines at once.
func Follow[T Item](source func() (*Set[T], error)) *Set[T] { return &Set[T]{source: source} }

// now returns the Set that has the members.
func (s *Set[T]) now() (*Set[T], error) {
	if s.source == nil {
		return s, nil
	}
	now, err := s.source()
	if err == nil && now == nil {
		err = fmt.Errorf("partner: nil set: %w", trustkeep.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return now.now() // it may follow too
}

func errFollows(op string) error {
	return &trustkeep.Error{Op: "partner: " + op, Err: trustkeep.ErrUnsupported, Hint: "the set follows a definition: change that"}
}

// ErrNoneValid: a set has items for a use, but none is valid. It wraps trustkeep.ErrExpired.
var ErrNoneValid = fmt.Errorf("partner: no valid item: %w", trustkeep.ErrExpired)

// Add adds an item. It replaces an item with the same fingerprint and variant, so that an
// extended expiry takes effect. The error wraps ErrInvalid for a member without an item or a
// use.
func (s *Set[T]) Add(m Member[T]) error {
	if s.source != nil {
		return errFollows("add")
	}
	if given.IsNil(m.Item) || m.Item.Fingerprint() == "" { // nil, or a zero pgp.Key
		return fmt.Errorf("partner: nil item: %w", trustkeep.ErrInvalid)
	}
	if m.Uses == 0 {
		return fmt.Errorf("partner: item %s without use: %w", trustkeep.Printable(m.Item.Fingerprint()), trustkeep.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, old := range s.members {
		if old.Item.Fingerprint() == m.Item.Fingerprint() && old.Variant == m.Variant {
			s.members[i] = m
			return nil
		}
	}
	s.members = append(s.members, m)
	return nil
}

// Remove removes the item with the fingerprint, in all variants. The error wraps ErrNotFound.
func (s *Set[T]) Remove(fingerprint string) error {
	if s.source != nil {
		return errFollows("remove")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.members)
	// A new slice: Resolve hands out none of it, but Variant copies share it.
	s.members = slices.DeleteFunc(slices.Clone(s.members), func(m Member[T]) bool { return m.Item.Fingerprint() == fingerprint })
	if len(s.members) == n {
		return fmt.Errorf("partner: item %s: %w", trustkeep.Printable(fingerprint), trustkeep.ErrNotFound)
	}
	return nil
}

// Members returns all members in the order added.
func (s *Set[T]) Members() []Member[T] {
	members, _ := s.current()
	return members
}

func (s *Set[T]) current() ([]Member[T], error) {
	set, err := s.now()
	if err != nil {
		return nil, err
	}
	set.mu.RLock()
	defer set.mu.RUnlock()
	return slices.Clone(set.members), nil
}

// Variant returns a set with the members of one variant and those without a variant. That of a Set
// of Follow follows too.
func (s *Set[T]) Variant(name string) *Set[T] {
	if s.source != nil {
		return Follow(func() (*Set[T], error) {
			now, err := s.now()
			if err != nil {
				return nil, err
			}
			return now.Variant(name), nil
		})
	}
	out := new(Set[T])
	for _, m := range s.Members() {
		if m.Variant == name || m.Variant == "" {
			out.members = append(out.members, m)
		}
	}
	return out
}

// Resolve returns the items for one use at a time.
//
// For sending (Encrypt, Sign, SignMDN, ClientTLS) it returns exactly one item: of those that
// are valid, not revoked and past their PreferredFrom, the one preferred or made last. A PGP
// key is valid for a use as long as a subkey for it is. If all
// valid items are before their PreferredFrom, it returns the one with the earliest. If every
// item has expired, the error is ErrNoneValid.
//
// For receiving (Decrypt, Verify, VerifyMDN, VerifyTLS) it returns all items, the most likely one first:
// those valid at the time, then the rest, each from the newest on. Expired keys must still
// decrypt what was sent before; the verification judges signatures by expired keys.
//
// The error wraps ErrNotFound if the set has no item for the use, and ErrInvalid for several
// uses at once.
func (s *Set[T]) Resolve(u Use, at time.Time) ([]T, error) {
	if u == 0 || u&(u-1) != 0 {
		return nil, fmt.Errorf("partner: use %s: %w", u, trustkeep.ErrInvalid)
	}
	members, err := s.current()
	if err != nil {
		return nil, err
	}
	fit := slices.DeleteFunc(members, func(m Member[T]) bool { return m.Uses&u == 0 })
	if len(fit) == 0 {
		return nil, fmt.Errorf("partner: item to %s: %w", u, trustkeep.ErrNotFound)
	}
	if u&sends == 0 {
		slices.SortStableFunc(fit, func(a, b Member[T]) int {
			if va, vb := a.valid(u, at), b.valid(u, at); va != vb {
				if va {
					return -1
				}
				return 1
			}
			return b.since().Compare(a.since())
		})
		items := make([]T, len(fit))
		for i, m := range fit {
			items[i] = m.Item
		}
		return items, nil
	}
	valid := slices.DeleteFunc(fit, func(m Member[T]) bool { return !m.valid(u, at) })
	if len(valid) == 0 {
		return nil, fmt.Errorf("%w to %s", ErrNoneValid, u)
	}
	due := func(m Member[T]) bool { return !m.PreferredFrom.After(at) }
	best := slices.MaxFunc(valid, func(a, b Member[T]) int {
		switch {
		case due(a) != due(b):
			if due(a) {
				return 1
			}
			return -1
		case !due(a):
			return b.PreferredFrom.Compare(a.PreferredFrom) // the earlier one
		}
		return cmp.Or(a.since().Compare(b.since()), a.Item.NotBefore().Compare(b.Item.NotBefore()))
	})
	return []T{best.Item}, nil
}

// Send returns the one item for a use that sends, see Resolve. For other uses the error wraps
// ErrInvalid.
func (s *Set[T]) Send(u Use, at time.Time) (T, error) {
	var none T
	if u&sends == 0 {
		return none, fmt.Errorf("partner: use %s has several items: %w", u, trustkeep.ErrInvalid)
	}
	items, err := s.Resolve(u, at)
	if err != nil {
		return none, err
	}
	return items[0], nil
}

func (m Member[T]) valid(u Use, at time.Time) bool {
	if m.revoked() {
		return false
	}
	within := func(start, end time.Time) bool { return !at.Before(start) && (end.IsZero() || at.Before(end)) }
	if !within(m.Item.NotBefore(), m.Item.NotAfter()) {
		return false
	}
	parts := m.parts(u)
	return parts == nil || slices.ContainsFunc(parts, func(p trustkeep.Part) bool { return within(p.NotBefore, p.NotAfter) })
}

func (m Member[T]) revoked() bool {
	r, ok := any(m.Item).(revocable)
	return ok && r.Revoked()
}

// parts returns the parts of the item for the uses; nil if it has none of their own for them.
func (m Member[T]) parts(u Use) []trustkeep.Part {
	d, ok := any(m.Item).(divided)
	if !ok || u&partUses == 0 {
		return nil
	}
	all := d.Parts()
	if all == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(p trustkeep.Part) bool {
		return !(p.Encrypts && u&(Encrypt|Decrypt) != 0 || p.Signs && u&(Sign|Verify|SignMDN|VerifyMDN) != 0)
	})
}

// partUses are the uses that a part of an item may serve.
const partUses = Encrypt | Decrypt | Sign | Verify | SignMDN | VerifyMDN

// end is when the item ends, or before that the first of its parts that the uses need.
func (m Member[T]) end() time.Time {
	end := m.Item.NotAfter()
	for _, p := range m.parts(m.Uses) {
		if !p.NotAfter.IsZero() && (end.IsZero() || p.NotAfter.Before(end)) {
			end = p.NotAfter
		}
	}
	return end
}

// since is from when on the member counts as the newest.
func (m Member[T]) since() time.Time {
	if m.PreferredFrom.After(m.Item.NotBefore()) {
		return m.PreferredFrom
	}
	return m.Item.NotBefore()
}

// Expiring lists the members that have expired or expire before a time, the earliest first.
// A PGP key expires with the subkey that its uses need.
func (s *Set[T]) Expiring(before time.Time) []Member[T] {
	out := slices.DeleteFunc(s.Members(), func(m Member[T]) bool {
		end := m.end()
		return end.IsZero() || !end.Before(before)
	})
	slices.SortStableFunc(out, func(a, b Member[T]) int { return a.end().Compare(b.end()) })
	return out
}
