package grammar

import (
	"bufio"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// Writer writes one packet of unknown length in partial bodies, RFC 9580
// section 4.2.1.4. Close ends the packet, not what it is written to.
type Writer struct {
	w       io.Writer
	tag     byte
	buf     []byte
	started bool
}

func NewWriter(w io.Writer, tag byte) *Writer {
	return &Writer{w: w, tag: tag, buf: make([]byte, 0, overlap.FirstChunk)}
}

func (p *Writer) Write(b []byte) (n int, err error) {
	n = len(b)
	for len(b) > 0 {
		if len(p.buf) == 0 && len(b) > overlap.ChunkSize {
			if err := p.partial(b[:overlap.ChunkSize]); err != nil {
				return n - len(b), err
			}
			b = b[overlap.ChunkSize:]
			continue
		}
		if len(p.buf) == overlap.ChunkSize { // there is more, so this is not the last
			if err := p.partial(p.buf); err != nil {
				return n - len(b), err
			}
			p.buf = p.buf[:0]
			continue
		}
		m := min(overlap.ChunkSize-len(p.buf), len(b))
		p.buf = append(p.buf, b[:m]...)
		b = b[m:]
	}
	return n, nil
}

func (p *Writer) partial(chunk []byte) error {
	const power = 18 // of chunkSize
	header := []byte{0xC0 | p.tag, 224 + power}
	if p.started {
		header = header[1:]
	}
	p.started = true
	if _, err := p.w.Write(header); err != nil {
		return err
	}
	_, err := p.w.Write(chunk)
	return err
}

func (p *Writer) Close() error {
	header := appendHeader(nil, p.tag, len(p.buf))
	if p.started {
		header = header[1:]
	}
	if _, err := p.w.Write(header); err != nil {
		return err
	}
	_, err := p.w.Write(p.buf)
	return err
}

// maxSmallPacket bounds the packets that are read as a whole: session keys and
// signatures.
const maxSmallPacket = 128 << 10

// Body reads the body of a packet from a stream.
type Body struct {
	r         *bufio.Reader
	remaining int64
	partial   bool // another length follows
	unbounded bool // the packet ends with the stream
}

// Read reads the header of the next packet. The error is io.EOF at the
// end of the stream.
func Read(r *bufio.Reader) (tag byte, body *Body, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	if first&0x80 == 0 {
		return 0, nil, fault.New(trustkeep.ErrCorrupt, "not an OpenPGP packet")
	}
	body = &Body{r: r}
	if first&0x40 != 0 {
		tag = first & 0x3F
		if err := body.length(); err != nil {
			return 0, nil, err
		}
		if body.partial && !isDataPacket(tag) {
			return 0, nil, fault.New(trustkeep.ErrCorrupt, "partial length in packet of type %d", tag)
		}
		return tag, body, nil
	}
	tag = first & 0x3F >> 2
	size := 1 << (first & 3)
	if size == 8 {
		body.unbounded = true
		return tag, body, nil
	}
	for range size {
		b, err := body.octet()
		if err != nil {
			return 0, nil, err
		}
		body.remaining = body.remaining<<8 | int64(b)
	}
	return tag, body, nil
}

func isDataPacket(tag byte) bool {
	switch tag {
	case TagCompressed, TagEncrypted, TagLiteral, TagSEIPD, TagOCBEd:
		return true
	}
	return false
}

// octet reads a byte that has to be there.
func (b *Body) octet() (byte, error) {
	c, err := b.r.ReadByte()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}

// length reads a length of the current format, section 4.2.1.
func (b *Body) length() error {
	first, err := b.octet()
	if err != nil {
		return err
	}
	b.partial = false
	switch {
	case first < 192:
		b.remaining = int64(first)
		return nil
	case first < 224:
		second, err := b.octet()
		b.remaining = int64(first-192)<<8 + int64(second) + 192
		return err
	case first < 255:
		b.remaining, b.partial = 1<<(first&0x1F), true
		return nil
	}
	b.remaining = 0
	for range 4 {
		c, err := b.octet()
		if err != nil {
			return err
		}
		b.remaining = b.remaining<<8 | int64(c)
	}
	return nil
}

func (b *Body) Read(p []byte) (int, error) {
	if b.unbounded {
		return b.r.Read(p)
	}
	for b.remaining == 0 {
		if !b.partial {
			return 0, io.EOF
		}
		if err := b.length(); err != nil {
			return 0, err
		}
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Small reads a whole packet that must not be long.
func (b *Body) Small() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(b, maxSmallPacket+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSmallPacket {
		return nil, fault.New(trustkeep.ErrLimit, "packet of more than %d bytes", maxSmallPacket)
	}
	return data, nil
}

func (b *Body) Discard() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

// maxPadding bounds what may fill up a file behind its last packet: a record of a
// mainframe, of 32,760 bytes, many times over.
const maxPadding = 1 << 20

// SkipPadding reads what other systems put behind binary data: line endings, NUL, and
// 0x1A, the end of a file in CP/M. It does nothing at the beginning of a packet. What
// follows the padding must be the end.
func SkipPadding(r *bufio.Reader) error {
	for n := 0; ; n++ {
		b, err := r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !isPadding(b) {
			if n > 0 {
				return fault.New(trustkeep.ErrCorrupt, "data behind the message")
			}
			return r.UnreadByte()
		}
		if n == maxPadding {
			return fault.New(trustkeep.ErrLimit, "more than %d bytes behind the message", maxPadding)
		}
	}
}

// OnlyPadding reports whether all of data is such padding.
func OnlyPadding(data []byte) bool {
	for _, b := range data {
		if !isPadding(b) {
			return false
		}
	}
	return len(data) <= maxPadding
}

// isPadding tells bytes that no packet begins with.
func isPadding(b byte) bool { return b == 0 || b == '\n' || b == '\r' || b == 0x1A }
