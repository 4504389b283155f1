package berio

import (
	"bytes"
	"slices"

	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// Identifier octets (X.690 section 8.1.2) of what CMS is made of.
const (
	Integer     = 0x02
	BitString   = 0x03
	OctetString = 0x04
	OID         = 0x06
	Sequence    = 0x30
	Set         = 0x31

	constructed = 0x20
)

// Context is the identifier octet of the primitive element [n], and
// ContextConstructed that of the constructed one.
func Context(n byte) byte            { return 0x80 | n }
func ContextConstructed(n byte) byte { return 0xa0 | n }

// TLV returns an element in DER whose content is the parts in a row.
func TLV(identifier byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n+headerSize(n))
	out = appendHeader(out, identifier, n)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// SetOf returns a SET OF in DER, whose elements are sorted (X.690 section
// 11.6), under that identifier.
func SetOf(identifier byte, elements ...[]byte) []byte {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, bytes.Compare)
	return TLV(identifier, sorted...)
}

func appendHeader(out []byte, identifier byte, n int) []byte {
	return ber.AppendLength(append(out, identifier), n)
}

func headerSize(n int) int {
	var buf [10]byte
	return len(appendHeader(buf[:0], 0, n))
}

// Frame is one element around a content: its identifier, and what is in it
// before and after the content.
type Frame struct {
	Identifier    byte
	Before, After []byte
}

// Definite returns what to write before and after a content of n bytes in
// frames, outermost first, with definite lengths.
func Definite(n int, frames ...Frame) (head, tail []byte) {
	heads := make([][]byte, len(frames))
	for i, f := range slices.Backward(frames) {
		n += len(f.Before) + len(f.After)
		heads[i] = append(appendHeader(nil, f.Identifier, n), f.Before...)
		n += len(heads[i]) - len(f.Before)
		tail = append(tail, f.After...)
	}
	return bytes.Join(heads, nil), tail
}

// Indefinite returns what to write before and after a content of unknown
// length in frames, outermost first. Each becomes an element of indefinite
// length; the content goes into the innermost as Chunks.
func Indefinite(frames ...Frame) (head, tail []byte) {
	for _, f := range frames {
		head = append(head, f.Identifier|constructed, 0x80)
		head = append(head, f.Before...)
	}
	for _, f := range slices.Backward(frames) {
		tail = append(tail, f.After...)
		tail = append(tail, 0, 0)
	}
	return head, tail
}

// MaxChunkHeader is the most that AppendChunkHeader appends.
const MaxChunkHeader = 10

// AppendChunkHeader appends the header of a piece of n bytes of a constructed
// OCTET STRING.
func AppendChunkHeader(out []byte, n int) []byte { return appendHeader(out, OctetString, n) }
