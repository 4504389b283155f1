package as2_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// The AS2 name is bound to the connection before anything is read.
func TestAuthorize(t *testing.T) {
	p := newPair(t)
	p.inbound.Authorize = func(r *http.Request) error {
		if r.TLS == nil {
			return errors.New("no TLS")
		}
		return nil
	}
	var status *as2.StatusError
	if _, err := p.partner.Send(t.Context(), message("x")); !errors.As(err, &status) || status.Status != http.StatusForbidden || strings.Contains(err.Error(), "TLS") {
		t.Error(err)
	}
	o := p.partner
	o.From = "they"
	if _, err := o.Send(t.Context(), message("x")); !errors.As(err, &status) || status.Status != http.StatusForbidden {
		t.Error(err)
	}
	if len(p.delivered) > 0 || len(p.failures) != 2 {
		t.Error(p.delivered, p.failures)
	}
}

// Requests that are none, or that two readers would understand differently.
func TestHostileRequests(t *testing.T) {
	p := newPair(t)
	p.handler.MaxSize = 1 << 20
	p.inbound.AllowUnsigned, p.inbound.AllowUnsealed = true, true
	for name, c := range map[string]struct {
		change func(r *http.Request)
		status int
	}{
		"good":              {func(*http.Request) {}, 200},
		"GET":               {func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"no AS2-From":       {func(r *http.Request) { r.Header.Del("AS2-From") }, 400},
		"two AS2-From":      {func(r *http.Request) { r.Header.Add("AS2-From", "us") }, 400},
		"bad AS2-To":        {func(r *http.Request) { r.Header.Set("AS2-To", `"them`) }, 400},
		"no Message-ID":     {func(r *http.Request) { r.Header.Del("Message-ID") }, 400},
		"two Message-IDs":   {func(r *http.Request) { r.Header.Add("Message-ID", "<2@us>") }, 400},
		"long Message-ID":   {func(r *http.Request) { r.Header.Set("Message-ID", "<"+strings.Repeat("x", 5000)+"@us>") }, 400},
		"no Content-Type":   {func(r *http.Request) { r.Header.Del("Content-Type") }, 400},
		"two Content-Types": {func(r *http.Request) { r.Header.Add("Content-Type", "text/html") }, 400},
		"another name":      {func(r *http.Request) { r.Header.Set("AS2-To", "THEM") }, 403},
		"too large":         {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20+1))) }, 413},
		"not complete":      {func(r *http.Request) { r.Body = io.NopCloser(failing{io.ErrUnexpectedEOF}) }, 503},
		"unknown demand": {func(r *http.Request) {
			r.Header.Set("Disposition-Notification-To", "us")
			r.Header.Set("Disposition-Notification-Options", "signed-receipt-protocol=required,pgp")
		}, 200},
		"S/MIME without": {func(r *http.Request) { r.Header.Set("Content-Type", "application/pkcs7-mime") }, 400},
		"no boundary":    {func(r *http.Request) { r.Header.Set("Content-Type", "multipart/signed") }, 400},
		"nested without end": {func(r *http.Request) {
			r.Header.Set("Content-Type", "multipart/signed; boundary=a")
			r.Body = io.NopCloser(strings.NewReader(strings.Repeat("--a\r\nContent-Type: multipart/signed; boundary=a\r\n\r\n", 1000)))
		}, 400},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("content of "+name))
		for k, v := range map[string]string{"AS2-From": "us", "AS2-To": "them", "Message-ID": "<" + strings.ReplaceAll(name, " ", "") + "@us>", "Content-Type": "text/plain"} {
			r.Header.Set(k, v)
		}
		c.change(r)
		w := httptest.NewRecorder()
		before := len(p.delivered)
		p.handler.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if delivered := len(p.delivered) > before; delivered != (name == "good") {
			t.Errorf("%s: delivered %v", name, delivered)
		}
		if name == "unknown demand" && !strings.Contains(w.Body.String(), "failed/failure: unsupported format") {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	// Refused messages leave nothing behind.
	if keys, err := p.handler.Journal.Pending(t.Context()); err != nil || len(keys) > 0 {
		t.Error(keys, err)
	}
}

func TestInvalidHandler(t *testing.T) {
	w := httptest.NewRecorder()
	as2.Handler{}.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Error(w.Code)
	}
	if err := (as2.Handler{}).Recover(t.Context()); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	if _, err := as2.OpenJournal(t.TempDir(), as2.JournalOptions{Keep: -1}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	// Without Trust nobody is accepted, and without Identities nothing is opened.
	p := newPair(t)
	p.inbound.Trust = nil
	var status *as2.StatusError
	if _, err := p.partner.Send(t.Context(), message("x")); !errors.As(err, &status) || status.Status != http.StatusInternalServerError {
		t.Error(err)
	}
}

// IDs are kept as long as the option says, and contents no longer than needed.
func TestPrune(t *testing.T) {
	p := newPair(t)
	now := time.Now()
	journal, err := as2.OpenJournal(t.TempDir(), as2.JournalOptions{Keep: time.Hour, DropContent: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	p.handler.Journal = journal
	send := func() {
		t.Helper()
		m := message("x")
		m.ID = "<1@us>"
		if _, err := p.partner.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	send()
	for _, c := range []struct {
		after             time.Duration
		pruned, delivered int
	}{{0, 0, 1}, {59 * time.Minute, 0, 1}, {2 * time.Minute, 1, 2}} {
		now = now.Add(c.after)
		if n, err := journal.Prune(t.Context()); n != c.pruned || err != nil {
			t.Error(n, err)
		}
		send()
		if len(p.delivered) != c.delivered {
			t.Errorf("%d deliveries", len(p.delivered))
		}
	}
	key := as2.Key{From: "us", To: "them", ID: "<1@us>"}
	e, err := journal.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Content(); err == nil {
		t.Error("content that was to be dropped")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := journal.Open(ctx, key); !errors.Is(err, context.Canceled) {
		t.Error("two have the entry", err)
	}
	e.Close()
	if _, err := journal.Open(t.Context(), as2.Key{ID: "x"}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
}

// lines is a source of lines without an end.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	for i := 63; i < len(p); i += 64 {
		p[i] = '\n'
	}
	return len(p), nil
}

func TestFlatMemory(t *testing.T) {
	p := newPair(t)
	size := int64(testtool.Rounds(32, 256)) << 20
	p.handler.Deliver = func(_ context.Context, r *as2.Received) error {
		f, err := r.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(io.Discard, f)
		if n != size {
			t.Errorf("%d bytes", n)
		}
		return err
	}
	m := message("")
	m.Body = io.LimitReader(lines{}, size)
	var err error
	peak := testtool.PeakHeap(func() { _, err = p.partner.Send(t.Context(), m) })
	if err != nil {
		t.Fatal(err, p.failures)
	}
	if peak > 12<<20 {
		t.Errorf("%d KiB for both sides", peak>>10)
	}
	t.Logf("%d KiB for both sides", peak>>10)
}
