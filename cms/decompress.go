package cms

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/inflate"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Decompress returns the content of a compressed message, with the zero DecompressOptions.
// See DecompressOptions.Decompress.
func Decompress(data []byte) ([]byte, error) { return DecompressOptions{}.Decompress(data) }

// DecompressOptions configures decompressing. The zero value is ready to use. It is a value
// and safe for concurrent use.
type DecompressOptions struct {
	// Limits: MaxSize bounds the message held in memory and, for Reader too, the
	// decompressed content; MaxDepth the nesting. Zero means the defaults.
	Limits trustkeep.Limits
	// MaxRatio bounds the decompressed content by the compressed: beyond the first MiB, so
	// many bytes may come out for each that went in. Where compressed content holds another
	// compressed message, and one Reader reads from the other, what went into the outermost
	// counts for both. If zero, 200; zlib reaches 1032, on zeros.
	MaxRatio int
}

// Decompress returns the content of a CompressedData (RFC 3274), whose algorithm is zlib.
// The message is DER or BER, bare or in PEM.
//
// The error wraps trustkeep.ErrLimit for content beyond MaxRatio or Limits.MaxSize,
// trustkeep.ErrCorrupt, trustkeep.ErrUnsupported for other messages and algorithms,
// trustkeep.ErrEmpty for a message without content, or trustkeep.ErrInvalid for a
// negative MaxRatio. zlib's checksum notices accidents and no attacks: what a compressed
// message holds should be signed.
func (o DecompressOptions) Decompress(data []byte) ([]byte, error) {
	const op = "decompress"
	d, err := o.start(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, wrap(op, err)
	}
	content, err := gather(d)
	if err != nil {
		return nil, wrap(op, err)
	}
	return content, nil
}

// gather reads what nobody knows the size of. It copies nothing before the end, so that
// content that turns out to be refused costs little more than itself.
func gather(src io.Reader) ([]byte, error) {
	var pieces [][]byte
	for size := chunk; ; size = min(2*size, 64*chunk) {
		p := make([]byte, size)
		n, err := io.ReadFull(src, p)
		pieces = append(pieces, p[:n])
		switch err {
		case nil:
			continue
		case io.EOF, io.ErrUnexpectedEOF: // the readers here never return the latter
			return slices.Concat(pieces...), nil
		}
		for _, p := range pieces {
			clear(p)
		}
		return nil, err
	}
}

// Reader decompresses a message as it is read from src. Memory stays flat whatever the size.
// Content is not known to be whole before Read returns io.EOF; any other error means that
// all of it must be thrown away. src can be the Reader of an OpenOptions or VerifyOptions,
// and theirs can read from this one.
//
// Errors of Reader and of Read are those of Decompress and of src. The result is not safe for
// concurrent use.
func (o DecompressOptions) Reader(src io.Reader) (io.Reader, error) {
	const op = "decompress"
	d, err := o.start(src, -1)
	if err != nil {
		return nil, wrap(op, err)
	}
	return &opReader{op: op, src: d, input: d.zlib.Inflated()}, nil
}

// inflated tells whether src comes out of decompression.
func inflated(src io.Reader) *inflate.Input {
	switch r := src.(type) {
	case *VerifyReader:
		return r.input
	case inflate.Carrier:
		return r.Inflated()
	}
	return nil
}

// decompressor is a CompressedData being read, as the reader of its content.
type decompressor struct {
	r    *berio.Reader
	zlib *inflate.Reader
	err  error
}

// RFC 3274 section 1.1 and 2.
var (
	oidCompressedData = newOID("1.2.840.113549.1.9.16.1.9")
	oidZlib           = newOID("1.2.840.113549.1.9.16.3.8")
)

// start reads up to the content. size is that of the input, negative if unknown.
func (o DecompressOptions) start(src io.Reader, size int64) (*decompressor, error) {
	ratio := int64(o.MaxRatio)
	switch {
	case ratio < 0:
		return nil, invalid(fmt.Sprintf("ratio %d", ratio))
	case ratio == 0:
		ratio = inflate.DefaultRatio
	}
	budget := limits.New(o.Limits)
	if size >= 0 {
		if err := budget.Size(size); err != nil {
			return nil, err
		}
	}
	d := &decompressor{r: berio.NewReader(unarmor(src), budget.MaxDepth(), size)}
	id, err := enterContentInfo(d.r)
	if err != nil {
		return nil, err
	}
	if id != oidCompressedData {
		return nil, unsupported("content type " + describe(id) + ", which is not compressed")
	}
	if err := d.r.Enter(ber.Sequence); err != nil {
		return nil, err
	}
	if err := d.r.Skip(); err != nil { // version, always 0
		return nil, err
	}
	e, err := d.r.Element(maxSmall)
	if err != nil {
		return nil, err
	}
	if e.Tag != ber.Sequence {
		return nil, corrupt("compression algorithm")
	}
	a, err := parseAlgorithm(e)
	if err != nil {
		return nil, err
	}
	if a.id != oidZlib {
		return nil, unsupported("compression " + a.id.String())
	}
	if err := d.r.Enter(ber.Sequence); err != nil { // encapContentInfo
		return nil, err
	}
	if _, err := elementOID(d.r); err != nil { // what is inside is the caller's business
		return nil, err
	}
	attached, err := d.r.EnterOptional(ber.Context(0))
	if err != nil {
		return nil, err
	}
	if !attached {
		return nil, fmt.Errorf("compressed content is not in the message: %w", trustkeep.ErrEmpty)
	}
	content, err := d.r.Octets(ber.OctetString)
	if err != nil {
		return nil, err
	}
	d.zlib = inflate.NewReader(content, inflated(src), o.Limits.WithDefaults().MaxSize, ratio)
	return d, nil
}

// Read yields the content.
func (d *decompressor) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	n, err := d.zlib.Read(p)
	if err == io.EOF {
		if fail := d.end(); fail != nil {
			err = fail
		}
	}
	d.err = err
	return n, err
}

// end reads what follows the content, which is nothing.
func (d *decompressor) end() error {
	for range 2 { // the explicit tag and encapContentInfo
		if err := d.r.Leave(); err != nil {
			return err
		}
	}
	return leaveContentInfo(d.r)
}
