package as2

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/smime"
)

// broken is an error of the network or of the journal, and not of the message.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

// watched remembers that reading or writing has failed.
type watched struct {
	io.Reader
	io.Writer
	err error
	end time.Time // of reading
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && w.end.IsZero() {
		w.end = time.Now()
	}
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// conflict is an error about a Message-ID that was used for something else.
type conflict struct{ error }

func (c conflict) Unwrap() error { return c.error }

// store reads the message into the journal, and returns when its last byte came. An error that is
// neither broken nor a conflict is of the message.
func (h Handler) store(ctx context.Context, w http.ResponseWriter, r *http.Request, q request) (Entry, time.Time, error) {
	most := h.MaxSize
	if most == 0 {
		most = defaultMaxSize
	}
	body := &watched{Reader: http.MaxBytesReader(w, r.Body, most)}
	refused := false
	entry, err := h.Journal.Store(ctx, q.Key, func(dst io.Writer) (Record, error) {
		out := &watched{Writer: dst}
		record, err := h.read(ctx, out, body, r.Header, q, most)
		// The rest is read all the same: when the answer comes must not tell where reading ended.
		if _, rest := io.Copy(io.Discard, body); rest != nil && err == nil {
			err = rest
		}
		if failed := errors.Join(body.err, out.err); failed != nil {
			err = broken{failed}
		}
		refused = err != nil
		return record, err
	})
	switch {
	case err == nil, refused:
	case errors.Is(err, trustkeep.ErrConflict):
		err = conflict{err}
	default:
		err = broken{err}
	}
	return entry, body.end, err
}

// head keeps the beginning of what is written, which holds a header.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), 64<<10-h.Len())])
	return len(p), nil
}

// usable reports whether a digest can be computed here.
func usable(h crypto.Hash) bool { return h != crypto.SHA1 || !fips.Enforced() }

func (h Handler) read(ctx context.Context, dst io.Writer, body io.Reader, header http.Header, q request, most int64) (Record, error) {
	in := q.inbound
	// What is signed has the digest of its signature; another is computed where there is none.
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	plain := kind != "multipart/signed" && kind != "application/pkcs7-mime" && kind != "application/x-pkcs7-mime"
	var sum hash.Hash
	var sumHash crypto.Hash
	top := new(head)
	dst = io.MultiWriter(dst, top)
	if in.AllowUnsigned {
		sumHash = receiptRequest{hashes: q.receipt.Hashes}.hash()
		if sumHash == 0 || !usable(sumHash) {
			sumHash = crypto.SHA1 // RFC 4130 section 7.4.3
			if !usable(sumHash) {
				sumHash = crypto.SHA256
			}
		}
		sum = sumHash.New()
		if plain {
			body = io.TeeReader(body, sum)
		} else {
			dst = io.MultiWriter(dst, sum)
		}
	}
	entity, err := entityOf(header, body)
	if err != nil {
		return Record{}, err
	}
	o := smime.ReadOptions{Identities: in.Identities, Open: in.Opening, Verify: in.Verifying, Decompress: in.Decompressing, AllowUnsigned: in.AllowUnsigned}
	o.Verify.Trust, o.Verify.Context, o.Verify.AnyPurpose = in.Trust, ctx, true
	if h.Clock != nil {
		o.Verify.Clock = h.Clock
	}
	o.Decompress.Limits.MaxSize = most
	m, err := o.Read(dst, entity)
	if err != nil {
		return Record{}, err
	}
	record := Record{Key: q.Key, Receipt: q.receipt, ReceivedAt: h.now().UTC()}
	for _, l := range m.Layers {
		switch l.Kind {
		case smime.Sealed:
			record.Sealed = true
		case smime.Compressed:
			record.Compressed = true
		case smime.Signed:
			if record.Signed { // which MIC would the sender expect?
				return Record{}, fmt.Errorf("message that was signed twice: %w", trustkeep.ErrUnsupported)
			}
			record.Signed = true
			for _, s := range l.Verified.Signers {
				record.Signers = append(record.Signers, s.Certificate.Raw)
			}
			first := l.Verified.Signers[0]
			record.MIC = MIC{first.Hash, first.Digest}
		}
	}
	if !record.Signed {
		if sum == nil {
			return Record{}, fmt.Errorf("message that is not signed: %w", trustkeep.ErrEmpty)
		}
		record.MIC = MIC{sumHash, sum.Sum(nil)}
	}
	if !record.Sealed && !in.AllowUnsealed {
		return Record{}, fmt.Errorf("message that is not encrypted: %w", trustkeep.ErrRejected)
	}
	inner, _, err := splitEntity(&top.Buffer)
	if err != nil {
		return Record{}, err
	}
	record.Subject, _ = field(header, "Subject")
	if text, err := new(mime.WordDecoder).DecodeHeader(record.Subject); err == nil {
		record.Subject = text
	}
	record.Subject = trustkeep.Printable(record.Subject)
	record.ContentType = inner.Get("Content-Type")
	record.Encoding = strings.ToLower(strings.TrimSpace(inner.Get("Content-Transfer-Encoding")))
	record.FileName = fileName(inner.Get("Content-Disposition"))
	return record, nil
}
