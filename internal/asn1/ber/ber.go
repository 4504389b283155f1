// Package ber reads ASN.1 in the Basic Encoding Rules (ITU-T X.690), of which
// DER is a part: definite and indefinite lengths, primitive and constructed
// strings. It works in place, copies only to merge constructed strings, and
// bounds how deep it goes, so that its time is linear in the input.
//
// Errors wrap trustkeep.ErrCorrupt for what is no BER and trustkeep.ErrLimit
// for nesting beyond the bound.
package ber

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// Tag is a class and a tag number: the class in the two top bits, the number
// in the rest. Whether an element is constructed is not part of it.
type Tag uint32

// Universal tags (X.680 section 8.4) and the constructor of context-specific
// ones.
const (
	Boolean         Tag = 1
	Integer         Tag = 2
	BitString       Tag = 3
	OctetString     Tag = 4
	Null            Tag = 5
	OID             Tag = 6
	UTF8String      Tag = 12
	Sequence        Tag = 16
	Set             Tag = 17
	PrintableString Tag = 19
	T61String       Tag = 20
	IA5String       Tag = 22
	BMPString       Tag = 30

	classShift = 30
	maxNumber  = 1<<28 - 1
)

// Context is the context-specific tag [n].
func Context(n int) Tag { return 2<<classShift | Tag(n) }

// String names the tag for errors: "[0]", "universal 16".
func (t Tag) String() string {
	n := t &^ (3 << classShift)
	switch t >> classShift {
	case 0:
		return fmt.Sprintf("universal %d", n)
	case 2:
		return fmt.Sprintf("[%d]", n)
	}
	return fmt.Sprintf("class %d tag %d", t>>classShift, n)
}

// Rules selects what an Input accepts.
type Rules struct {
	// MaxDepth is how many levels of elements may nest, the outermost
	// being the first. Required.
	MaxDepth int
	// DER refuses indefinite and longer than necessary lengths and
	// constructed strings. (The other rules of DER are not checked.)
	DER bool
}

// Input is a run of elements. The zero Input is empty. It is a small value; a
// copy reads on independently.
type Input struct {
	rest  []byte
	depth int // levels that may still be opened
	der   bool
}

// New returns the elements of data, which is neither copied nor modified.
func New(data []byte, rules Rules) Input {
	return Input{rest: data, depth: rules.MaxDepth, der: rules.DER}
}

// Element is one element. Its slices are parts of the input.
type Element struct {
	Tag         Tag
	Constructed bool
	// Full is the element as it stands: identifier, length, content and,
	// after an indefinite length, the end-of-contents octets.
	Full []byte
	// Content is what is between the length and the end.
	Content []byte

	depth int
	der   bool
}

// Empty reports whether all is read.
func (in *Input) Empty() bool { return len(in.rest) == 0 }

// Rest returns what is not read yet.
func (in *Input) Rest() []byte { return in.rest }

// Peek reports whether the next element has that tag.
func (in *Input) Peek(t Tag) bool {
	h, err := readHeader(in.rest, in.der)
	return err == nil && h.tag == t
}

// Next reads one element. At the end it is an error.
func (in *Input) Next() (Element, error) {
	if in.depth < 1 {
		return Element{}, errDepth()
	}
	h, err := readHeader(in.rest, in.der)
	if err != nil {
		return Element{}, err
	}
	e := Element{Tag: h.tag, Constructed: h.constructed, depth: in.depth - 1, der: in.der}
	content := in.rest[h.size:]
	if !h.indefinite {
		e.Content = content[:h.length:h.length]
		e.Full = in.rest[: h.size+h.length : h.size+h.length]
		in.rest = content[h.length:]
		return e, nil
	}
	n, err := indefiniteLength(content, in.depth-1)
	if err != nil {
		return Element{}, err
	}
	e.Content = content[:n:n]
	e.Full = in.rest[: h.size+n+2 : h.size+n+2]
	in.rest = content[n+2:]
	return e, nil
}

