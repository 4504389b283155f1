package as2

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Message is what is sent.
type Message struct {
	// ID is the Message-ID, such as "<1@example.com>". To send a message again, send it with the
	// same ID, so that the partner knows that it is the same. If empty, a new one is made.
	ID string
	// Subject is for people and is not signed. It may be empty.
	Subject string
	Content
	// Attachments follow the content (RFC 6362). All of it is then multipart/related.
	Attachments []Content
}

// Content is a file or a document of a message.
type Content struct {
	// Body is read once and to its end. It is transferred byte for byte.
	Body io.Reader
	// ContentType is the media type, such as "application/edi-x12" or "application/xml". If
	// empty, "application/octet-stream".
	ContentType string
	// FileName is the name that the receiver is told. If empty, it is told none.
	FileName string
}

// header writes the header fields of a part.
func (c Content) header(encoding string) (string, error) {
	if c.Body == nil {
		return "", fmt.Errorf("message without a body: %w", trustkeep.ErrInvalid)
	}
	kind := c.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	media, _, err := mime.ParseMediaType(kind)
	if err != nil || strings.ContainsAny(kind, "\r\n") || !strings.Contains(media, "/") {
		return "", fmt.Errorf("ContentType %s: %w", trustkeep.Printable(kind), trustkeep.ErrInvalid)
	}
	switch media {
	case "multipart/signed", "application/pkcs7-mime", "application/x-pkcs7-mime":
		// The receiver would take it for a step of ours.
		return "", fmt.Errorf("ContentType %s of a message that is not sealed yet: %w", media, trustkeep.ErrInvalid)
	}
	h := "Content-Type: " + kind + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n"
	if c.FileName != "" {
		disposition := mime.FormatMediaType("attachment", map[string]string{"filename": c.FileName})
		if disposition == "" || strings.ContainsAny(disposition, "\r\n") {
			return "", fmt.Errorf("FileName %s: %w", trustkeep.Printable(c.FileName), trustkeep.ErrInvalid)
		}
		h += "Content-Disposition: " + disposition + "\r\n"
	}
	return h + "\r\n", nil
}

func (c Content) encoded(b64 bool) io.Reader {
	if b64 {
		return &base64Lines{src: c.Body}
	}
	return c.Body
}

// entity returns the MIME entity that is signed: its header and its body. It is binary, so that
// nobody changes line ends, or in base64.
func (m Message) entity(b64 bool) (header string, body io.Reader, err error) {
	encoding := "binary"
	if b64 {
		encoding = "base64"
	}
	header, err = m.Content.header(encoding)
	if err != nil || len(m.Attachments) == 0 {
		return header, m.Content.encoded(b64), err
	}
	boundary := rand.Text()
	first := m.Content
	kind := first.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	media, _, _ := mime.ParseMediaType(kind)
	var parts []io.Reader
	for _, c := range append([]Content{first}, m.Attachments...) {
		h, err := c.header(encoding)
		if err != nil {
			return "", nil, err
		}
		parts = append(parts, strings.NewReader("\r\n--"+boundary+"\r\n"+h), c.encoded(b64))
	}
	parts = append(parts, strings.NewReader("\r\n--"+boundary+"--\r\n"))
	if b64 {
		encoding = "7bit"
	}
	return fmt.Sprintf("Content-Type: multipart/related; boundary=\"%s\"; type=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary, media, encoding),
		io.MultiReader(parts...), nil
}

// base64Lines encodes in lines of 76 characters (RFC 2045 section 6.8).
type base64Lines struct {
	src io.Reader
	out []byte
	raw [57 * 256]byte
	mem []byte
	err error
}

func (b *base64Lines) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		n, err := io.ReadFull(b.src, b.raw[:])
		if b.err = err; err == io.ErrUnexpectedEOF {
			b.err = io.EOF
		}
		b.mem = b.mem[:0]
		for rest := b.raw[:n]; len(rest) > 0; {
			k := min(57, len(rest))
			b.mem = append(base64.StdEncoding.AppendEncode(b.mem, rest[:k]), "\r\n"...)
			rest = rest[k:]
		}
		b.out = b.mem
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}
