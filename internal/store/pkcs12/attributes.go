package pkcs12

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// attributes are the attributes of a bag.
type attributes struct {
	name       string // friendlyName
	localKeyID []byte
	created    time.Time // from a local key ID of the JDK
	trusted    bool      // Java's attribute is there; it is also in other
	badName    bool      // a friendlyName that is no text; it is also in other
	other      []entry.Attribute
}

// readAttributes reads SET OF PKCS12Attribute (RFC 7292 section 4.2). What is
// not interpreted, and a name that cannot be, is kept as it stands.
func readAttributes(in *ber.Input) (a attributes, err error) {
	set, err := in.Read(ber.Set)
	if err != nil {
		return a, err
	}
	list, err := set.Children()
	if err != nil {
		return a, err
	}
	for !list.Empty() {
		e, err := list.Read(ber.Sequence)
		if err != nil {
			return a, err
		}
		if err := a.add(e); err != nil {
			return a, err
		}
	}
	return a, nil
}

// javaTrusted is Java's attribute as keytool writes it for every certificate.
const javaTrusted = "\x30\x16\x06\x0c" + oidJavaTrusted + "\x31\x06\x06\x04" + oidAnyUsage

func (a *attributes) add(e ber.Element) error {
	if string(e.Full) == javaTrusted {
		a.trusted = true
		a.other = append(a.other, e.Full)
		return nil
	}
	oid, value, err := readAttribute(e)
	if err != nil {
		return err
	}
	switch string(oid) {
	case oidFriendlyName:
		name, ok := decodeName(value)
		if ok && a.name == "" {
			a.name = name
			return nil
		}
		a.badName = a.badName || !ok
	case oidLocalKeyID:
		if value.Tag == ber.OctetString && a.localKeyID == nil {
			if a.localKeyID, err = value.Octets(); err != nil {
				return err
			}
			a.created = javaTime(a.localKeyID)
			return nil
		}
	case oidJavaTrusted:
		a.trusted = true
	}
	der, err := e.DER()
	if err != nil {
		return err
	}
	a.other = append(a.other, der)
	return nil
}

// readAttribute returns the identifier and the only value of an attribute; the
// zero Element for one that has none or several.
func readAttribute(e ber.Element) (oid []byte, value ber.Element, err error) {
	seq, err := e.Children()
	if err != nil {
		return nil, value, err
	}
	id, err := seq.Read(ber.OID)
	if err != nil {
		return nil, value, err
	}
	set, err := seq.Read(ber.Set)
	if err != nil {
		return nil, value, err
	}
	if err := seq.End(); err != nil {
		return nil, value, err
	}
	values, err := set.Children()
	if err != nil {
		return nil, value, err
	}
	if !values.Empty() {
		if value, err = values.Next(); err != nil {
			return nil, value, err
		}
		if !values.Empty() {
			value = ber.Element{}
		}
	}
	return id.Content, value, nil
}

// decodeName reads a BMPString with surrogate pairs, as OpenSSL and the JDK
// write them. An empty name counts as none.
func decodeName(e ber.Element) (name string, ok bool) {
	if e.Tag != ber.BMPString {
		return "", false
	}
	b, err := e.Octets()
	if err != nil || len(b) == 0 || len(b)%2 != 0 {
		return "", false
	}
	var short [64]byte
	out := short[:0]
	for i := 0; i < len(b); i += 2 {
		r := rune(b[i])<<8 | rune(b[i+1])
		if utf16.IsSurrogate(r) {
			if i+3 >= len(b) {
				return "", false
			}
			i += 2
			if r = utf16.DecodeRune(r, rune(b[i])<<8|rune(b[i+1])); r == utf8.RuneError {
				return "", false
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), true
}

// encodeName is the reverse of decodeName, without header.
func encodeName(name string) []byte {
	out := make([]byte, 0, 2*len(name))
	for _, r := range name {
		if r > 0xffff {
			hi, lo := utf16.EncodeRune(r)
			out = append(out, byte(hi>>8), byte(hi))
			r = lo
		}
		out = append(out, byte(r>>8), byte(r))
	}
	return out
}

// javaTimePrefix starts a local key ID of the JDK; milliseconds since 1970
// follow.
const javaTimePrefix = "Time "

func javaTime(localKeyID []byte) time.Time {
	digits, ok := bytes.CutPrefix(localKeyID, []byte(javaTimePrefix))
	if !ok || len(digits) > 18 {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
