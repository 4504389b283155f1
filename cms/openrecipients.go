package cms

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// readRecipients reads the SET of RecipientInfos (RFC 5652 section 6.2) one by
// one, however many there are, and returns how to get the content's key by the
// first that is for one of the identities.
//
// Only one is tried, and nothing follows from its failure: trying the next would
// tell that the first was wrong.
func (s *sealed) readRecipients(ids []identity, o OpenOptions) (contentKey func(size int) ([]byte, error), err error) {
	if err := s.r.Enter(ber.Set); err != nil {
		return nil, err
	}
	none := &NoRecipientError{shared: len(o.SharedKeys), passwords: len(o.Passwords)}
	var passwords []passworded
	meet := func(to ref) *identity {
		for i := range ids {
			if contentKey == nil && to.matches(ids[i].leaf) {
				return &ids[i]
			}
		}
		if none.Total++; len(none.Recipients) < maxListed {
			none.Recipients = append(none.Recipients, to.public())
		}
		return nil
	}
	for {
		more, err := s.r.More()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if err := s.budget.Entries(1); err != nil {
			return nil, err
		}
		e, err := s.r.Element(maxRecipient)
		if err != nil {
			return nil, err
		}
		switch e.Tag {
		case ber.Sequence:
			to, t, err := parseTransport(e)
			if err != nil {
				return nil, err
			}
			if id := meet(to); id != nil {
				contentKey = func(size int) ([]byte, error) { return t.contentKey(id.key, size) }
			}
		case ber.Context(1):
			a, err := parseAgreement(e)
			if err != nil {
				return nil, err
			}
			for _, r := range a.to {
				if id := meet(r.ref); id != nil {
					contentKey = func(size int) ([]byte, error) {
						return a.contentKey(r, keyOf(id.leaf).public, id.key, size)
					}
				}
			}
		case ber.Context(2):
			shared, err := parseShared(e)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(o.SharedKeys, func(k *SharedKey) bool { return bytes.Equal(k.id, shared.id) })
			if contentKey == nil && i >= 0 {
				contentKey = func(size int) ([]byte, error) { return shared.contentKey(o.SharedKeys[i], size) }
			}
			none.Total++
			none.Unsupported++
		case ber.Context(3):
			if len(o.Passwords) > 0 {
				if len(passwords) == maxPasswordInfos {
					return nil, fmt.Errorf("more than %d recipients by password: %w", maxPasswordInfos, trustkeep.ErrLimit)
				}
				p, err := parsePassword(e)
				if err != nil {
					return nil, err
				}
				p.tab = &limits.Once{Spender: s.budget}
				passwords = append(passwords, p)
			}
			none.Total++
			none.Unsupported++
		case ber.Context(4): // other
			none.Total++
			none.Unsupported++
		default:
			return nil, corrupt("recipient")
		}
	}
	if err := s.r.Leave(); err != nil {
		return nil, err
	}
	if contentKey == nil && len(passwords) > 0 {
		contentKey = byPassword(passwords, o.Passwords)
	}
	if contentKey == nil {
		for _, id := range ids {
			none.Offered = append(none.Offered, refTo(id.leaf))
		}
		return nil, none
	}
	return contentKey, nil
}
