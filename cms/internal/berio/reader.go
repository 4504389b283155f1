// Package berio reads and writes ASN.1 in the Basic Encoding Rules (ITU-T
// X.690) as a stream: content of any size passes through while memory stays
// flat. Small elements are taken out whole and given to package ber.
//
// Errors wrap trustkeep.ErrCorrupt for what is no BER or is cut short,
// trustkeep.ErrLimit for what exceeds a bound, and otherwise the error of the
// source.
package berio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

const (
	classShift = 30 // of ber.Tag

	minBuffer = 512
	maxBuffer = 64 << 10
)

// Reader reads one BER element after the other from a source. It is not safe
// for concurrent use.
type Reader struct {
	src    *bufio.Reader
	pos    int64 // bytes consumed
	frames []frame
	depth  int
}

// frame is an element that was entered.
type frame struct {
	// end is where the innermost definite element ends, itself or one around
	// it.
	end        int64
	indefinite bool
}

// Header is identifier and length of an element.
type Header struct {
	Tag         ber.Tag
	Constructed bool
	Indefinite  bool
	Length      int64 // of the content, unless Indefinite
	size        int   // of the header
}

// NewReader reads from src, elements nested at most depth deep. size is how
// much input is expected, or negative; it only chooses the buffer.
func NewReader(src io.Reader, depth int, size int64) *Reader {
	n := int64(maxBuffer)
	if size >= 0 {
		n = max(minBuffer, min(size, maxBuffer))
	}
	return &Reader{src: bufio.NewReaderSize(src, int(n)), depth: depth}
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }

func errDepth() error { return fmt.Errorf("nested too deep: %w", trustkeep.ErrLimit) }

// readError turns an end of input in the midst of an element into ErrCorrupt
// and leaves errors of the source alone.
func readError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return corrupt("input ends too early")
	}
	return err
}

// end is where the innermost definite element ends.
func (r *Reader) end() int64 {
	if len(r.frames) == 0 {
		return math.MaxInt64
	}
	return r.frames[len(r.frames)-1].end
}

// More reports whether another element follows in the element entered last. At
// the top level it reports whether the source has more.
func (r *Reader) More() (bool, error) {
	if len(r.frames) == 0 {
		_, err := r.src.Peek(1)
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, readError(err)
		}
		return true, nil
	}
	f := r.frames[len(r.frames)-1]
	if !f.indefinite {
		return r.pos < f.end, nil
	}
	if f.end-r.pos < 2 {
		return false, corrupt("no end of contents")
	}
	b, err := r.src.Peek(2)
	if err != nil {
		return false, readError(err)
	}
	return b[0] != 0 || b[1] != 0, nil
}

// Peek returns the header of the next element without consuming it.
func (r *Reader) Peek() (Header, error) {
	more, err := r.More()
	if err != nil {
		return Header{}, err
	}
	if !more {
		return Header{}, corrupt("missing element")
	}
	return r.header()
}

// header reads X.690 sections 8.1.2 and 8.1.3 at the current position.
func (r *Reader) header() (h Header, err error) {
	const longest = 1 + 1 + 8 // identifier, length of lengths, length
	room := r.end() - r.pos
	b, err := r.src.Peek(int(min(longest, room)))
	if err != nil && (err != io.EOF || len(b) < 2) {
		return h, readError(err)
	}
	if len(b) < 2 {
		return h, corrupt("truncated element")
	}
	h.Constructed = b[0]&0x20 != 0
	number, size := ber.Tag(b[0]&0x1f), 1
	if number == 0x1f {
		return h, fmt.Errorf("multi-octet tag: %w", trustkeep.ErrUnsupported)
	}
	h.Tag = ber.Tag(b[0]>>6)<<classShift | number
	if h.Tag == 0 {
		return h, corrupt("end of contents out of place")
	}
	first := b[size]
	size++
	switch {
	case first < 0x80:
		h.Length = int64(first)
	case first == 0x80:
		if !h.Constructed {
			return h, corrupt("indefinite length of a primitive element")
		}
		h.Indefinite = true
	default:
		n := int(first & 0x7f)
		if n > 8 {
			return h, corrupt("element longer than the input")
		}
		if n > len(b)-size {
			return h, corrupt("truncated length")
		}
		for _, o := range b[size : size+n] {
			if h.Length > math.MaxInt64>>8 {
				return h, corrupt("element longer than the input")
			}
			h.Length = h.Length<<8 | int64(o)
		}
		size += n
	}
	h.size = size
	if int64(size) > room || h.Length > room-int64(size) {
		return h, corrupt("element longer than what it is in")
	}
	return h, nil
}

// Enter consumes the header of the next element, which must be constructed and
// have that tag, and goes on with what is in it.
func (r *Reader) Enter(t ber.Tag) error {
	h, err := r.expect(t)
	if err != nil {
		return err
	}
	if !h.Constructed {
		return corrupt(fmt.Sprintf("primitive %v", t))
	}
	return r.push(h)
}

// EnterOptional is Enter if the next element has that tag.
func (r *Reader) EnterOptional(t ber.Tag) (bool, error) {
	ok, err := r.Has(t)
	if !ok || err != nil {
		return false, err
	}
	return true, r.Enter(t)
}

// Has reports whether there is a next element and it has that tag.
func (r *Reader) Has(t ber.Tag) (bool, error) {
	more, err := r.More()
	if !more || err != nil {
		return false, err
	}
	h, err := r.header()
	return err == nil && h.Tag == t, err
}

func (r *Reader) expect(t ber.Tag) (Header, error) {
	h, err := r.Peek()
	if err == nil && h.Tag != t {
		err = corrupt(fmt.Sprintf("%v where %v belongs", h.Tag, t))
	}
	return h, err
}

func (r *Reader) push(h Header) error {
	if len(r.frames) >= r.depth {
		return errDepth()
	}
	if err := r.discard(int64(h.size)); err != nil {
		return err
	}
	f := frame{end: r.end(), indefinite: h.Indefinite}
	if !h.Indefinite {
		if h.Length > math.MaxInt64-r.pos {
			return corrupt("element longer than the input")
		}
		f.end = r.pos + h.Length
	}
	r.frames = append(r.frames, f)
	return nil
}

// Leave ends the element entered last, of which nothing may be left.
func (r *Reader) Leave() error {
	more, err := r.More()
	if err != nil {
		return err
	}
	if more {
		return corrupt("unexpected element")
	}
	f := r.frames[len(r.frames)-1]
	r.frames = r.frames[:len(r.frames)-1]
	if f.indefinite {
		return r.discard(2)
	}
	return nil
}

// End fails unless everything was left and the source has ended.
func (r *Reader) End() error {
	if len(r.frames) != 0 {
		return errors.New("berio: End inside an element")
	}
	more, err := r.More()
	if err != nil {
		return err
	}
	if more {
		return corrupt("data after the message")
	}
	return nil
}

func (r *Reader) discard(n int64) error {
	for n > 0 {
		d, err := r.src.Discard(int(min(n, 1<<30)))
		r.pos += int64(d)
		n -= int64(d)
		if err != nil {
			return readError(err)
		}
	}
	return nil
}

// BufferSize is the size of the buffer in bytes, which is about as much as one
// read from the source.
func (r *Reader) BufferSize() int { return r.src.Size() }

// Size is the number of bytes of the header itself.
func (h Header) Size() int64 { return int64(h.size) }
