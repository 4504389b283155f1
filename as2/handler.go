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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/smime"
	"github.com/trustkeep/trustkeep/truststore"
)

// Inbound is how messages of a trading partner are received. The zero value wants them signed
// and sealed, so Trust and Identities must be set.
type Inbound struct {
	// Identities open messages: the current one and those that it has replaced.
	Identities []trustkeep.Identity
	// Trust holds the certificates by which the partner signs, and no others: whoever it
	// trusts can sign in this partner's name.
	Trust truststore.Source
	// AllowUnsigned accepts messages without a signature, AllowUnsealed those that are not
	// encrypted.
	AllowUnsigned, AllowUnsealed bool
	// Authorize, if set, sees the request before its body is read, to bind the partner to
	// its TLS identity: compare r.TLS.PeerCertificates[0]. An error refuses the request.
	Authorize func(r *http.Request) error
	// Signer signs receipts. If nil, messages whose sender wants a signed receipt are refused.
	Signer trustkeep.Identity
	// Signing is how package cms signs receipts. Its Hash gives way to what the sender prefers.
	Signing cms.SignOptions
	// ReceiptURLs are where receipts may be sent, if the sender wants that: exactly these, so
	// that a sender cannot have this server call others. If empty, receipts are answers only.
	ReceiptURLs []string
	// Transport sends those receipts. If nil, http.DefaultTransport. Redirects are not followed.
	Transport http.RoundTripper
	// Verifying, Opening and Decompressing are how package cms verifies, opens and decompresses
	// messages; Trust and Context of Verifying are replaced, and Limits.MaxSize of Decompressing
	// by Handler.MaxSize. Purposes of certificates do not count, since those of partners are
	// often for TLS.
	Verifying     cms.VerifyOptions
	Opening       cms.OpenOptions
	Decompressing cms.DecompressOptions
}

// Handler receives messages. It is an http.Handler: mount it at the path that partners send to.
// It is a value and safe for concurrent use.
//
// What a message holds is made durable first, then its Message-ID and MIC, then it is delivered,
// then its receipt is made durable and sent. When the program ends between two steps, the sender
// has no receipt and sends again, or Recover continues.
type Handler struct {
	// Partners returns how messages from one AS2 name to another are received. The error wraps
	// trustkeep.ErrNotFound for unknown ones. It must be set.
	Partners func(ctx context.Context, from, to string) (Inbound, error)
	// Journal must be set.
	Journal Journal
	// Deliver takes a message. When it has returned nil, the receipt says "processed" and the
	// message is not delivered again; on an error the receipt says so, and the sender may send
	// again. A message with Received.Repeated may have been delivered before. The context does
	// not end with the connection. It must be set.
	Deliver func(context.Context, *Received) error
	// OnFailure, if set, is told why a message was refused or a receipt not sent, which senders
	// are not. The error holds no secrets.
	OnFailure func(context.Context, Key, error)
	// MaxSize bounds a message as it is sent, and when it is decompressed. If zero, 1 GiB.
	MaxSize int64
	// ReadTimeout bounds how long a message may take to arrive. If zero, 30 minutes.
	ReadTimeout time.Duration
	// FailureDelay is how long after its end a message is refused that does not open or verify, so
	// that the time does not tell which. If zero, half a second; if negative, there is none.
	FailureDelay time.Duration
	// ReceiptTimeout bounds sending a receipt to a URL. If zero, one minute.
	ReceiptTimeout time.Duration
	// Clock tells the time. If nil, time.Now.
	Clock func() time.Time
}

const (
	defaultMaxSize        = 1 << 30
	defaultFailureDelay   = 500 * time.Millisecond
	defaultReceiptTimeout = time.Minute
)

func (h Handler) now() time.Time {
	if h.Clock != nil {
		return h.Clock()
	}
	return time.Now()
}

func (h Handler) failed(ctx context.Context, key Key, err error) {
	if h.OnFailure != nil && err != nil {
		h.OnFailure(ctx, key, err)
	}
}

// request is a message that is being received.
type request struct {
	Key
	inbound Inbound
	receipt ReceiptRequest
	// unsupported is a disposition for what the sender requires.
	unsupported string
}

