package smime

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// decode undoes the Content-Transfer-Encoding (RFC 2045 section 6).
func (h *header) decode(body io.Reader) (io.Reader, error) {
	switch h.encoding {
	case "7bit", "8bit", "binary", "":
		return body, nil
	case "base64":
		return &decoder{h: h, src: base64.NewDecoder(base64.StdEncoding, &solid{body})}, nil
	case "quoted-printable":
		return &decoder{h: h, src: quotedprintable.NewReader(body)}, nil
	}
	return nil, fmt.Errorf("Content-Transfer-Encoding %s: %w", h.show(h.encoding), trustkeep.ErrUnsupported)
}

// solid leaves out blanks, which some products put at the end of lines.
type solid struct{ src io.Reader }

func (s *solid) Read(p []byte) (int, error) {
	for {
		n, err := s.src.Read(p)
		kept := 0
		for _, b := range p[:n] {
			if b != ' ' && b != '\t' {
				p[kept] = b
				kept++
			}
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// decoder says trustkeep.ErrCorrupt for what is not encoded so.
type decoder struct {
	h   *header
	src io.Reader
}

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	var bad base64.CorruptInputError
	switch {
	case err == nil, err == io.EOF:
	case errors.As(err, &bad), err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("content-transfer-encoding: %w", trustkeep.ErrCorrupt)
	case strings.HasPrefix(err.Error(), "quotedprintable: "):
		err = fmt.Errorf("content-transfer-encoding: %s: %w", d.h.show(err.Error()), trustkeep.ErrCorrupt)
	}
	return n, err
}

// lineWriter breaks base64 into lines of 76 characters (RFC 2045 section 6.8).
type lineWriter struct {
	dst *bufio.Writer
	n   int // in the line
}

const lineLength = 76

func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), lineLength-w.n)
		w.dst.Write(rest[:n])
		rest = rest[n:]
		if w.n += n; w.n == lineLength {
			w.dst.WriteString("\r\n")
			w.n = 0
		}
	}
	return len(p), nil // the error of dst comes with its Flush
}

// encoder writes a body in base64, or as it is.
type encoder struct {
	io.Writer
	close func() error
}

func encode(dst io.Writer, binary bool) *encoder {
	if binary {
		return &encoder{dst, func() error { return nil }}
	}
	lines := &lineWriter{dst: bufio.NewWriterSize(dst, 32<<10)}
	b := base64.NewEncoder(base64.StdEncoding, lines)
	return &encoder{b, func() error {
		if err := b.Close(); err != nil {
			return err
		}
		if lines.n > 0 {
			lines.dst.WriteString("\r\n")
		}
		return lines.dst.Flush()
	}}
}

// canonical turns LF alone at the end of lines into CRLF (RFC 8551 section 3.1.1).
type canonical struct {
	src  io.Reader
	buf  []byte // read and not yet given
	last byte   // given last
	mem  [16 << 10]byte
	err  error
}

func (c *canonical) Read(p []byte) (n int, err error) {
	for len(p) > 0 && n == 0 {
		if len(c.buf) == 0 {
			if c.err != nil {
				return 0, c.err
			}
			var got int
			got, c.err = c.src.Read(c.mem[:])
			c.buf = c.mem[:got]
			continue
		}
		for n < len(p) && len(c.buf) > 0 {
			if c.buf[0] == '\n' && c.last != '\r' {
				p[n] = '\r'
				c.last = '\r'
				n++
				continue
			}
			// Up to the next line end at once, which is looked at by itself.
			end := bytes.IndexByte(c.buf[1:], '\n') + 1
			if end == 0 {
				end = len(c.buf)
			}
			k := copy(p[n:], c.buf[:end])
			n += k
			c.last = c.buf[k-1]
			c.buf = c.buf[k:]
		}
	}
	return n, nil
}
