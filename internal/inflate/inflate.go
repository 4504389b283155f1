// Package inflate bounds decompression: what comes out, in all and for each byte that went
// in. Layers of compression around each other count as one, by the bytes that the outermost
// took in, so that a chain of them gains nothing.
package inflate

import (
	"bufio"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
)

// Input counts what the outermost of nested layers has read. It is not safe for concurrent
// use, as the readers that share it are not.
type Input struct{ n int64 }

// Carrier is a reader whose content comes out of decompression.
type Carrier interface{ Inflated() *Input }

// Free is how many bytes may come out whatever went in, so that the ratio only concerns
// content of a size that matters.
const Free = 1 << 20

// DefaultRatio is far above what text, XML and EDI reach.
const DefaultRatio = 200

// Reader decompresses zlib (RFC 1950). It fails with trustkeep.ErrCorrupt for what is no
// zlib, is cut short or followed by something, trustkeep.ErrUnsupported where a dictionary is
// needed, trustkeep.ErrLimit beyond the bounds, and otherwise with the error of the source.
type Reader struct {
	src   *bufio.Reader
	zlib  io.Reader // nil before the first Read
	input *Input
	size  int64 // most that may come out
	ratio int64
	out   int64
	err   error
}

// NewReader reads from src. At most size bytes come out, and beyond Free at most ratio for
// each that went in. outer is what src comes out of, nil if it was not compressed.
func NewReader(src io.Reader, outer *Input, size, ratio int64) *Reader {
	r := &Reader{input: outer, size: size, ratio: ratio}
	if outer == nil {
		r.input = new(Input)
		src = &counter{src, r.input}
	}
	r.src = bufio.NewReaderSize(src, 4096)
	return r
}

// Inflated implements Carrier.
func (r *Reader) Inflated() *Input { return r.input }

type counter struct {
	src   io.Reader
	input *Input
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.input.n += int64(n)
	return n, err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.zlib == nil {
		z, err := zlib.NewReader(r.src)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			r.err = explain(err)
			return 0, r.err
		}
		r.zlib = z
	}
	n, err := r.zlib.Read(p)
	r.out += int64(n)
	switch {
	case r.out > r.size:
		r.err = fmt.Errorf("more than %d bytes of decompressed content: %w", r.size, trustkeep.ErrLimit)
	case r.out > Free && r.out/r.ratio > r.input.n:
		r.err = fmt.Errorf("content compressed by more than %d to 1: %w", r.ratio, trustkeep.ErrLimit)
	case err == io.EOF:
		r.err = io.EOF
		if _, err := r.src.ReadByte(); err == nil {
			r.err = fmt.Errorf("data after the compressed content: %w", trustkeep.ErrCorrupt)
		} else if err != io.EOF {
			r.err = err
		}
	case err != nil:
		r.err = explain(err)
	}
	if r.err != nil && r.err != io.EOF {
		clear(p[:n])
		return 0, r.err
	}
	return n, r.err
}

func explain(err error) error {
	var bad flate.CorruptInputError
	switch {
	case errors.Is(err, zlib.ErrDictionary):
		return fmt.Errorf("compression with a dictionary: %w", trustkeep.ErrUnsupported)
	case errors.As(err, &bad), errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrChecksum), err == io.ErrUnexpectedEOF:
		return fmt.Errorf("compressed content: %w", trustkeep.ErrCorrupt)
	}
	return err
}
