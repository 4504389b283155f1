package cms

import (
	"crypto/cipher"
	"errors"
	"io"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
)

// chunk is how much ciphertext is written at once, as one piece of a
// constructed OCTET STRING. It is a multiple of every block size.
const chunk = 64 << 10

// errClosed is what a Write after Close gets: a mistake in the program.
var errClosed = errors.New("cms: write after close")

// cbcWriter encrypts in CBC mode while the content passes.
type cbcWriter struct {
	dst  io.Writer
	mode cipher.BlockMode
	// buf has room for a chunk and, before it, its header; n bytes of the
	// chunk are plaintext that waits.
	buf  []byte
	n    int
	tail []byte
	err  error
}

func newCBCWriter(dst io.Writer, e *envelope) (*cbcWriter, error) {
	head, tail := berio.Indefinite(e.frames...)
	if _, err := dst.Write(head); err != nil {
		return nil, err
	}
	return &cbcWriter{
		dst: dst, tail: tail,
		mode: cipher.NewCBCEncrypter(e.block, e.iv),
		buf:  make([]byte, berio.MaxChunkHeader+chunk),
	}, nil
}

func (w *cbcWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		body := w.buf[berio.MaxChunkHeader:]
		n := len(p)
		if w.n == 0 && n >= chunk {
			n = chunk
			w.mode.CryptBlocks(body, p[:chunk]) // no need to copy
			w.emit(chunk)
		} else {
			n = copy(body[w.n:], p)
			if w.n += n; w.n == chunk {
				w.mode.CryptBlocks(body, body)
				w.emit(chunk)
				w.n = 0
			}
		}
		p = p[n:]
		written += n
	}
	return written, w.err
}

// emit writes the first n bytes of the chunk, which are encrypted.
func (w *cbcWriter) emit(n int) {
	var buf [berio.MaxChunkHeader]byte
	header := berio.AppendChunkHeader(buf[:0], n)
	start := berio.MaxChunkHeader - len(header)
	copy(w.buf[start:], header)
	if _, err := w.dst.Write(w.buf[start : berio.MaxChunkHeader+n]); err != nil {
		w.err = wrap("seal", err)
	}
}

// Close encrypts the last block and ends the message.
func (w *cbcWriter) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	size := w.mode.BlockSize()
	body := w.buf[berio.MaxChunkHeader:]
	n := w.n/size*size + size
	pad(body[n-size:n], w.n%size)
	w.mode.CryptBlocks(body[:n], body[:n])
	if w.emit(n); w.err != nil {
		return w.err
	}
	if _, err := w.dst.Write(w.tail); err != nil {
		w.err = wrap("seal", err)
		return w.err
	}
	w.err = errClosed
	return nil
}

// gcmWriter holds the content until Close: crypto/cipher has GCM for content in
// memory only.
type gcmWriter struct {
	dst      io.Writer
	envelope *envelope
	content  []byte
	err      error
}

func (w *gcmWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	size := int64(len(w.content)) + int64(len(p)) + int64(w.envelope.overhead())
	if err := w.envelope.budget.Size(size); err != nil {
		clear(w.content)
		w.err = wrap("seal", err, "the GCM ciphers hold the content in memory; a CBC cipher does not")
		return 0, w.err
	}
	w.content = append(w.content, p...)
	return len(p), nil
}

func (w *gcmWriter) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	sealed, err := w.envelope.seal(w.content)
	clear(w.content)
	w.content = nil
	if err == nil {
		_, err = w.dst.Write(sealed)
	}
	if err != nil {
		w.err = wrap("seal", err)
		return w.err
	}
	return nil
}
