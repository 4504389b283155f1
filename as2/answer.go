package as2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

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
	h.failed(ctx, q.Key, h.answerLater(ctx, w, q, receipt))
}

// answerLater ends the answer and sends a receipt to the URL. The goroutine of the server does
// it, which waits for it when it shuts down.
func (h Handler) answerLater(ctx context.Context, w http.ResponseWriter, q request, receipt []byte) error {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	return h.sendReceipt(context.WithoutCancel(ctx), q.inbound, q.Key, q.receipt.URL, receipt)
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
