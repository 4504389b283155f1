package trustkeep

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PrintableName prints the DER of a distinguished name, such as x509.Certificate.RawSubject,
// one of tls.CertificateRequestInfo.AcceptableCAs or an issuer of a CRL, in the form of
// RFC 4514: "CN=www,O=Example". The text is escaped and cut as by Printable, and is safe to
// log. The work is linear in the length of the name and the memory is bounded, whatever a
// stranger has put into it; pkix.Name.String is neither. For a name that is empty or
// malformed the text is empty.
func PrintableName(der []byte) string {
	tag, body, rest, ok := readTLV(der)
	if !ok || tag != tagSequence || len(rest) > 0 {
		return ""
	}
	// The last one is printed first, and each takes at least one character.
	var last [maxPrintable + 1][]byte
	n := 0
	for len(body) > 0 {
		var rdn []byte
		if tag, rdn, body, ok = readTLV(body); !ok || tag != tagSet {
			return ""
		}
		last[n%len(last)] = rdn
		n++
	}
	var p namePrinter
	for i := n - 1; i >= 0 && n-i <= len(last) && p.runes <= maxPrintable; i-- {
		if i < n-1 {
			p.write(',')
		}
		if !p.rdn(last[i%len(last)]) {
			return ""
		}
	}
	return Printable(p.text.String())
}

// printableName is PrintableName for a field of x509.Certificate, whose DER is missing where
// the certificate was made by hand.
func printableName(der []byte, name pkix.Name) string {
	if len(der) == 0 {
		der, _ = asn1.Marshal(name.ToRDNSequence()) // empty on error
	}
	return PrintableName(der)
}

// The identifier octets of ASN.1 that names are made of.
const (
	tagOID       = 0x06
	tagUTF8      = 0x0c
	tagNumeric   = 0x12
	tagPrintable = 0x13
	tagT61       = 0x14
	tagIA5       = 0x16
	tagBMP       = 0x1e
	tagSequence  = 0x30
	tagSet       = 0x31
)

