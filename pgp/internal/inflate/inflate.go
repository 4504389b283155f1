// Package inflate reads compressed data and stops when it expands too much.
package inflate

import (
	"bufio"
	"compress/bzip2"
	"compress/flate"
	"compress/zlib"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// What a message may expand to by compression before it counts as a bomb.
const (
	DefaultExpansion = 200
	freeExpansion    = 64 << 20
)

// Input is what has been read of a compressed packet.
type Input struct {
	r io.Reader
	n int64
}

// Open reads the content of a compressed packet, which may expand by the
// factor: to that many times the packet or, if it was itself compressed, the outermost
// one, which is outer then, and else nil. Layers count as one, or each would expand
// what the one around it did. Closing end reads what is left of the packet.
func Open(body io.Reader, outer *Input, factor int64) (content io.Reader, end io.Closer, outermost *Input, err error) {
	in := &Input{r: body}
	r := bufio.NewReaderSize(in, 32<<10)
	algorithm, err := r.ReadByte()
	if err != nil {
		return nil, nil, nil, io.ErrUnexpectedEOF
	}
	var out io.Reader
	switch algorithm {
	case 0:
		out = r
	case 1:
		out = flate.NewReader(r)
	case 2:
		if out, err = zlib.NewReader(r); err != nil {
			return nil, nil, nil, err
		}
	case 3:
		out = bzip2.NewReader(r)
	default:
		return nil, nil, nil, fault.New(trustkeep.ErrUnsupported, "compression algorithm %d", algorithm)
	}
	if outer == nil {
		outer = in
	}
	return &expansionReader{r: out, in: outer, factor: factor}, bodyEnd{r}, outer, nil
}

// bodyEnd reads what is left of a compressed packet behind the compressed
// stream, so that the packets after it are found.
type bodyEnd struct{ r io.Reader }

func (b bodyEnd) Close() error {
	_, err := io.Copy(io.Discard, b.r)
	return err
}

func (c *Input) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// expansionReader ends in ErrLimit when compressed data expands too much.
type expansionReader struct {
	r      io.Reader
	in     *Input
	factor int64
	n      int64
}

func (e *expansionReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.n += int64(n)
	if e.n > freeExpansion && e.n/e.factor > e.in.n {
		return 0, fault.New(trustkeep.ErrLimit, "compressed data expands by more than %d times", e.factor)
	}
	return n, err
}
