package armor

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

const (
	maxArmorLine    = 4096 // GnuPG's is 20,000 with warnings; senders use 64 to 76
	MaxArmorHeaders = 64
)

// Reader finds armor blocks in a stream and decodes them. It reads no
// further than the line that ends a block, so that several blocks of one file
// can be read one after another.
type Reader struct {
	r      *bufio.Reader
	offset int64 // bytes taken from r
	Kind   string
	quad   []byte // base64 characters that do not make a group yet
	buf    []byte // what out is part of
	out    []byte // decoded, not yet read
	Ended  bool
	err    error
}

func NewReader(r *bufio.Reader) *Reader { return &Reader{r: r, Ended: true} }

// Next skips to the next block and returns its type and where its first line
// starts. Text between blocks is skipped. The error is io.EOF when there is no
// further block.
func (d *Reader) Next() (kind string, start int64, err error) {
	for !d.Ended { // the caller gave the block up
		if _, err := d.line(); err != nil {
			return "", 0, err
		}
	}
	for {
		start = d.offset
		line, err := d.anyLine()
		if err != nil {
			return "", 0, err
		}
		if kind, ok := beginLine(line); ok {
			d.Kind, d.quad, d.out, d.Ended, d.err = kind, d.quad[:0], nil, false, nil
			if kind == BlockCleartext {
				d.Ended = true // its headers and text are not armor
				return kind, start, nil
			}
			return kind, start, d.Headers()
		}
	}
}

// beginLine tells whether the line starts a block.
func beginLine(line []byte) (kind string, ok bool) {
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	line = bytes.TrimRight(line, " \t\r\n")
	s, ok := strings.CutPrefix(string(line), "-----BEGIN ")
	if !ok {
		return "", false
	}
	s, ok = strings.CutSuffix(s, "-----")
	return s, ok && strings.HasPrefix(s, "PGP ")
}

// Headers skips the headers: none of them means anything to a program.
func (d *Reader) Headers() error {
	for range MaxArmorHeaders {
		line, err := d.anyLine()
		if err == io.EOF {
			return fault.New(trustkeep.ErrCorrupt, "armor: truncated")
		}
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return nil
		}
		if !bytes.Contains(line, []byte(":")) {
			// Some programs leave out the empty line; base64 has no colon.
			return d.feed(line)
		}
	}
	return fault.New(trustkeep.ErrLimit, "armor: more than %d headers", MaxArmorHeaders)
}

// anyLine reads a line. The slice is valid until the next read. Of an overlong
// line only the first part is returned.
func (d *Reader) anyLine() ([]byte, error) {
	line, err := d.r.ReadSlice('\n')
	d.offset += int64(len(line))
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			var more []byte
			more, err = d.r.ReadSlice('\n')
			d.offset += int64(len(more))
		}
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return line, err
}

// line reads a line of the body and decodes it; ok is false at the end.
func (d *Reader) line() (ok bool, err error) {
	line, err := d.anyLine()
	if err == io.EOF {
		return false, fault.New(trustkeep.ErrCorrupt, "armor: truncated")
	}
	if err != nil {
		return false, err
	}
	if len(line) > maxArmorLine {
		return false, fault.New(trustkeep.ErrCorrupt, "armor: line of more than %d bytes", maxArmorLine)
	}
	line = bytes.TrimSpace(line)
	if bytes.HasPrefix(line, []byte("-----END ")) {
		d.Ended = true
		if len(d.quad) > 0 {
			return false, fault.New(trustkeep.ErrCorrupt, "armor: incomplete base64")
		}
		return false, nil
	}
	if len(line) == 5 && line[0] == '=' {
		return true, nil // the CRC, which nobody needs to check: section 6.1
	}
	return true, d.feed(line)
}

// feed decodes the groups of four that are complete.
func (d *Reader) feed(line []byte) error {
	d.quad = append(d.quad, line...)
	n := len(d.quad) / 4 * 4
	if n == 0 {
		return nil
	}
	if len(d.buf) < n {
		d.buf = make([]byte, max(n, 128))
	}
	m, err := base64.StdEncoding.Decode(d.buf, d.quad[:n])
	if err != nil {
		return fault.New(trustkeep.ErrCorrupt, "armor: %v", err)
	}
	d.out = d.buf[:m]
	d.quad = d.quad[:copy(d.quad, d.quad[n:])]
	return nil
}

// Read reads the decoded bytes of the current block.
func (d *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(d.out) > 0 {
			m := copy(p[n:], d.out)
			d.out = d.out[m:]
			n += m
			continue
		}
		if d.err == nil && d.Ended {
			d.err = io.EOF
		}
		if d.err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, d.err
		}
		if _, err := d.line(); err != nil {
			d.err = err
		}
	}
	return n, nil
}

// Is tells armor from binary packets: every packet starts with a
// byte of 0x80 or more, which no armor does but for a UTF-8 byte order mark.
func Is(start []byte) bool {
	start = bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	return len(start) > 0 && start[0] < 0x80
}

// Decode reads an armored or binary file of small packets.
func Decode(data []byte, kind string) ([]byte, error) {
	if !Is(data) {
		return data, nil
	}
	d := NewReader(bufio.NewReaderSize(bytes.NewReader(data), 16<<10))
	got, _, err := d.Next()
	if err == io.EOF {
		return nil, fault.New(trustkeep.ErrCorrupt, "no OpenPGP data found")
	}
	if err != nil {
		return nil, err
	}
	if got != kind {
		return nil, fault.New(trustkeep.ErrUnsupported, "%q where %q was expected", trustkeep.Printable(got), kind)
	}
	return io.ReadAll(d)
}
