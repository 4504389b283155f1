package as2_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
)

// asker is a sender that wants its receipts later.
type asker struct {
	*pair
	mu       sync.Mutex
	sent     map[string]as2.Sent
	verdicts chan error
	url      string
	down     bool
}

func newAsker(t *testing.T) *asker {
	a := &asker{pair: newPair(t), sent: make(map[string]as2.Sent), verdicts: make(chan error, 100)}
	h := as2.ReceiptHandler{
		Lookup: func(_ context.Context, id string) (as2.Partner, as2.Sent, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			sent, ok := a.sent[id]
			if !ok {
				return as2.Partner{}, sent, trustkeep.ErrNotFound
			}
			return a.partner, sent, nil
		},
		Deliver: func(_ context.Context, sent as2.Sent, r *as2.Receipt, verdict error) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.down {
				return errors.New("database down")
			}
			if verdict == nil && (!r.Disposition.Processed() || r.MessageID != sent.MessageID || len(r.Signers) != 1) {
				t.Errorf("%+v", r)
			}
			a.verdicts <- verdict
			return nil
		},
	}
	a.url = newServer(t, h)
	a.inbound.ReceiptURLs = []string{a.url}
	a.partner.ReceiptURL = a.url
	a.partner.OnSent = func(_ context.Context, s as2.Sent) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sent[s.MessageID] = s
		return nil
	}
	return a
}

func TestAsynchronousReceipt(t *testing.T) {
	a := newAsker(t)
	for _, size := range []int{10, 3 << 20} {
		r, err := a.partner.Send(t.Context(), message(strings.Repeat("x", size)))
		if err != nil || !r.Pending {
			t.Fatal(r, err)
		}
		if err := <-a.verdicts; err != nil {
			t.Error(err)
		}
	}
	// A failure comes the same way.
	o := a.partner
	o.Identity = a.stranger
	if _, err := o.Send(t.Context(), message("x")); err != nil {
		t.Fatal(err)
	}
	if e := refusedWith(t, <-a.verdicts); e.Code != as2.CodeNotProcessed {
		t.Error(e)
	}
}

// A receiver whose receipt nobody took sends it when it recovers.
func TestAsynchronousReceiptRecovers(t *testing.T) {
	a := newAsker(t)
	a.down = true
	if _, err := a.partner.Send(t.Context(), message("x")); err != nil {
		t.Fatal(err)
	}
	if err := a.handler.Recover(t.Context()); err == nil {
		t.Error("recovered while the sender is down")
	}
	a.mu.Lock()
	a.down = false
	a.mu.Unlock()
	if err := a.handler.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-a.verdicts; err != nil {
		t.Error(err)
	}
	if keys, err := a.handler.Journal.Pending(t.Context()); err != nil || len(keys) > 0 {
		t.Error(keys, err)
	}
	if len(a.delivered) != 1 {
		t.Errorf("%d deliveries", len(a.delivered))
	}
}

// Receipts go to agreed URLs only, and nothing is received that asks for another.
func TestReceiptURLIsAgreed(t *testing.T) {
	a := newAsker(t)
	inside := newServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	for _, url := range []string{inside, a.url + "/", a.url + "@127.0.0.1", "http://169.254.169.254/latest"} {
		o := a.partner
		o.ReceiptURL = url
		var status *as2.StatusError
		if _, err := o.Send(t.Context(), message("x")); !errors.As(err, &status) || status.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", url, err)
		}
	}
	// Nor does a redirect lead there.
	redirect := newServer(t, http.RedirectHandler(inside, http.StatusTemporaryRedirect))
	a.inbound.ReceiptURLs = []string{redirect}
	o := a.partner
	o.ReceiptURL = redirect
	if _, err := o.Send(t.Context(), message("x")); err != nil {
		t.Error(err)
	}
	if len(a.delivered) != 1 {
		t.Errorf("%d deliveries", len(a.delivered))
	}
}

// A receipt by a stranger, or for what was never sent, changes nothing.
func TestForgedAsynchronousReceipt(t *testing.T) {
	a := newAsker(t)
	a.sent["<1@us>"] = as2.Sent{MessageID: "<1@us>", From: "us", To: "them"}
	post := func(r report) int {
		t.Helper()
		header, body, _ := strings.Cut(r.entity(), "\r\n\r\n")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n\t", " "), "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for name, c := range map[string]struct {
		r      report
		status int
	}{
		"stranger": {report{id: "<1@us>", disposition: "processed", signer: a.stranger}, 400},
		"unsigned": {report{id: "<1@us>", disposition: "processed"}, 400},
		"unknown":  {report{id: "<2@us>", disposition: "processed", signer: a.them}, 404},
		"none":     {report{raw: "x"}, 400},
	} {
		if got := post(c.r); got != c.status {
			t.Errorf("%s: %d", name, got)
		}
		if c.status == 400 && name != "none" {
			if err := <-a.verdicts; err == nil {
				t.Errorf("%s counts", name)
			}
		}
	}
}
