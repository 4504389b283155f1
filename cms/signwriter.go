package cms

import (
	"bufio"
	"io"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
)

// signChunk is how much content is hashed beside the rest of the work. It is
// larger than chunk because each costs a goroutine.
const signChunk = 4 * chunk

// signWriter writes content as it passes and its signatures at the end.
type signWriter struct {
	buf    *bufio.Writer // collects small writes into pieces
	pieces pieceWriter
	err    error
}

func newSignWriter(dst io.Writer, s *signature) *signWriter {
	w := &signWriter{pieces: pieceWriter{dst, s}}
	w.buf = bufio.NewWriterSize(&w.pieces, signChunk)
	return w
}

// Write implements io.Writer.
func (w *signWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.buf.Write(p)
	if err != nil {
		w.err = wrap("sign", err)
	}
	return n, w.err
}

// ReadFrom lets io.Copy read in pieces of the right size.
func (w *signWriter) ReadFrom(src io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.buf.ReadFrom(src) // its error may be that of src, which is no reason to give up
}

// Close signs and ends the message.
func (w *signWriter) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	if err := w.finish(); err != nil {
		w.err = wrap("sign", err)
		return w.err
	}
	w.err = errClosed
	return nil
}

func (w *signWriter) finish() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	after, err := w.pieces.signature.after()
	if err != nil {
		return err
	}
	_, tail := berio.Indefinite(w.pieces.signature.frames(after)...)
	_, err = w.pieces.dst.Write(tail)
	return err
}

// pieceWriter writes pieces of a constructed OCTET STRING and hashes them.
type pieceWriter struct {
	dst       io.Writer
	signature *signature
}

func (w *pieceWriter) Write(p []byte) (int, error) {
	err := w.signature.digests.beside(p, func() error {
		_, err := chunkWriter{w.dst}.Write(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