// Read reads one element of the given tag.
func (in *Input) Read(t Tag) (Element, error) {
	e, err := in.Next()
	if err != nil {
		return e, err
	}
	if e.Tag != t {
		return e, fmt.Errorf("%v where %v belongs: %w", e.Tag, t, trustkeep.ErrCorrupt)
	}
	return e, nil
}

// ReadOptional reads one element if the next one has the given tag.
func (in *Input) ReadOptional(t Tag) (e Element, present bool, err error) {
	if !in.Peek(t) {
		return e, false, nil
	}
	e, err = in.Next()
	return e, err == nil, err
}

// End is an error unless all is read.
func (in *Input) End() error {
	if !in.Empty() {
		return fmt.Errorf("%d bytes too many: %w", len(in.rest), trustkeep.ErrCorrupt)
	}
	return nil
}

// Children returns the elements inside a constructed element.
func (e Element) Children() (Input, error) {
	if !e.Constructed {
		return Input{}, fmt.Errorf("primitive %v: %w", e.Tag, trustkeep.ErrCorrupt)
	}
	return Input{rest: e.Content, depth: e.depth, der: e.der}, nil
}

// header is identifier and length of an element.
type header struct {
	tag         Tag
	constructed bool
	indefinite  bool
	size        int // of the header
	length      int // of the content, not beyond the input; unless indefinite
}

func errDepth() error { return fmt.Errorf("nested too deep: %w", trustkeep.ErrLimit) }

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }

// readHeader reads X.690 sections 8.1.2 and 8.1.3.
func readHeader(b []byte, der bool) (h header, err error) {
	if len(b) < 2 {
		return h, corrupt("truncated element")
	}
	h.constructed = b[0]&0x20 != 0
	number := Tag(b[0] & 0x1f)
	h.size = 1
	if number == 0x1f {
		number = 0
		for {
			if h.size >= len(b) {
				return h, corrupt("truncated tag")
			}
			octet := b[h.size]
			h.size++
			if number > maxNumber>>7 {
				return h, corrupt("tag number")
			}
			number = number<<7 | Tag(octet&0x7f)
			if octet&0x80 == 0 {
				break
			}
		}
	}
	h.tag = Tag(b[0]>>6)<<classShift | number
	if h.tag == 0 {
		return h, corrupt("end of contents out of place")
	}
	if h.size >= len(b) {
		return h, corrupt("truncated length")
	}
	first := b[h.size]
	h.size++
	switch {
	case first < 0x80:
		h.length = int(first)
	case first == 0x80:
		if der || !h.constructed {
			return h, corrupt("indefinite length")
		}
		h.indefinite = true
		return h, nil
	default:
		n := int(first & 0x7f)
		if n > len(b)-h.size {
			return h, corrupt("truncated length")
		}
		octets := b[h.size : h.size+n]
		h.size += n
		if der && octets[0] == 0 {
			return h, corrupt("length not minimal")
		}
		for _, o := range octets {
			h.length = h.length<<8 | int(o)
			if h.length > len(b) {
				return h, corrupt("element longer than the input")
			}
		}
		if der && h.length < 0x80 {
			return h, corrupt("length not minimal")
		}
	}
	if h.length > len(b)-h.size {
		return h, corrupt("element longer than the input")
	}
	return h, nil
}

// indefiniteLength returns how long the content b of an element of indefinite
// length is, up to its end-of-contents octets (X.690 section 8.1.5). depth is
// how many levels may open inside.
func indefiniteLength(b []byte, depth int) (int, error) {
	open := 1 // indefinite elements whose end is to come
	for i := 0; ; {
		if len(b)-i >= 2 && b[i] == 0 && b[i+1] == 0 {
			open--
			if open == 0 {
				return i, nil
			}
			i += 2
			continue
		}
		h, err := readHeader(b[i:], false)
		if err != nil {
			return 0, err
		}
		i += h.size
		if h.indefinite {
			if open++; open-1 > depth {
				return 0, errDepth()
			}
			continue
		}
		i += h.length
	}
}
