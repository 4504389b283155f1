package cms

import (
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// readRecipients reads the SET of RecipientInfos (RFC 5652 section 6.2) one by
// one, however many there are, and returns how to get the content's key by the
// first that is for one of the identities.
//
// Only one is tried, and nothing follows from its failure: trying the next would
// tell that the first was wrong.
func (s *sealed) readRecipients(ids []identity) (contentKey func(size int) ([]byte, error), err error) {
	if err := s.r.Enter(ber.Set); err != nil {
		return nil, err
	}
	none := new(NoRecipientError)
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
						return a.contentKey(r, id.leaf.PublicKey, id.key, size)
					}
				}
			}
		case ber.Context(2), ber.Context(3), ber.Context(4): // KEK, password, other
			none.Total++
			none.Unsupported++
		default:
			return nil, corrupt("recipient")
		}
	}
	if err := s.r.Leave(); err != nil {
		return nil, err
	}
	if contentKey == nil {
		for _, id := range ids {
			none.Offered = append(none.Offered, refTo(id.leaf))
		}
		return nil, none
	}
	return contentKey, nil
}
