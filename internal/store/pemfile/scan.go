package pemfile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/trustkeep/trustkeep"
)

const (
	dashes   = "-----"
	beginTag = "-----BEGIN "
	endTag   = "-----END "
)

// block is one encapsulated message (RFC 7468 section 2, RFC 1421 section 4.4),
// located but not decoded. The slices are parts of the input.
type block struct {
	label   string
	text    []byte // from "-----BEGIN" to the dashes that end the END line
	headers []header
	body    []byte // what is to be base64
	notes   *notes // from the text before the block; nil: it says nothing
	line    int    // of the BEGIN line, from 1
	err     error  // the framing is broken
}

// header is one line of RFC 1421 section 4.6, such as "DEK-Info: ...".
type header struct{ name, value string }

func (b *block) header(name string) string {
	for _, h := range b.headers {
		if h.name == name {
			return h.value
		}
	}
	return ""
}

// scanner finds the blocks. Every position moves forward only, so that the
// time is linear in the input whatever is in it.
type scanner struct {
	data []byte
	pos  int
	line int // of pos, from 1
	// lined is up to where line has been counted.
	lined int
	// glued: pos is right behind an END line, where the next block may
	// begin although the line goes on: files joined by cat, the first of
	// which lacked its last line end.
	glued bool
	// ignored are the lines with a BEGIN or END that is not part of a
	// block.
	ignored []int
}

// next returns the next block, nil at the end. An input that ends inside a
// block is an error: what it lost cannot be known.
func (s *scanner) next() (*block, error) {
	var n notes
	for {
		i := bytes.Index(s.data[s.pos:], []byte(dashes))
		if i < 0 {
			n.read(s.data[s.pos:])
			s.pos = len(s.data)
			return nil, nil
		}
		at := s.pos + i
		n.read(s.data[s.pos:at])
		rest := s.data[at:]
		switch {
		case bytes.HasPrefix(rest, []byte(beginTag)) && s.startsLine(at):
			return s.block(at, n)
		case bytes.HasPrefix(rest, []byte(beginTag)), bytes.HasPrefix(rest, []byte(endTag)):
			s.ignore(at)
		}
		s.glued = false
		// The dash that a run begins with cannot begin anything else.
		s.pos = at + 1
		if !bytes.HasPrefix(s.data[s.pos:], []byte(dashes)) {
			s.pos = at + len(dashes)
		}
	}
}

// maxIgnored bounds the list of findings that hostile input can ask for.
const maxIgnored = 16

func (s *scanner) ignore(at int) {
	if len(s.ignored) < maxIgnored {
		s.ignored = append(s.ignored, s.lineOf(at))
	}
}

// startsLine reports whether nothing but blanks is between the beginning of
// the line, or the block before, and at.
func (s *scanner) startsLine(at int) bool {
	for i := at - 1; i >= s.pos; i-- {
		switch s.data[i] {
		case ' ', '\t', '\v', '\f':
		case '\n', '\r':
			return true
		default:
			return false
		}
	}
	return s.pos == 0 || s.glued
}

// block reads the block that begins at at.
func (s *scanner) block(at int, n notes) (*block, error) {
	b := &block{line: s.lineOf(at)}
	if n.found {
		found := n // a copy, so that n itself stays off the heap
		b.notes = &found
	}
	s.glued = false
	labelAt := at + len(beginTag)
	label, bodyAt, ok := s.label(labelAt)
	if !ok {
		if len(s.data)-labelAt <= maxLabel {
			return nil, s.truncated(b)
		}
		s.pos = labelAt
		b.text, b.err = s.data[at:labelAt], corrupt("BEGIN line without an end")
		return b, nil
	}
	b.label = label
	from := bodyAt
	for {
		i := bytes.Index(s.data[from:], []byte(dashes))
		if i < 0 {
			return nil, s.truncated(b)
		}
		stop := from + i
		if rest := s.data[stop:]; bytes.HasPrefix(rest, []byte(beginTag)) {
			s.pos, s.glued = stop, true
			b.text, b.err = s.data[at:stop], corrupt("block without an END line")
			return b, nil
		} else if !bytes.HasPrefix(rest, []byte(endTag)) {
			// Dashes within a block; base64 has none, so decoding will
			// tell.
			from = stop + 1
			continue
		}
		return s.finish(b, at, bodyAt, stop)
	}
}