// refusal is an HTTP status before anything was done.
type refusal struct {
	status int
	text   string
	err    error
}

// ServeHTTP receives one message.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	q, refused := h.begin(ctx, r)
	if refused != nil {
		h.failed(ctx, q.Key, wrap("receive", fmt.Errorf("%s: %w", refused.text, refused.err)))
		http.Error(w, refused.text, refused.status)
		return
	}
	timeout := cmpDuration(h.ReadTimeout, defaultTimeout)
	// A server that cannot, such as a recorder in tests, has no connection to wait for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	if q.unsupported != "" {
		h.answerFailure(ctx, w, q, Disposition{Type: "failed", Modifier: "failure", Text: q.unsupported})
		return
	}
	entry, end, err := h.store(ctx, w, r, q)
	if err != nil {
		h.refuse(ctx, w, q, end, err)
		return
	}
	defer entry.Close()
	receipt, d, err := h.complete(ctx, q.inbound, entry)
	if err != nil {
		h.failed(ctx, q.Key, wrap("receive", err))
		if d.Type == "" {
			http.Error(w, "temporary failure", http.StatusServiceUnavailable)
			return
		}
		h.answerFailure(ctx, w, q, d)
		return
	}
	if len(receipt) == 0 && q.receipt.Wanted { // when it came first, nobody wanted one
		if receipt, err = h.makeReceipt(q.inbound, q.Key, q.receipt, processed, entry.Record().MIC); err != nil {
			h.failed(ctx, q.Key, wrap("receive", err))
			http.Error(w, "temporary failure", http.StatusServiceUnavailable)
			return
		}
	}
	if q.receipt.URL == "" {
		h.answer(w, q.Key, receipt)
		return
	}
	// The goroutine of the server sends it, which waits for it when it shuts down.
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	if err := h.sendReceipt(context.WithoutCancel(ctx), q.inbound, q.Key, q.receipt.URL, receipt); err != nil {
		h.failed(ctx, q.Key, err)
		return
	}
	if err := entry.SetSent(); err != nil {
		h.failed(ctx, q.Key, err)
	}
}

func cmpDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// begin reads the header.
func (h Handler) begin(ctx context.Context, r *http.Request) (q request, refused *refusal) {
	bad := func(text string, err error) (request, *refusal) {
		return q, &refusal{http.StatusBadRequest, text, err}
	}
	if h.Partners == nil || h.Journal == nil || h.Deliver == nil {
		return q, &refusal{http.StatusInternalServerError, "not configured", fmt.Errorf("no Partners, Journal or Deliver: %w", trustkeep.ErrInvalid)}
	}
	if r.Method != http.MethodPost {
		return q, &refusal{http.StatusMethodNotAllowed, "messages are sent by POST", trustkeep.ErrUnsupported}
	}
	var value [8]string
	names := [...]string{"AS2-From", "AS2-To", "Message-ID", "Disposition-Notification-To", "Disposition-Notification-Options",
		"Receipt-Delivery-Option", "Content-Type", "Content-Transfer-Encoding"}
	var err error
	for i, name := range names {
		if value[i], err = field(r.Header, name); err != nil {
			return bad("header field twice", err)
		}
	}
	from, err := parseName(value[0])
	if err != nil {
		return bad("AS2-From", err)
	}
	to, err := parseName(value[1])
	if err != nil {
		return bad("AS2-To", err)
	}
	if err := checkMessageID(value[2]); err != nil {
		return bad("Message-ID", fmt.Errorf("%s: %w", trustkeep.Printable(value[2]), trustkeep.ErrCorrupt))
	}
	q.Key = Key{from, to, value[2]}
	if value[6] == "" {
		return bad("Content-Type", trustkeep.ErrCorrupt)
	}
	q.inbound, err = h.Partners(ctx, from, to)
	switch {
	case errors.Is(err, trustkeep.ErrNotFound):
		return q, &refusal{http.StatusForbidden, "unknown trading partner", err}
	case err != nil:
		return q, &refusal{http.StatusServiceUnavailable, "temporary failure", err}
	case !q.inbound.AllowUnsigned && q.inbound.Trust == nil, !q.inbound.AllowUnsealed && len(q.inbound.Identities) == 0:
		return q, &refusal{http.StatusInternalServerError, "not configured", fmt.Errorf("no Trust or Identities of %s: %w", from, trustkeep.ErrInvalid)}
	}
	if q.inbound.Authorize != nil {
		if err := q.inbound.Authorize(r); err != nil {
			return q, &refusal{http.StatusForbidden, "not this partner's connection", err}
		}
	}
	if value[3] != "" {
		options := parseReceiptRequest(value[4])
		q.receipt = ReceiptRequest{Wanted: true, Signed: options.signed, Hashes: options.hashes, URL: value[5]}
		q.unsupported = options.unsupported
		if options.signed && q.inbound.Signer == nil {
			q.unsupported = unsupportedFormat
			q.receipt.Signed = false
		}
		if q.receipt.URL != "" && !slices.Contains(q.inbound.ReceiptURLs, q.receipt.URL) {
			return bad("Receipt-Delivery-Option that is not agreed", fmt.Errorf("%s: %w", trustkeep.Printable(value[5]), trustkeep.ErrRejected))
		}
	}
	return q, nil
}

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

