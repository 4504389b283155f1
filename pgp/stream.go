package pgp

import (
	"bufio"
	"io"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// chunkSize is the length of the partial packet bodies written and of the AEAD
// chunks. Beyond it nothing gets faster.
const chunkSize = 256 << 10

// workSize is the unit in which long messages are worked on. Waking a second
// core was measured to cost 0.1 ms; hashing this much takes five times that.
const workSize = 1 << 20

// firstChunk is what is read before a message is known to be long.
const firstChunk = 8 << 10

// worthForking is the least number of bytes that is hashed beside other work.
const worthForking = 512 << 10

// beside runs f beside g when there is enough to do, and returns when both are
// done: no goroutine outlives the call.
func beside(n int, f, g func()) {
	if n < worthForking {
		f()
		g()
		return
	}
	var wg sync.WaitGroup
	wg.Go(f)
	g()
	wg.Wait()
}

// fillBuffer reads until p is full. Unlike io.ReadFull it leaves the reader's
// own errors apart: io.EOF is the end, io.ErrUnexpectedEOF a truncated packet.
func fillBuffer(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}

// packetWriter writes one packet of unknown length in partial bodies, RFC 9580
// section 4.2.1.4. Close ends the packet, not what it is written to.
type packetWriter struct {
	w       io.Writer
	tag     byte
	buf     []byte
	started bool
}

func newPacketWriter(w io.Writer, tag byte) *packetWriter {
	return &packetWriter{w: w, tag: tag, buf: make([]byte, 0, firstChunk)}
}

func (p *packetWriter) Write(b []byte) (n int, err error) {
	n = len(b)
	for len(b) > 0 {
		if len(p.buf) == 0 && len(b) > chunkSize {
			if err := p.partial(b[:chunkSize]); err != nil {
				return n - len(b), err
			}
			b = b[chunkSize:]
			continue
		}
		if len(p.buf) == chunkSize { // there is more, so this is not the last
			if err := p.partial(p.buf); err != nil {
				return n - len(b), err
			}
			p.buf = p.buf[:0]
			continue
		}
		m := min(chunkSize-len(p.buf), len(b))
		p.buf = append(p.buf, b[:m]...)
		b = b[m:]
	}
	return n, nil
}

func (p *packetWriter) partial(chunk []byte) error {
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

func (p *packetWriter) Close() error {
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

// behindWriter writes what it has collected while more is collected. The caller
// of Flush owns the goroutine: it has ended when Flush returns, and Flush must
// be called on every path.
type behindWriter struct {
	w    io.Writer
	bufs [2][]byte
	cur  int
	busy chan error // nil when nothing is being written
	err  error
}

func (b *behindWriter) Write(p []byte) (n int, err error) {
	n = len(p)
	for len(p) > 0 && b.err == nil {
		buf := &b.bufs[b.cur]
		m := min(len(p), workSize-len(*buf))
		*buf = append(*buf, p[:m]...)
		p = p[m:]
		if len(*buf) == workSize {
			b.wait()
			if b.err != nil {
				break
			}
			full := *buf
			b.busy = make(chan error, 1)
			go func(done chan<- error) {
				_, err := b.w.Write(full)
				done <- err
			}(b.busy)
			b.cur = 1 - b.cur
			b.bufs[b.cur] = b.bufs[b.cur][:0]
		}
	}
	return n - len(p), b.err
}

func (b *behindWriter) wait() {
	if b.busy != nil {
		if err := <-b.busy; b.err == nil {
			b.err = err
		}
		b.busy = nil
	}
}

// Flush writes the rest and waits for all of it.
func (b *behindWriter) Flush() error {
	b.wait()
	if b.err == nil {
		_, b.err = b.w.Write(b.bufs[b.cur])
		b.bufs[b.cur] = b.bufs[b.cur][:0]
	}
	return b.err
}

// maxSmallPacket bounds the packets that are read as a whole: session keys and
// signatures.
const maxSmallPacket = 128 << 10

// packetBody reads the body of a packet from a stream.
type packetBody struct {
	r         *bufio.Reader
	remaining int64
	partial   bool // another length follows
	unbounded bool // the packet ends with the stream
}

// readPacket reads the header of the next packet. The error is io.EOF at the
// end of the stream.
func readPacket(r *bufio.Reader) (tag byte, body *packetBody, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	if first&0x80 == 0 {
		return 0, nil, fail(trustkeep.ErrCorrupt, "not an OpenPGP packet")
	}
	body = &packetBody{r: r}
	if first&0x40 != 0 {
		tag = first & 0x3F
		if err := body.length(); err != nil {
			return 0, nil, err
		}
		if body.partial && !isDataPacket(tag) {
			return 0, nil, fail(trustkeep.ErrCorrupt, "partial length in packet of type %d", tag)
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
	case tagCompressed, tagEncrypted, tagLiteral, tagSEIPD, tagOCBEd:
		return true
	}
	return false
}

// octet reads a byte that has to be there.
func (b *packetBody) octet() (byte, error) {
	c, err := b.r.ReadByte()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}

// length reads a length of the current format, section 4.2.1.
func (b *packetBody) length() error {
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

func (b *packetBody) Read(p []byte) (int, error) {
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

// small reads a whole packet that must not be long.
func (b *packetBody) small() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(b, maxSmallPacket+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSmallPacket {
		return nil, fail(trustkeep.ErrLimit, "packet of more than %d bytes", maxSmallPacket)
	}
	return data, nil
}

func (b *packetBody) discard() error {
	_, err := io.Copy(io.Discard, b)
	return err
}
