package cms

import (
	"bytes"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// signerInfo is a SignerInfo of a message (RFC 5652 section 5.3).
type signerInfo struct {
	ref       ref
	digest    algorithm
	signed    *signedAttributes // nil where absent
	algorithm algorithm         // of the signature
	signature []byte
	unsigned  *ber.Element // the unsigned attributes, not looked into; nil where absent
}

func parseSignerInfo(e ber.Element) (*signerInfo, error) {
	if e.Tag != ber.Sequence {
		return nil, corrupt("signer")
	}
	in, err := e.Children()
	if err != nil {
		return nil, err
	}
	s := new(signerInfo)
	if _, err = in.Read(ber.Integer); err != nil {
		return nil, err
	}
	if s.ref, err = readRef(&in); err != nil {
		return nil, err
	}
	if s.digest, err = readAlgorithm(&in); err != nil {
		return nil, err
	}
	attributes, present, err := in.ReadOptional(ber.Context(0))
	if err != nil {
		return nil, err
	}
	if present {
		if s.signed, err = parseAttributes(attributes); err != nil {
			return nil, err
		}
	}
	if s.algorithm, err = readAlgorithm(&in); err != nil {
		return nil, err
	}
	if s.signature, err = readOctets(&in); err != nil {
		return nil, err
	}
	unsigned, present, err := in.ReadOptional(ber.Context(1))
	if err != nil {
		return nil, err
	}
	if present {
		s.unsigned = &unsigned
	}
	return s, in.End()
}

// signedAttributes are what is signed in place of the content.
type signedAttributes struct {
	// der is the SET OF Attribute as sent, sorted the one that should have
	// been sent.
	der, sorted []byte

	contentType   oid
	messageDigest []byte
	signingTime   time.Time // zero where there is none that can be read
	others        []foundAttribute
}

func parseAttributes(e ber.Element) (*signedAttributes, error) {
	der, err := e.DER()
	if err != nil {
		return nil, err
	}
	a := &signedAttributes{der: bytes.Clone(der)}
	a.der[0] = berio.Set // RFC 5652 section 5.4
	outer := ber.New(a.der, ber.Rules{MaxDepth: maxAttributeDepth})
	if e, err = outer.Read(ber.Set); err != nil {
		return nil, err
	}
	in, err := e.Children()
	if err != nil {
		return nil, err
	}
	var elements [][]byte
	seen := make(map[oid]bool)
	for !in.Empty() {
		e, err := in.Read(ber.Sequence)
		if err != nil {
			return nil, err
		}
		elements = append(elements, e.Full)
		f, err := readAttribute(e)
		if err != nil {
			return nil, err
		}
		if err := a.take(f, seen); err != nil {
			return nil, err
		}
	}
	// RFC 5652 section 11.1 and 11.2.
	if !seen[oidContentType] || !seen[oidMessageDigest] {
		return nil, corrupt("signed attributes without content type or digest")
	}
	if !slices.IsSortedFunc(elements, bytes.Compare) {
		a.sorted = berio.SetOf(berio.Set, elements...)
	}
	return a, nil
}

// maxAttributeDepth is how deep attributes that came through the reader's own
// bound can be.
const maxAttributeDepth = 1 << 10

func (a *signedAttributes) take(f foundAttribute, seen map[oid]bool) error {
	if f.id != oidContentType && f.id != oidMessageDigest && f.id != oidSigningTime {
		a.others = append(a.others, f)
		return nil
	}
	if seen[f.id] {
		return corrupt("signed attribute given twice")
	}
	seen[f.id] = true
	if len(f.values) != 1 {
		return corrupt("signed attribute of other than one value")
	}
	value := ber.New(f.values[0], ber.Rules{MaxDepth: maxAttributeDepth})
	var err error
	switch f.id {
	case oidContentType:
		a.contentType, err = readOID(&value)
	case oidMessageDigest:
		a.messageDigest, err = readOctets(&value)
	case oidSigningTime:
		// Stated only, so an odd spelling is no reason to refuse.
		var t time.Time
		if _, bad := asn1.Unmarshal(f.values[0], &t); bad == nil {
			a.signingTime = t
		}
	}
	return err
}

// find returns the attribute of that type, an error for several, and no values for none.
func (a *signedAttributes) find(id oid) (found foundAttribute, err error) {
	for _, f := range a.others {
		if f.id != id {
			continue
		}
		if found.values != nil {
			return found, corrupt("signed attribute given twice")
		}
		found = f
	}
	return found, nil
}