// refuse answers a message that was not stored.
func (h Handler) refuse(ctx context.Context, w http.ResponseWriter, q request, end time.Time, err error) {
	h.failed(ctx, q.Key, wrap("receive", err))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(w, "message too large", http.StatusRequestEntityTooLarge)
		return
	case errors.As(err, new(broken)):
		http.Error(w, "temporary failure", http.StatusServiceUnavailable)
		return
	case errors.As(err, new(conflict)):
		h.answerFailure(ctx, w, q, failure("Message-ID was used for another message"))
		return
	}
	// Whatever is wrong, the answer is the same, and comes at the same time: else senders of
	// messages that were changed on the way would learn what they open to (RFC 3218).
	if delay := cmpDuration(h.FailureDelay, defaultFailureDelay); delay > 0 {
		timer := time.NewTimer(delay - time.Since(end))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	h.answerFailure(ctx, w, q, failure(authenticationFailed))
}

// complete delivers a message that was not, and returns its receipt. With an error, a disposition
// says what to answer; an empty one, that the sender should try again.
func (h Handler) complete(ctx context.Context, in Inbound, entry Entry) ([]byte, Disposition, error) {
	receipt, answered, err := entry.Receipt()
	if err != nil || answered {
		return receipt, Disposition{}, err
	}
	record := entry.Record()
	if err := h.Deliver(context.WithoutCancel(ctx), &Received{Record: record, Repeated: !entry.Fresh(), entry: entry}); err != nil {
		return nil, failure(processingError), fmt.Errorf("delivery: %w", err)
	}
	receipt, err = h.makeReceipt(in, record.Key, record.Receipt, processed, record.MIC)
	if err != nil {
		return nil, Disposition{}, err
	}
	if err := entry.SetReceipt(receipt); err != nil {
		return nil, Disposition{}, err
	}
	return receipt, Disposition{}, nil
}

// makeReceipt makes a receipt as the sender wants it; empty where it wants none.
func (h Handler) makeReceipt(in Inbound, key Key, want ReceiptRequest, d Disposition, mic MIC) ([]byte, error) {
	if !want.Wanted {
		return nil, nil
	}
	n := mdn{from: key.To, to: key.From, original: key.ID, disposition: d, mic: mic, text: "The message was received and processed."}
	if !d.Processed() {
		n.mic, n.text = MIC{}, "The message was received and could not be processed."
	}
	// The digests in the spelling of the sender, which may compare them.
	o, old := in.Signing, false
	for _, name := range slices.Backward(want.Hashes) {
		known := parseHash(name)
		if known == 0 || !usable(known) {
			continue
		}
		o.Hash, old = known, !strings.Contains(name, "-")
		if known == mic.Hash {
			n.micName = name
		}
	}
	entity := n.entity()
	if !want.Signed {
		return entity, nil
	}
	return signMDN(entity, in.Signer, o, old)
}

