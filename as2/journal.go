package as2

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Key identifies a message that was received: who has sent it to whom under which Message-ID.
type Key struct {
	From string `json:"from"`
	To   string `json:"to"`
	ID   string `json:"id"`
}

// Record is what is kept about a message that was received.
type Record struct {
	Key
	// MIC of the message, by which a repetition is known.
	MIC MIC `json:"mic"`
	// ReceivedAt is when its last byte came.
	ReceivedAt time.Time `json:"received_at"`
	// Subject is what the sender has written beside the message; it is not signed.
	Subject string `json:"subject,omitempty"`
	// FileName is a name for a file in a folder of the caller's, without a path; it is empty
	// where the sender gives none that is one. Several messages may have the same.
	FileName string `json:"file_name,omitempty"`
	// ContentType is that of the content.
	ContentType string `json:"content_type,omitempty"`
	// Encoding is its Content-Transfer-Encoding, which Received.Open undoes.
	Encoding string `json:"encoding,omitempty"`
	// Signed, Sealed and Compressed are how it came.
	Signed     bool `json:"signed"`
	Sealed     bool `json:"sealed"`
	Compressed bool `json:"compressed"`
	// Signers are the certificates of those who have signed it, in DER.
	Signers [][]byte `json:"signers,omitempty"`
	// Receipt is what the sender wants to know.
	Receipt ReceiptRequest `json:"receipt"`
}

// ReceiptRequest is the receipt that the sender of a message asks for.
type ReceiptRequest struct {
	Wanted bool `json:"wanted"`
	Signed bool `json:"signed"`
	// Hashes are the names of digests for its signature, the preferred first, as spelled by
	// the sender.
	Hashes []string `json:"hashes,omitempty"`
	// URL is where it is to be sent; empty for the answer.
	URL string `json:"url,omitempty"`
}

// Journal keeps messages that were received, so that each is delivered, and answered in the same
// way however often it comes. FileJournal is one. Implementations must be safe for concurrent use.
type Journal interface {
	// Store makes durable what write writes, then the record that write returns, and returns
	// the message's entry, which nobody else has until its Close. If write fails, nothing is
	// kept, and the error is that of write, unchanged.
	//
	// If the key is known already with the same MIC, what was written is thrown away, and the
	// entry is the known one. With another MIC the error wraps trustkeep.ErrConflict.
	Store(ctx context.Context, key Key, write func(io.Writer) (Record, error)) (Entry, error)
	// Pending returns the keys of messages that were not answered yet, the oldest first: their
	// receipt is not stored, or has a URL and was not sent.
	Pending(ctx context.Context) ([]Key, error)
	// Open returns the entry of a known message. The error wraps trustkeep.ErrNotFound for
	// others.
	Open(ctx context.Context, key Key) (Entry, error)
}

// Entry is a message in a Journal. Nobody else has it until Close.
type Entry interface {
	Record() Record
	// Fresh reports whether the call that returned the entry has stored the message.
	Fresh() bool
	// Content opens what was stored.
	Content() (io.ReadCloser, error)
	// Receipt returns what SetReceipt was given, and whether it was.
	Receipt() (receipt []byte, answered bool, err error)
	// SetReceipt makes durable that the message was delivered, with its receipt, which may be
	// empty.
	SetReceipt(receipt []byte) error
	// SetSent makes durable that the receipt was sent to its URL.
	SetSent() error
	Close() error
}

// Received is a message that is delivered.
type Received struct {
	Record
	// Repeated is set where the message may have been delivered before: the program or the
	// delivery ended before that was recorded.
	Repeated bool

	entry Entry
}

// Entity opens the message as a MIME entity, byte for byte what was signed.
func (r *Received) Entity() (io.ReadCloser, error) { return r.entry.Content() }

type readCloser struct {
	io.Reader
	io.Closer
}

// Open opens the content: what follows the header, without its Content-Transfer-Encoding.
func (r *Received) Open() (io.ReadCloser, error) {
	f, err := r.entry.Content()
	if err != nil {
		return nil, err
	}
	_, body, err := splitEntity(f)
	if err != nil {
		f.Close()
		return nil, wrap("open", err)
	}
	return readCloser{decoded(r.Encoding, body), f}, nil
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// maxParts bounds the parts of a message with attachments.
const maxParts = 1000

// Each calls take with each part of a message with attachments (RFC 6362), which is
// multipart/related or multipart/mixed, and otherwise once with the content. Bodies are for the
// time of the call. It ends with the error of take. Other errors wrap trustkeep.ErrCorrupt for
// parts that cannot be read and trustkeep.ErrLimit beyond 1000.
func (r *Received) Each(take func(Content) error) error {
	f, err := r.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	kind, params, _ := mime.ParseMediaType(r.ContentType)
	if kind != "multipart/related" && kind != "multipart/mixed" {
		return take(Content{Body: f, ContentType: r.ContentType, FileName: r.FileName})
	}
	parts := multipart.NewReader(f, params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return wrap("parts", fmt.Errorf("%s: %w", trustkeep.Printable(err.Error()), trustkeep.ErrCorrupt))
		}
		if n == maxParts {
			return wrap("parts", fmt.Errorf("more than %d parts: %w", maxParts, trustkeep.ErrLimit))
		}
		h := part.Header
		if err := take(Content{
			Body:        decoded(h.Get("Content-Transfer-Encoding"), part),
			ContentType: h.Get("Content-Type"), FileName: fileName(h.Get("Content-Disposition")),
		}); err != nil {
			return err
		}
	}
}
