package smime

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
)

// multipart reads the parts of a multipart body (RFC 2046 section 5.1) byte for byte, which
// mime/multipart does not: it drops the header as it was signed.
type multipart struct {
	src       *bufio.Reader
	delimiter []byte // "--" and the boundary
	lineStart bool
	held      []byte // a line end, which is of the delimiter if that follows
	buf, rest []byte // what was read; rest is for the reader
	last      bool   // the closing delimiter was met
	err       error
}

func newMultipart(src *bufio.Reader, boundary string) (*multipart, error) {
	if boundary == "" || len(boundary) > 200 {
		return nil, fmt.Errorf("boundary of the multipart: %w", trustkeep.ErrCorrupt)
	}
	return &multipart{src: src, delimiter: []byte("--" + boundary), lineStart: true}, nil
}

// next skips to the next part. It returns io.EOF after the last.
func (m *multipart) next() error {
	if _, err := io.Copy(io.Discard, m); err != nil { // of the preamble or the part before
		return err
	}
	if m.last {
		return io.EOF
	}
	m.err, m.lineStart, m.held, m.rest = nil, true, m.held[:0], nil
	return nil
}

// isDelimiter reports whether a line is one, and whether it is the closing one.
func (m *multipart) isDelimiter(line []byte) (is, closing bool) {
	rest, ok := bytes.CutPrefix(line, m.delimiter)
	if !ok {
		return false, false
	}
	rest, closing = bytes.CutPrefix(rest, []byte("--"))
	return len(bytes.TrimRight(rest, " \t\r\n")) == 0, closing
}

// Read yields the current part, without the line end before the delimiter: as much as p has
// room for and is there without waiting.
func (m *multipart) Read(p []byte) (n int, err error) {
	for n < len(p) && (n == 0 || m.src.Buffered() > 0) {
		if len(m.rest) == 0 {
			if m.err != nil {
				break
			}
			m.err = m.fill()
			continue
		}
		k := copy(p[n:], m.rest)
		m.rest = m.rest[k:]
		n += k
	}
	if n == 0 && len(p) > 0 {
		return 0, m.err
	}
	return n, nil
}

// fill reads the next line, or a piece of a long one.
func (m *multipart) fill() error {
	line, err := m.src.ReadSlice('\n')
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return err
	}
	if m.lineStart && err != bufio.ErrBufferFull {
		if is, closing := m.isDelimiter(line); is {
			m.last = closing
			return io.EOF
		}
	}
	if err == io.EOF && len(line) == 0 {
		return fmt.Errorf("multipart without its closing delimiter: %w", trustkeep.ErrCorrupt)
	}
	// What was held is content after all, but for CR that the end of the buffer has cut off
	// from its LF.
	m.buf = append(append(m.buf[:0], m.held...), line...)
	end := len(m.buf)
	switch {
	case bytes.HasSuffix(m.buf, []byte("\r\n")):
		end -= 2
	case bytes.HasSuffix(m.buf, []byte("\n")), bytes.HasSuffix(m.buf, []byte("\r")):
		end--
	}
	m.lineStart = bytes.HasSuffix(line, []byte("\n"))
	m.held = append(m.held[:0], m.buf[end:]...)
	m.rest = m.buf[:end]
	return nil
}
