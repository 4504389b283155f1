package as2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
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
	if err := h.answerLater(ctx, w, q, receipt); err != nil {
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
