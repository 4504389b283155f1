package smime

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// maxHeader bounds the header of an entity.
const maxHeader = 64 << 10

// header is that of an entity.
type header struct {
	raw       []byte // with the empty line
	mediaType string // in lower case
	params    map[string]string
	encoding  string // in lower case; "7bit" where none is given
	// secret: the entity was sealed. Whoever carried it could rearrange what is in it, so
	// that errors must not show any of it to whoever gets them.
	secret bool
}

// show returns a piece of the header for an error.
func (h *header) show(s string) string {
	if h.secret {
		return "(sealed)"
	}
	return trustkeep.Printable(s)
}

// readHeader reads up to and with the empty line. An entity may end with its header.
func readHeader(in *bufio.Reader, secret bool) (*header, error) {
	h := &header{mediaType: "text/plain", encoding: "7bit", secret: secret}
	var field []byte // unfolded
	seen := make(map[string]bool)
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		h.raw = append(h.raw, line...)
		if len(h.raw) > maxHeader || err == bufio.ErrBufferFull {
			return nil, fmt.Errorf("header of more than %d bytes: %w", maxHeader, trustkeep.ErrLimit)
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		end := err == io.EOF
		line = bytes.TrimRight(line, "\r\n")
		if n == 0 && bytes.HasPrefix(line, []byte("From ")) { // of a mailbox file
			continue
		}
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && field != nil {
			field = append(field, line...)
		} else {
			if err := h.take(field, seen); err != nil {
				return nil, err
			}
			field = bytes.Clone(line)
		}
		if len(line) == 0 || end {
			return h, h.take(field, seen)
		}
	}
}

// take notes the fields that matter.
func (h *header) take(field []byte, seen map[string]bool) error {
	if len(field) == 0 {
		return nil
	}
	name, value, ok := strings.Cut(string(field), ":")
	if !ok || name == "" || strings.ContainsFunc(strings.TrimRight(name, " \t"), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("no MIME entity, which starts with header fields: %w", trustkeep.ErrCorrupt)
	}
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	if name != "content-type" && name != "content-transfer-encoding" {
		return nil
	}
	if seen[name] { // readers would differ in which counts
		return fmt.Errorf("header field %s twice: %w", name, trustkeep.ErrCorrupt)
	}
	seen[name] = true
	value = strings.TrimSpace(value)
	if name == "content-transfer-encoding" {
		h.encoding = strings.ToLower(value)
		return nil
	}
	var err error
	if h.mediaType, h.params, err = mime.ParseMediaType(value); err != nil {
		h.mediaType, h.params, err = h.lenient(value)
	}
	return err
}

// lenient reads a Content-Type with what RFC 2045 section 5.1 forbids and products write:
// slashes and blanks outside of quotes, comments.
func (h *header) lenient(value string) (mediaType string, params map[string]string, err error) {
	mediaType, rest, _ := strings.Cut(value, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	params = make(map[string]string)
	for rest != "" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " \t;"))
		after = strings.TrimLeft(after, " \t")
		var v string
		if quoted, ok := strings.CutPrefix(after, "\""); ok {
			v, after, ok = strings.Cut(quoted, "\"")
			if !ok || strings.Contains(v, "\\") {
				return "", nil, fmt.Errorf("Content-Type: quotes of %s: %w", h.show(name), trustkeep.ErrCorrupt)
			}
			_, rest, _ = strings.Cut(after, ";")
		} else {
			v, rest, _ = strings.Cut(after, ";")
			v, _, _ = strings.Cut(v, "(")
			v = strings.TrimSpace(v)
		}
		if _, twice := params[name]; twice { // readers would differ in which counts
			return "", nil, fmt.Errorf("Content-Type: %s twice: %w", h.show(name), trustkeep.ErrCorrupt)
		}
		params[name] = v
	}
	return mediaType, params, nil
}

// isCMS reports whether the body is a message of package cms.
func (h *header) isCMS() bool {
	return h.mediaType == "application/pkcs7-mime" || h.mediaType == "application/x-pkcs7-mime"
}

// isBinary reports whether lines are to be left alone.
func (h *header) isBinary() bool { return h.encoding == "binary" }
