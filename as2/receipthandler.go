package as2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/trustkeep/trustkeep"
)

// ReceiptHandler receives the receipts that partners send to Partner.ReceiptURL. It is an
// http.Handler, a value and safe for concurrent use.
type ReceiptHandler struct {
	// Lookup returns what Partner.OnSent was given for a Message-ID, and the partner. The
	// error wraps trustkeep.ErrNotFound for unknown ones. It must be set.
	Lookup func(ctx context.Context, messageID string) (Partner, Sent, error)
	// Deliver takes a receipt and the verdict on it: nil, or the *ReceiptError of Partner.Send.
	// A stranger can send what has an error: keep waiting for a better one then. If it
	// returns an error, the partner is asked to send again. It must be set.
	Deliver func(ctx context.Context, sent Sent, r *Receipt, verdict error) error
}

// ServeHTTP receives one receipt.
func (h ReceiptHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Lookup == nil || h.Deliver == nil {
		http.Error(w, "not configured", http.StatusInternalServerError)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "receipts are sent by POST", http.StatusMethodNotAllowed)
		return
	}
	ctx := r.Context()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(defaultReceiptTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, defaultMaxReceipt))
	if err != nil {
		http.Error(w, "receipt too large or not complete", http.StatusBadRequest)
		return
	}
	id, err := originalID(r.Header, body)
	if err != nil {
		http.Error(w, "no receipt", http.StatusBadRequest)
		return
	}
	p, sent, err := h.Lookup(ctx, id)
	switch {
	case errors.Is(err, trustkeep.ErrNotFound):
		http.Error(w, "unknown message", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "temporary failure", http.StatusServiceUnavailable)
		return
	}
	receipt, verdict := p.readReceipt(ctx, r.Header, bytes.NewReader(body), defaultMaxReceipt, sent)
	if err := h.Deliver(ctx, sent, receipt, verdict); err != nil {
		http.Error(w, "temporary failure", http.StatusServiceUnavailable)
		return
	}
	var bad *ReceiptError
	if errors.As(verdict, &bad) && bad.Code != CodeNotProcessed && bad.Code != CodeWarning && bad.Code != CodeWrongMIC {
		http.Error(w, "receipt does not count", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// originalID returns the Message-ID that a receipt claims to be for.
func originalID(h http.Header, body []byte) (string, error) {
	entity, err := entityOf(h, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(entity)
	if err != nil {
		return "", err
	}
	if claimed := claimedMDN(raw); claimed != nil {
		raw = claimed
	}
	r, err := parseReport(raw)
	if err != nil {
		return "", err
	}
	if r.MessageID == "" {
		return "", fmt.Errorf("receipt without Original-Message-ID: %w", trustkeep.ErrCorrupt)
	}
	return r.MessageID, nil
}
