package cms

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
)

// Compress makes a compressed message with the zero CompressOptions. See
// CompressOptions.Compress.
func Compress(content []byte) ([]byte, error) { return CompressOptions{}.Compress(content) }

// CompressOptions configures compressing. The zero value is ready to use. It is a value and
// safe for concurrent use.
type CompressOptions struct {
	// Level is from 1, the fastest, to 9, the smallest. If zero, zlib's default, 6.
	Level int
}

// Compress returns content as a CompressedData (RFC 3274) by zlib, in DER. It is neither
// sealed nor signed. Compress before sealing: what is sealed no longer shrinks. Whether to
// sign the content or what was compressed is for the receiver to say (RFC 5402 section 2).
//
// What an attacker can add to a secret shows by how well the two compress together: do not
// compress them in one message.
//
// The error wraps trustkeep.ErrInvalid for a Level out of range.
func (o CompressOptions) Compress(content []byte) ([]byte, error) {
	const op = "compress"
	var compressed bytes.Buffer
	z, err := o.zlib(&compressed)
	if err != nil {
		return nil, wrap(op, err)
	}
	if _, err := z.Write(content); err != nil {
		return nil, wrap(op, err)
	}
	if err := z.Close(); err != nil {
		return nil, wrap(op, err)
	}
	head, tail := berio.Definite(compressed.Len(), compressedFrames()...)
	return bytes.Join([][]byte{head, compressed.Bytes(), tail}, nil), nil
}

// Writer compresses what is written to it and writes the message to dst, in BER with
// indefinite lengths, as it goes: memory stays flat whatever the size. Close ends the message
// and does not close dst; without it the message is cut short and no reader accepts it. The
// Writer is not safe for concurrent use.
//
// Errors are those of Compress and of dst.
func (o CompressOptions) Writer(dst io.Writer) (io.WriteCloser, error) {
	const op = "compress"
	w := &compressWriter{dst: dst, pieces: bufio.NewWriterSize(chunkWriter{dst}, chunk)}
	var err error
	if w.zlib, err = o.zlib(w.pieces); err != nil {
		return nil, wrap(op, err)
	}
	head, _ := berio.Indefinite(compressedFrames()...)
	if _, err := dst.Write(head); err != nil {
		return nil, wrap(op, err)
	}
	return newWriter(w), nil
}

func (o CompressOptions) zlib(dst io.Writer) (*zlib.Writer, error) {
	switch {
	case o.Level < 0 || o.Level > zlib.BestCompression:
		return nil, invalid(fmt.Sprintf("compression level %d", o.Level))
	case o.Level == 0:
		return zlib.NewWriter(dst), nil
	}
	return zlib.NewWriterLevel(dst, o.Level)
}

// compressedFrames are what is around the compressed content.
func compressedFrames() []berio.Frame {
	return []berio.Frame{
		{Identifier: berio.Sequence, Before: oidCompressedData.der()},
		{Identifier: berio.ContextConstructed(0)},
		{Identifier: berio.Sequence, Before: append(berio.TLV(berio.Integer, []byte{0}), algorithm{id: oidZlib}.der()...)},
		{Identifier: berio.Sequence, Before: oidData.der()},
		{Identifier: berio.ContextConstructed(0)},
		{Identifier: berio.OctetString},
	}
}

// chunkWriter writes each piece as one of a constructed OCTET STRING.
type chunkWriter struct{ dst io.Writer }

func (w chunkWriter) Write(p []byte) (int, error) {
	var header [berio.MaxChunkHeader]byte
	if _, err := w.dst.Write(berio.AppendChunkHeader(header[:0], len(p))); err != nil {
		return 0, err
	}
	return w.dst.Write(p)
}

// compressWriter compresses while the content passes.
type compressWriter struct {
	dst    io.Writer
	pieces *bufio.Writer
	zlib   *zlib.Writer
	err    error
}

func (w *compressWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.zlib.Write(p)
	if err != nil {
		w.err = wrap("compress", err)
	}
	return n, w.err
}

// Close ends the message.
func (w *compressWriter) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	err := w.zlib.Close()
	if err == nil {
		err = w.pieces.Flush()
	}
	if err == nil {
		_, tail := berio.Indefinite(compressedFrames()...)
		_, err = w.dst.Write(tail)
	}
	if err != nil {
		w.err = wrap("compress", err)
		return w.err
	}
	w.err = errClosed
	return nil
}