// answerFailure answers with a receipt of a failure, to the answer or to the URL.
func (h Handler) answerFailure(ctx context.Context, w http.ResponseWriter, q request, d Disposition) {
	receipt, err := h.makeReceipt(q.inbound, q.Key, q.receipt, d, MIC{})
	if err != nil {
		h.failed(ctx, q.Key, err)
		http.Error(w, "temporary failure", http.StatusServiceUnavailable)
		return
	}
	if !q.receipt.Wanted {
		http.Error(w, d.String(), http.StatusBadRequest)
		return
	}
	if q.receipt.URL == "" {
		h.answer(w, q.Key, receipt)
		return
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	h.failed(ctx, q.Key, h.sendReceipt(context.WithoutCancel(ctx), q.inbound, q.Key, q.receipt.URL, receipt))
}

// answer writes a receipt as the answer.
func (h Handler) answer(w http.ResponseWriter, key Key, receipt []byte) {
	if len(receipt) == 0 {
		w.WriteHeader(http.StatusOK)
		return
	}
	header, body, err := splitEntity(bytes.NewReader(receipt))
	if err != nil {
		http.Error(w, "temporary failure", http.StatusServiceUnavailable)
		return
	}
	setCommon(w.Header(), key.To, key.From, newMessageID(), h.now())
	w.Header().Del("User-Agent")
	setEntity(w.Header(), header)
	content, _ := io.ReadAll(body) // from memory
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(content) // a sender that is gone asks again
}

// sendReceipt sends a receipt to a URL that was allowed.
func (h Handler) sendReceipt(ctx context.Context, in Inbound, key Key, url string, receipt []byte) error {
	if len(receipt) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmpDuration(h.ReceiptTimeout, defaultReceiptTimeout))
	defer cancel()
	header, body, err := splitEntity(bytes.NewReader(receipt))
	if err != nil {
		return wrap("receipt", err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return wrap("receipt", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return wrap("receipt", fmt.Errorf("URL %s: %w", trustkeep.Printable(url), trustkeep.ErrInvalid))
	}
	setCommon(req.Header, key.To, key.From, newMessageID(), h.now())
	setEntity(req.Header, header)
	req.Header.Set("Subject", "Message Disposition Notification")
	resp, err := roundTrip(in.Transport, req)
	if err != nil {
		return wrap("receipt", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		return &StatusError{Status: resp.StatusCode, Text: trustkeep.Printable(strings.TrimSpace(string(text)))}
	}
	return nil
}

// Recover continues with the messages that the journal holds and that were not delivered or
// answered: call it when the program starts, and at intervals where receipts are sent to URLs. It
// returns the errors of all that could not be completed; they remain for the next call.
func (h Handler) Recover(ctx context.Context) error {
	if h.Partners == nil || h.Journal == nil || h.Deliver == nil {
		return wrap("recover", fmt.Errorf("no Partners, Journal or Deliver: %w", trustkeep.ErrInvalid))
	}
	keys, err := h.Journal.Pending(ctx)
	errs := []error{err}
	for _, key := range keys {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if err := h.recover(ctx, key); err != nil {
			errs = append(errs, wrap("recover", fmt.Errorf("message %s from %s: %w", trustkeep.Printable(key.ID), trustkeep.Printable(key.From), err)))
		}
	}
	return errors.Join(errs...)
}

func (h Handler) recover(ctx context.Context, key Key) error {
	in, err := h.Partners(ctx, key.From, key.To)
	if err != nil {
		return err
	}
	entry, err := h.Journal.Open(ctx, key)
	if err != nil {
		return err
	}
	defer entry.Close()
	receipt, _, err := h.complete(ctx, in, entry)
	if err != nil {
		return err
	}
	url := entry.Record().Receipt.URL
	if url == "" {
		return nil
	}
	if !slices.Contains(in.ReceiptURLs, url) {
		return fmt.Errorf("receipt URL that is no longer agreed: %w", trustkeep.ErrRejected)
	}
	if err := h.sendReceipt(ctx, in, key, url, receipt); err != nil {
		return err
	}
	return entry.SetSent()
}
