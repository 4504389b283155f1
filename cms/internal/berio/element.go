package berio

import (
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// Element takes the next element out whole, at most limit bytes of it.
func (r *Reader) Element(limit int) (ber.Element, error) {
	raw, err := r.Raw(limit)
	if err != nil {
		return ber.Element{}, err
	}
	in := ber.New(raw, ber.Rules{MaxDepth: r.depth - len(r.frames)})
	return in.Next()
}

// Raw takes the next element out whole as it stands, at most limit bytes of it.
func (r *Reader) Raw(limit int) ([]byte, error) {
	h, err := r.Peek()
	if err != nil {
		return nil, err
	}
	var out []byte
	if !h.Indefinite && h.Length <= int64(limit-h.size) {
		out = make([]byte, 0, h.size+int(h.Length))
	}
	err = r.walk(func(n int64) error {
		if n > int64(limit-len(out)) {
			return fmt.Errorf("element of more than %d bytes: %w", limit, trustkeep.ErrLimit)
		}
		start := len(out)
		out = append(out, make([]byte, n)...)
		got, err := io.ReadFull(r.src, out[start:])
		r.pos += int64(got)
		if err != nil {
			return readError(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Skip consumes the next element, whatever its size.
func (r *Reader) Skip() error { return r.walk(r.discard) }

// walk consumes the next element by calls of consume, which add up to its
// length. It does not recurse.
func (r *Reader) walk(consume func(n int64) error) error {
	base := len(r.frames)
	for {
		h, err := r.header()
		if err != nil {
			return err
		}
		if h.Indefinite {
			if len(r.frames) >= r.depth {
				return errDepth()
			}
			if err := consume(int64(h.size)); err != nil {
				return err
			}
			r.frames = append(r.frames, frame{end: r.end(), indefinite: true})
		} else if err := consume(int64(h.size) + h.Length); err != nil {
			return err
		}
		for len(r.frames) > base {
			more, err := r.More()
			if err != nil {
				return err
			}
			if more {
				break
			}
			if err := consume(2); err != nil {
				return err
			}
			r.frames = r.frames[:len(r.frames)-1]
		}
		if len(r.frames) == base {
			return nil
		}
	}
}

// Octets starts reading the next element, a string of octets with that tag:
// primitive, or constructed of pieces that are OCTET STRINGs (X.690 section
// 8.7.3). The result ends with io.EOF when the element is consumed; until then
// the Reader must not be used otherwise.
func (r *Reader) Octets(t ber.Tag) (io.Reader, error) {
	h, err := r.expect(t)
	if err != nil {
		return nil, err
	}
	o := &octets{r: r, base: len(r.frames)}
	if h.Constructed {
		return o, r.push(h)
	}
	o.left, o.primitive = h.Length, true
	return o, r.discard(int64(h.size))
}

type octets struct {
	r         *Reader
	base      int   // frames outside the string
	left      int64 // of the piece
	primitive bool
	err       error
}

func (o *octets) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, o.err
	}
	for o.left == 0 && o.err == nil {
		if n := o.gather(p); n > 0 {
			return n, nil
		}
		o.err = o.next()
	}
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.r.src.Read(p[:min(int64(len(p)), o.left)])
	o.r.pos += int64(n)
	o.left -= int64(n)
	if err != nil {
		o.err = readError(err)
		if n > 0 {
			return n, nil
		}
	}
	return n, o.err
}

// gather takes whole short pieces that are in the buffer already, as many as p has room
// for. It exists for speed: some products write pieces of a few octets.
func (o *octets) gather(p []byte) (n int) {
	if o.primitive || len(o.r.frames) == o.base {
		return 0
	}
	b, _ := o.r.src.Peek(o.r.src.Buffered())
	b = b[:min(int64(len(b)), o.r.end()-o.r.pos)]
	i := 0
	for len(b)-i >= 2 && b[i] == OctetString {
		size := int(b[i+1])
		if size >= 0x80 || size > len(b)-i-2 || size > len(p)-n {
			break
		}
		if i += 2; size == 1 {
			p[n] = b[i]
		} else {
			copy(p[n:], b[i:i+size])
		}
		i += size
		n += size
	}
	if i > 0 {
		o.r.src.Discard(i) // buffered, so it cannot fail
		o.r.pos += int64(i)
	}
	return n
}

// next goes to the next piece. It returns io.EOF after the last.
func (o *octets) next() error {
	if o.primitive || len(o.r.frames) == o.base {
		return io.EOF
	}
	more, err := o.r.More()
	if err != nil {
		return err
	}
	if !more {
		return o.r.Leave()
	}
	h, err := o.r.expect(ber.OctetString)
	if err != nil {
		return err
	}
	if h.Constructed {
		return o.r.push(h)
	}
	o.left = h.Length
	return o.r.discard(int64(h.size))
}
