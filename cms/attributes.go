package cms

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// Attribute is a signed attribute (RFC 5652 section 11) besides those that every signature has:
// content type, message digest and signing time.
type Attribute struct {
	// Type is the object identifier, such as "1.2.840.113549.1.9.15".
	Type string
	// Values are its values in DER, at least one.
	Values [][]byte
}

// maxAttributes bounds what SignOptions.Attributes come to, so that any Verify reads them.
const maxAttributes = 64 << 10

// parseOID is for what the caller chose.
func parseOID(text string) (oid, error) {
	id, err := x509.ParseOID(text)
	if err != nil {
		return "", invalid("object identifier " + fmt.Sprintf("%.64q", text))
	}
	der, err := id.MarshalBinary()
	return oid(der), err
}

// encodeAttributes returns the attributes that a caller wants to be signed.
func encodeAttributes(attributes []Attribute) (out [][]byte, err error) {
	seen := []oid{oidContentType, oidMessageDigest, oidSigningTime}
	size := 0
	for _, a := range attributes {
		id, err := parseOID(a.Type)
		if err != nil {
			return nil, err
		}
		if slices.Contains(seen, id) {
			return nil, invalid("attribute " + a.Type + " twice, or one that every signature has")
		}
		seen = append(seen, id)
		if len(a.Values) == 0 {
			return nil, invalid("attribute " + a.Type + " without a value")
		}
		for _, v := range a.Values {
			if !isDER(v) {
				return nil, invalid("attribute " + a.Type + " with a value that is no element in DER")
			}
		}
		der := attribute(id, a.Values...)
		if size += len(der); size > maxAttributes {
			return nil, invalid(fmt.Sprintf("attributes of more than %d bytes", maxAttributes))
		}
		out = append(out, der)
	}
	return out, nil
}

// isDER reports whether b is one element in DER.
func isDER(b []byte) bool {
	in := ber.New(b, ber.Rules{MaxDepth: 32})
	e, err := in.Next()
	if err != nil || !in.Empty() {
		return false
	}
	der, err := e.DER()
	return err == nil && bytes.Equal(der, b)
}

func attribute(id oid, values ...[]byte) []byte {
	return berio.TLV(berio.Sequence, id.der(), berio.SetOf(berio.Set, values...))
}

// foundAttribute is one of a message, signed or not.
type foundAttribute struct {
	id     oid
	values [][]byte
}

func readAttribute(e ber.Element) (a foundAttribute, err error) {
	in, err := e.Children()
	if err != nil {
		return a, err
	}
	if a.id, err = readOID(&in); err != nil {
		return a, err
	}
	set, err := in.Read(ber.Set)
	if err != nil {
		return a, err
	}
	if err := in.End(); err != nil {
		return a, err
	}
	values, err := set.Children()
	for err == nil && !values.Empty() {
		var v ber.Element
		v, err = values.Next()
		a.values = append(a.values, v.Full)
	}
	return a, err
}

// public returns what the caller sees, in memory of its own.
func (a foundAttribute) public() Attribute {
	out := Attribute{Type: a.id.String()}
	for _, v := range a.values {
		out.Values = append(out.Values, bytes.Clone(v))
	}
	return out
}