// readTLV reads one element of DER with a tag of one octet.
func readTLV(der []byte) (tag byte, body, rest []byte, ok bool) {
	if len(der) < 2 || der[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	tag, size, rest := der[0], int(der[1]), der[2:]
	if size >= 0x80 {
		octets := size - 0x80
		if octets == 0 || octets > 4 || octets > len(rest) {
			return 0, nil, nil, false
		}
		long := uint64(0)
		for _, b := range rest[:octets] {
			long = long<<8 | uint64(b)
		}
		rest = rest[octets:]
		if long > uint64(len(rest)) {
			return 0, nil, nil, false
		}
		size = int(long)
	}
	if size > len(rest) {
		return 0, nil, nil, false
	}
	return tag, rest[:size], rest[size:], true
}

// namePrinter collects the text of a name, and no more of it than Printable shows.
type namePrinter struct {
	text  strings.Builder
	runes int
}

func (p *namePrinter) write(r rune) {
	if p.runes <= maxPrintable {
		p.text.WriteRune(r)
		p.runes++
	}
}

func (p *namePrinter) writeString(s string) {
	for _, r := range s {
		p.write(r)
	}
}

// rdn prints the attributes of a RelativeDistinguishedName. It reports whether they are well
// formed, as far as it looks.
func (p *namePrinter) rdn(set []byte) bool {
	for first := true; len(set) > 0 && p.runes <= maxPrintable; first = false {
		var attribute []byte
		tag, attribute, rest, ok := readTLV(set)
		if !ok || tag != tagSequence {
			return false
		}
		set = rest
		tag, oid, value, ok := readTLV(attribute)
		if !ok || tag != tagOID {
			return false
		}
		if !first {
			p.write('+')
		}
		if tag, body, rest, ok := readTLV(value); !ok || len(rest) > 0 || !p.attribute(oid, tag, body, value) {
			return false
		}
	}
	return true
}

// attribute prints type and value (RFC 4514 sections 2.3 and 2.4).
func (p *namePrinter) attribute(oid []byte, tag byte, body, value []byte) bool {
	name := attributeName(oid)
	if name != "" {
		p.writeString(name)
	} else if !p.oid(oid) {
		return false
	}
	p.write('=')
	switch isText := isText(tag, body); {
	case isText && name != "":
		p.escaped(tag, body)
	case isText:
		p.hexText(tag, body)
	default:
		p.hex(value)
	}
	return true
}

// attributeName returns the short names that crypto/x509/pkix has.
func attributeName(oid []byte) string {
	switch string(oid) {
	case "\x55\x04\x03":
		return "CN"
	case "\x55\x04\x05":
		return "SERIALNUMBER"
	case "\x55\x04\x06":
		return "C"
	case "\x55\x04\x07":
		return "L"
	case "\x55\x04\x08":
		return "ST"
	case "\x55\x04\x09":
		return "STREET"
	case "\x55\x04\x0a":
		return "O"
	case "\x55\x04\x0b":
		return "OU"
	case "\x55\x04\x11":
		return "POSTALCODE"
	}
	return ""
}

// oid prints the dotted form.
func (p *namePrinter) oid(der []byte) bool {
	if len(der) == 0 || der[len(der)-1]&0x80 != 0 {
		return false
	}
	arc := uint64(0)
	for first := true; len(der) > 0 && p.runes <= maxPrintable; der = der[1:] {
		arc = arc<<7 | uint64(der[0]&0x7f)
		switch {
		case arc > 1<<31-1: // what encoding/asn1 takes
			return false
		case der[0]&0x80 != 0:
			continue
		case first:
			root := min(arc/40, 2)
			p.writeString(strconv.FormatUint(root, 10) + "." + strconv.FormatUint(arc-40*root, 10))
		default:
			p.writeString("." + strconv.FormatUint(arc, 10))
		}
		arc, first = 0, false
	}
	return true
}

// escaped prints a text with the characters escaped that mean something in a name.
func (p *namePrinter) escaped(tag byte, body []byte) {
	var text strings.Builder
	n := 0
	for r := range textRunes(tag, body) {
		if n++; n > maxPrintable+2 {
			break
		}
		text.WriteRune(r)
	}
	s := text.String()
	for i, r := range s {
		if strings.ContainsRune(`,+"\<>;`, r) || r == ' ' && (i == 0 || i == len(s)-1) || r == '#' && i == 0 {
			p.write('\\')
		}
		p.write(r)
	}
}

// hex prints DER.
func (p *namePrinter) hex(der []byte) {
	p.write('#')
	p.writeString(hex.EncodeToString(der[:min(len(der), maxPrintable)]))
}

// hexText prints the DER of a text as crypto/x509/pkix does, which encodes it again as
// PrintableString or UTF8String.
func (p *namePrinter) hexText(tag byte, body []byte) {
	size, as := 0, byte(tagPrintable)
	var start []byte
	for r := range textRunes(tag, body) {
		size += utf8.RuneLen(r)
		if len(start) <= maxPrintable {
			start = utf8.AppendRune(start, r)
		}
		if !inPrintableString(r) {
			as = tagUTF8
		}
	}
	der := []byte{as, byte(size)}
	if size >= 0x80 {
		var length []byte
		for n := size; n > 0; n >>= 8 {
			length = append([]byte{byte(n)}, length...)
		}
		der = append([]byte{as, 0x80 | byte(len(length))}, length...)
	}
	p.hex(append(der, start...))
}

func inPrintableString(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(" '()+,-./:=?", r)
}

// isText reports whether the value is of a type that textRunes reads.
func isText(tag byte, body []byte) bool {
	switch tag {
	case tagUTF8, tagNumeric, tagPrintable, tagT61, tagIA5:
		return true
	case tagBMP:
		return len(body)%2 == 0
	}
	return false
}

// textRunes yields the characters of a text as crypto/x509 reads them: T61String as Latin-1,
// BMPString without a terminator.
func textRunes(tag byte, body []byte) iter.Seq[rune] {
	return func(yield func(rune) bool) {
		if n := len(body); tag == tagBMP && n >= 2 && body[n-2] == 0 && body[n-1] == 0 {
			body = body[:n-2]
		}
		for len(body) > 0 {
			r, size := rune(body[0]), 1
			switch tag {
			case tagT61:
			case tagBMP:
				r, size = rune(body[0])<<8|rune(body[1]), 2
				if !utf8.ValidRune(r) {
					r = utf8.RuneError
				}
			default:
				r, size = utf8.DecodeRune(body)
			}
			body = body[size:]
			if !yield(r) {
				return
			}
		}
	}
}