// finish reads the END line at stop.
func (s *scanner) finish(b *block, at, bodyAt, stop int) (*block, error) {
	labelAt := stop + len(endTag)
	label, end, ok := s.label(labelAt)
	if !ok {
		if len(s.data)-labelAt <= maxLabel {
			return nil, s.truncated(b)
		}
		s.pos = labelAt
		b.text, b.err = s.data[at:labelAt], corrupt("END line without an end")
		return b, nil
	}
	s.pos, s.glued = end, true
	b.text = s.data[at:end:end]
	if label != b.label {
		b.err = fmt.Errorf("END line of %q in a block of %q: %w", trustkeep.Printable(label), trustkeep.Printable(b.label), trustkeep.ErrCorrupt)
		return b, nil
	}
	b.headers, b.body, b.err = splitHeaders(s.data[bodyAt:stop])
	return b, nil
}

// label reads a label at at and the dashes behind it. end is after these.
func (s *scanner) label(at int) (label string, end int, ok bool) {
	window := s.data[at:min(len(s.data), at+maxLabel+len(dashes))]
	i := bytes.Index(window, []byte(dashes))
	if i < 0 || bytes.ContainsAny(window[:i], "\r\n") {
		return "", 0, false
	}
	return labelString(bytes.TrimSpace(window[:i])), at + i + len(dashes), true
}

// labelString spares the allocation for what most labels are.
func labelString(label []byte) string {
	if string(label) == "CERTIFICATE" {
		return "CERTIFICATE"
	}
	return string(label)
}

// maxLabel is longer than any label.
const maxLabel = 128

func (s *scanner) truncated(b *block) error {
	return fmt.Errorf("block of line %d has no end, truncated input: %w", b.line, trustkeep.ErrCorrupt)
}

// lineOf returns the line number of at, which never decreases between calls.
func (s *scanner) lineOf(at int) int {
	between := s.data[s.lined:at]
	n := bytes.Count(between, []byte{'\n'})
	if n == 0 {
		n = bytes.Count(between, []byte{'\r'})
	}
	s.line += n
	s.lined = at
	return s.line + 1
}

// maxHeaders is more than any block has.
const maxHeaders = 16

// splitHeaders takes the header lines off a body: lines with a colon, which
// base64 does not have.
func splitHeaders(body []byte) (headers []header, rest []byte, err error) {
	for rest = body; ; {
		trimmed := bytes.TrimLeft(rest, " \t\v\f\r\n")
		gap := rest[:len(rest)-len(trimmed)]
		rest = trimmed
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		if i := bytes.IndexByte(rest[:end], '\r'); i >= 0 {
			end = i
		}
		name, value, ok := bytes.Cut(rest[:end], []byte{':'})
		if !ok {
			// OpenSSL takes lines for headers up to a blank one (RFC 1421 section
			// 4.4), and finds no content without it.
			encrypted := slices.ContainsFunc(headers, func(h header) bool { return strings.EqualFold(h.name, "DEK-Info") })
			if encrypted && bytes.Count(gap, []byte{'\n'}) < 2 && bytes.Count(gap, []byte{'\r'}) < 2 {
				return nil, nil, corrupt("encrypted block without a blank line behind its headers")
			}
			return headers, rest, nil
		}
		if len(headers) == maxHeaders {
			return nil, nil, corrupt("too many header lines")
		}
		headers = append(headers, header{string(bytes.TrimSpace(name)), string(bytes.TrimSpace(value))})
		rest = rest[end:]
	}
}

// decode returns the content of the block. The scratch buffer is for reuse
// between blocks.
func (b *block) decode(scratch *[]byte) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	*scratch = joinLines((*scratch)[:0], b.body)
	out, err := decodeBase64(*scratch)
	if err != nil {
		// Not the usual layout; indentation and blanks are looked for
		// only here, since that costs as much as decoding.
		*scratch = removeSpace(*scratch)
		out, err = decodeBase64(*scratch)
	}
	if err == nil && len(out) == 0 {
		return nil, corrupt("empty block")
	}
	return out, err
}

func decodeBase64(text []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return nil, fmt.Errorf("base64: %w: %v", trustkeep.ErrCorrupt, err)
	}
	return out[:n:n], nil
}

// joinLines appends the lines of b to out. Copying line by line and decoding at
// a stretch takes half the time of letting base64 skip the line ends.
func joinLines(out, b []byte) []byte {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		out = append(out, line...)
	}
	return out
}

// removeSpace removes white space in place.
func removeSpace(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		switch c {
		case ' ', '\t', '\v', '\f', '\r':
		default:
			out = append(out, c)
		}
	}
	return out
}

// normalize removes a byte order mark and turns UTF-16, which some Windows
// programs write, into UTF-8.
func normalize(data []byte) []byte {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return fromUTF16(data[2:], 0, 1)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fromUTF16(data[2:], 1, 0)
	}
	return data
}

func fromUTF16(data []byte, low, high int) []byte {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = uint16(data[2*i+low]) | uint16(data[2*i+high])<<8
	}
	return []byte(string(utf16.Decode(units)))
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }
