package as2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/smime"
	"github.com/trustkeep/trustkeep/truststore"
)

// report is a receipt as an adversary or another product writes it.
type report struct {
	id, disposition, mic string
	raw                  string // instead of all fields
	trimmed              bool   // signs without the last line end
	signer               trustkeep.Identity
	edit                 func(entity string) string // after signing
	header               http.Header
	status               int
}

func (r report) entity() string {
	fields := r.raw
	if fields == "" {
		fields = fmt.Sprintf("Reporting-UA: x\r\nFinal-Recipient: rfc822; them\r\nOriginal-Message-ID: %s\r\nDisposition: automatic-action/MDN-sent-automatically; %s\r\n", r.id, r.disposition)
		if r.mic != "" {
			fields += "Received-Content-MIC: " + r.mic + "\r\n"
		}
	}
	e := "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n" + fields + "\r\n--b--\r\n"
	if r.signer != nil {
		var b bytes.Buffer
		if r.trimmed {
			e = strings.TrimSuffix(e, "\r\n")
		}
		if err := (smime.SignOptions{}).Sign(&b, strings.NewReader(e), r.signer); err != nil {
			panic(err)
		}
		e = b.String()
		if r.trimmed {
			e = strings.Replace(e, "--b--\r\n--", "--b--\r\n\r\n--", 1)
		}
	}
	if r.edit != nil {
		e = r.edit(e)
	}
	return e
}

// answering is a transport that answers each message with a receipt.
func answering(make func(r *http.Request, body []byte) report) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		rep := make(r, body)
		header, content, _ := strings.Cut(rep.entity(), "\r\n\r\n")
		w := httptest.NewRecorder()
		for line := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n\t", " "), "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		for name, values := range rep.header {
			w.Header()[name] = values
		}
		if rep.status != 0 {
			w.WriteHeader(rep.status)
		}
		io.WriteString(w, content)
		return w.Result(), nil
	})
}

// What a receipt must say to count, and what it may.
func TestReceipt(t *testing.T) {
	p := newPair(t)
	const body = "content"
	entity := "Content-Type: application/edi-x12\r\nContent-Transfer-Encoding: binary\r\nContent-Disposition: attachment; filename=\"order 1.edi\"\r\n\r\n" + body
	sum := sha256.Sum256([]byte(entity))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		change func(*report)
		code   trustkeep.Code
	}{
		"good":                    {func(*report) {}, ""},
		"micalg sha256":           {func(r *report) { r.mic = digest + ",sha256" }, ""},
		"micalg SHA-256":          {func(r *report) { r.mic = digest + ",  SHA-256" }, ""},
		"micalg SHA_256":          {func(r *report) { r.mic = digest + ", SHA_256" }, ""},
		"ID without brackets":     {func(r *report) { r.id = "1@us" }, ""},
		"disposition in capitals": {func(r *report) { r.disposition = "Processed" }, ""},
		"disposition with blanks": {func(r *report) { r.disposition = "  processed  " }, ""},
		"names":                   {func(r *report) { r.header = http.Header{"As2-From": {`"them"`}, "As2-To": {"us"}} }, ""},
		"unsigned":                {func(r *report) { r.signer = nil }, as2.CodeUnsigned},
		"unsigned failure":        {func(r *report) { r.signer, r.disposition = nil, "failed/failure: x" }, as2.CodeUnsigned},
		"signed by a stranger":    {func(r *report) { r.signer = p.stranger }, as2.CodeSignature},
		"signed by us":            {func(r *report) { r.signer = p.us }, as2.CodeSignature},
		"changed":                 {func(r *report) { r.edit = replace("hello", "hullo") }, as2.CodeSignature},
		"changed disposition": {func(r *report) {
			r.disposition, r.edit = "failed/failure: x", replace("failed/failure: x", "processed")
		}, as2.CodeSignature},
		"signature cut off":        {func(r *report) { r.edit = func(s string) string { return s[:len(s)-200] } }, as2.CodeSignature},
		"other message":            {func(r *report) { r.id = "<2@us>" }, as2.CodeOtherMessage},
		"no message":               {func(r *report) { r.id = "" }, as2.CodeOtherMessage},
		"from another":             {func(r *report) { r.header = http.Header{"As2-From": {"they"}} }, as2.CodeOtherMessage},
		"to another":               {func(r *report) { r.header = http.Header{"As2-To": {"US"}} }, as2.CodeOtherMessage},
		"from two":                 {func(r *report) { r.header = http.Header{"As2-From": {"them", "they"}} }, as2.CodeOtherMessage},
		"wrong MIC":                {func(r *report) { r.mic = other + ", sha-256" }, as2.CodeWrongMIC},
		"MIC under another name":   {func(r *report) { r.mic = digest + ", sha-512" }, as2.CodeMalformed},
		"unknown MIC":              {func(r *report) { r.mic = digest + ", md5" }, as2.CodeMalformed},
		"no MIC":                   {func(r *report) { r.mic = "" }, as2.CodeWrongMIC},
		"error":                    {func(r *report) { r.disposition = "processed/error: authentication-failed" }, as2.CodeNotProcessed},
		"Error":                    {func(r *report) { r.disposition = "processed/Error: authentication-failed" }, as2.CodeNotProcessed},
		"failure":                  {func(r *report) { r.disposition = "failed/failure: unsupported format" }, as2.CodeNotProcessed},
		"failure as libas2 has it": {func(r *report) { r.disposition = "failed/failure=Could not verify signature" }, as2.CodeNotProcessed},
		"failed":                   {func(r *report) { r.disposition = "failed" }, as2.CodeNotProcessed},
		"displayed":                {func(r *report) { r.disposition = "displayed" }, as2.CodeNotProcessed},
		"not quite processed":      {func(r *report) { r.disposition = "processed2" }, as2.CodeNotProcessed},
		"unknown modifier":         {func(r *report) { r.disposition = "processed/partly: half" }, as2.CodeNotProcessed},
		"warning":                  {func(r *report) { r.disposition = "processed/warning: duplicate-document" }, as2.CodeWarning},
		"warning with a wrong MIC": {func(r *report) { r.disposition, r.mic = "processed/warning: x", other+", sha-256" }, as2.CodeWrongMIC},
		"two dispositions": {func(r *report) {
			r.raw = "Original-Message-ID: <1@us>\r\nDisposition: a/b; processed\r\nDisposition: a/b; failed\r\n"
		}, as2.CodeMalformed},
		"text after processed": {func(r *report) { r.disposition = "processed: not really" }, as2.CodeMalformed},
		"no disposition":       {func(r *report) { r.raw = "Original-Message-ID: <1@us>\r\n" }, as2.CodeMalformed},
		"no fields":            {func(r *report) { r.raw = "garbage" }, as2.CodeMalformed},
		"too long":             {func(r *report) { r.edit = func(s string) string { return s + strings.Repeat("x", 2<<20) } }, as2.CodeMalformed},
		"another type":         {func(r *report) { r.signer, r.edit = nil, replace("multipart/report", "multipart/mixed") }, as2.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			o := p.partner
			o.Transport = answering(func(*http.Request, []byte) report {
				r := report{id: "<1@us>", disposition: "processed", mic: digest + ", sha-256", signer: p.them}
				c.change(&r)
				return r
			})
			m := message(body)
			m.ID = "<1@us>"
			r, err := o.Send(t.Context(), m)
			if c.code == "" {
				if err != nil || len(r.Signers) != 1 {
					t.Fatal(r, err)
				}
				return
			}
			if e := refusedWith(t, err); e.Code != c.code {
				t.Errorf("%s: %v", e.Code, err)
			}
			if r == nil || (c.code == as2.CodeMalformed && !r.Pending) {
				t.Errorf("receipt %+v", r)
			}
		})
	}
}

func replace(a, b string) func(string) string {
	return func(s string) string { return strings.Replace(s, a, b, 1) }
}

// The partner replaces its certificate: receipts count by the old and the new one.
func TestReceiptOverlap(t *testing.T) {
	p := newPair(t)
	o := p.partner
	o.Trust = truststore.New(p.them.Cert, p.stranger.Cert)
	for _, id := range []person{p.them, p.stranger} {
		p.inbound.Signer = id
		r, err := o.Send(t.Context(), message("x"))
		if err != nil || !r.Signers[0].Certificate.Equal(id.Cert) {
			t.Error(err)
		}
	}
}

// Answers that are none, and servers that do what they should not.
func TestHostileServer(t *testing.T) {
	p := newPair(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	stop := make(chan struct{})
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		status int
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, 307},
		"refusal":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no\x1b[31m", http.StatusForbidden) }, 403},
		"empty answer": {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, 0},
		"early answer": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, 0},
		"no answer":    {func(http.ResponseWriter, *http.Request) { <-stop }, 0},
		"closed":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
		"stalls": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "multipart/report")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-stop
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.serve)
			o := p.partner
			o.URL = s.URL
			if name == "no answer" || name == "stalls" {
				o.Timeout = 200 * time.Millisecond
			}
			for _, size := range []int{10, 3 << 20} {
				r, err := o.Send(t.Context(), message(strings.Repeat("x", size)))
				var status *as2.StatusError
				if err == nil || r == nil || r.MessageID == "" {
					t.Fatal(r, err)
				}
				noGoroutineLeft(t)
				if c.status != 0 && size == 10 && (!errors.As(err, &status) || status.Status != c.status || strings.Contains(err.Error(), "\x1b")) {
					t.Error(err)
				}
			}
			s.CloseClientConnections()
		})
	}
	close(stop)
}

// Settings that contradict each other send nothing, and a certificate that has expired seals
// nothing.
func TestInvalidPartner(t *testing.T) {
	p := newPair(t)
	for name, change := range map[string]func(*as2.Partner, *as2.Message){
		"no name":           func(o *as2.Partner, _ *as2.Message) { o.From = "" },
		"long name":         func(o *as2.Partner, _ *as2.Message) { o.To = strings.Repeat("x", 129) },
		"name with a line":  func(o *as2.Partner, _ *as2.Message) { o.To = "a\r\nb" },
		"no identity":       func(o *as2.Partner, _ *as2.Message) { o.Identity = nil },
		"unsigned identity": func(o *as2.Partner, _ *as2.Message) { o.Unsigned = true },
		"no recipient":      func(o *as2.Partner, _ *as2.Message) { o.Recipient = nil },
		"no trust":          func(o *as2.Partner, _ *as2.Message) { o.Trust = nil },
		"no OnSent":         func(o *as2.Partner, _ *as2.Message) { o.ReceiptURL = "https://us" },
		"URL":               func(o *as2.Partner, _ *as2.Message) { o.URL = "file:///etc/passwd" },
		"no body":           func(_ *as2.Partner, m *as2.Message) { m.Body = nil },
		"type":              func(_ *as2.Partner, m *as2.Message) { m.ContentType = "text/plain\r\nX: y" },
		"S/MIME type":       func(_ *as2.Partner, m *as2.Message) { m.ContentType = "Application/PKCS7-MIME; name=x" },
		"ID":                func(_ *as2.Partner, m *as2.Message) { m.ID = "<a b>" },
		"subject":           func(_ *as2.Partner, m *as2.Message) { m.Subject = "a\nb" },
	} {
		o, m := p.partner, message("x")
		o.Transport = roundTripper(func(*http.Request) (*http.Response, error) { t.Error(name + " was sent"); return nil, io.EOF })
		change(&o, &m)
		if _, err := o.Send(t.Context(), m); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := p.partner
	o.Clock = func() time.Time { return p.them.Cert.NotAfter.Add(time.Second) }
	if _, err := o.Send(t.Context(), message("x")); !errors.Is(err, trustkeep.ErrExpired) {
		t.Error(err)
	}
}

// sources that fail: what they have given does not arrive.
func TestFailingBody(t *testing.T) {
	p := newPair(t)
	gone := errors.New("disk gone")
	for _, size := range []int{10, 3 << 20} {
		m := message("")
		m.Body = io.MultiReader(strings.NewReader(strings.Repeat("x", size)), failing{gone})
		if _, err := p.partner.Send(t.Context(), m); !errors.Is(err, gone) {
			t.Error(err)
		}
		o := p.partner
		o.OnSent = func(context.Context, as2.Sent) error { return gone }
		if _, err := o.Send(t.Context(), message(strings.Repeat("x", size))); !errors.Is(err, gone) {
			t.Error(err)
		}
	}
	noGoroutineLeft(t)
	if len(p.delivered) > 0 {
		t.Error("delivered")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
