package pkcs12

import (
	"bytes"
	"slices"

	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// DER identifier octets.
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagBMPString   = 0x1e
	tagSequence    = 0x30
	tagSet         = 0x31
	tagExplicit0   = 0xa0
	tagImplicit0   = 0x80
)

// size is how long an element with a content of n bytes is.
func size(n int) int {
	size := 2 + n
	if n >= 0x80 {
		for ; n != 0; n >>= 8 {
			size++
		}
	}
	return size
}

func appendHeader(out []byte, tag byte, n int) []byte { return ber.AppendLength(append(out, tag), n) }

func appendElement[T string | []byte](out []byte, tag byte, content T) []byte {
	return append(appendHeader(out, tag, len(content)), content...)
}

// appendBag appends a SafeBag (RFC 7292 section 4.2); value is DER, attributes
// the DER of the SET or nothing.
func appendBag(out []byte, bag string, value, attributes []byte) []byte {
	out = appendHeader(out, tagSequence, size(len(bag))+size(len(value))+len(attributes))
	out = appendElement(out, tagOID, bag)
	out = appendElement(out, tagExplicit0, value)
	return append(out, attributes...)
}

// appendTypedBag appends a SafeBag whose value is a type and an octet string,
// as CertBag, CRLBag and Java's SecretBag are. Sizes are computed first, so
// that the content is copied once.
func appendTypedBag(out []byte, bag, typ string, octets, attributes []byte) []byte {
	explicit := size(len(octets))
	value := size(len(typ)) + size(explicit)
	out = appendHeader(out, tagSequence, size(len(bag))+size(size(value))+len(attributes))
	out = appendElement(out, tagOID, bag)
	out = appendHeader(out, tagExplicit0, size(value))
	out = appendHeader(out, tagSequence, value)
	out = appendElement(out, tagOID, typ)
	out = appendHeader(out, tagExplicit0, explicit)
	out = appendElement(out, tagOctetString, octets)
	return append(out, attributes...)
}

// encodeAttribute returns a PKCS12Attribute with one value.
func encodeAttribute(oid string, tag byte, value []byte) []byte {
	set := size(len(value))
	n := size(len(oid)) + size(set)
	out := appendHeader(make([]byte, 0, size(n)), tagSequence, n)
	out = appendElement(out, tagOID, oid)
	out = appendHeader(out, tagSet, set)
	return appendElement(out, tag, value)
}

// encodeAttributes returns the SET of a bag, nothing for an empty one. Its
// order is that of DER (X.690 section 11.6).
func encodeAttributes(name string, localKeyID []byte, trusted bool, other []entry.Attribute) []byte {
	var few [4][]byte
	list := few[:0]
	if name != "" {
		list = append(list, encodeAttribute(oidFriendlyName, tagBMPString, encodeName(name)))
	}
	if len(localKeyID) > 0 {
		list = append(list, encodeAttribute(oidLocalKeyID, tagOctetString, localKeyID))
	}
	for _, a := range other {
		list = append(list, a)
		trusted = trusted && attributeOID(a) != oidJavaTrusted
	}
	if trusted {
		list = append(list, []byte(javaTrusted))
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, bytes.Compare)
	n := 0
	for _, a := range list {
		n += len(a)
	}
	out := appendHeader(make([]byte, 0, size(n)), tagSet, n)
	for _, a := range list {
		out = append(out, a...)
	}
	return out
}

// attributeOID returns the identifier of an attribute, "" for what is none.
func attributeOID(der []byte) string { return leadingOID(der, ber.Set) }

// typedOID returns the type of a SafeBag or ContentInfo, "" for what is none.
func typedOID(der []byte) string { return leadingOID(der, ber.Context(0)) }

// leadingOID reads a SEQUENCE of an identifier and an element of the tag.
func leadingOID(der []byte, then ber.Tag) string {
	in := ber.New(der, ber.Rules{MaxDepth: 3})
	e, err := in.Read(ber.Sequence)
	if err != nil || !in.Empty() {
		return ""
	}
	seq, err := e.Children()
	if err != nil {
		return ""
	}
	oid, err := seq.Read(ber.OID)
	if err != nil || !seq.Peek(then) {
		return ""
	}
	return string(oid.Content)
}
