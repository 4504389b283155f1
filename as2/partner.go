package as2

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/truststore"
)

// Compression is whether and when a message is compressed (RFC 5402).
type Compression uint8

// The compressions.
const (
	Uncompressed Compression = iota
	// CompressThenSign signs what was compressed.
	CompressThenSign
	// SignThenCompress compresses the content with its signature.
	SignThenCompress
)

// ReceiptKind is what is asked of the receiver of a message.
type ReceiptKind uint8

// The kinds of receipt.
const (
	// SignedReceipt is the zero value: the receiver signs what it has received.
	SignedReceipt ReceiptKind = iota
	// UnsignedReceipt proves nothing.
	UnsignedReceipt
	NoReceipt
)

// Partner is how messages are sent to a trading partner. It is a value and safe for concurrent
// use. The zero value signs, seals and asks for a signed receipt, so From, To, URL, Identity,
// Recipient and Trust must be set.
type Partner struct {
	// From and To are the AS2 names of sender and receiver.
	From, To string
	// URL is where the partner receives.
	URL string
	// Transport sends requests; that of tlsctx fits. If nil, http.DefaultTransport. Redirects
	// are not followed.
	Transport http.RoundTripper

	// Identity signs. Unsigned sends without a signature; Identity must then be nil.
	Identity trustkeep.Identity
	Unsigned bool
	// Recipient returns the partner's certificate for encryption: the one to use now, such as
	// partner.Set.Send tells. It must be valid. Unsealed sends without encryption; Recipient
	// must then be nil.
	Recipient func() (*x509.Certificate, error)
	Unsealed  bool
	// Signing and Sealing are how package cms is asked.
	Signing cms.SignOptions
	Sealing cms.SealOptions
	// Compression of messages. If zero, none.
	Compression Compression
	// Base64 sends the content in base64, for receivers that change line ends or take messages
	// for text. What encloses it stays binary, as HTTP has it.
	Base64 bool
	// OldMicalg spells "sha256" instead of "sha-256", for receivers that compare.
	OldMicalg bool

	// Receipt is what is asked for. If zero, a signed one.
	Receipt ReceiptKind
	// Trust holds the certificates by which the partner signs receipts, and no others: whoever
	// it trusts can sign them. That of partner.Live has the old and the new ones. It must be
	// set for signed receipts.
	Trust truststore.Source
	// Verifying is how package cms verifies receipts; its Trust and Context are replaced.
	// Purposes of certificates do not count, since those of partners are often for TLS.
	Verifying cms.VerifyOptions
	// ReceiptURL asks for the receipt to be sent there later, to a ReceiptHandler. If empty, it
	// comes with the answer.
	ReceiptURL string
	// OnSent is called when all of a message but its last bytes was sent, with what a
	// receipt must say: keep it for ReceiptHandler. If it fails, the message is not completed,
	// and Send returns its error. It must be set with ReceiptURL.
	OnSent func(context.Context, Sent) error

	// MaxReceipt bounds the answer in bytes. If zero, 1 MiB.
	MaxReceipt int64
	// Timeout bounds Send. If zero, 30 minutes; the context can end it earlier.
	Timeout time.Duration
	// Clock tells the time at which certificates must be valid. If nil, time.Now.
	Clock func() time.Time
}

// Sent is what is known about a message that was sent, to compare its receipt with. It can be
// kept as JSON.
type Sent struct {
	MessageID string `json:"message_id"`
	From      string `json:"from"`
	To        string `json:"to"`
	// MICs are those that a receipt may state: that of the signature, or for a message without
	// one several.
	MICs []MIC `json:"mics"`
}

// Receipt is what a partner has said about a message.
type Receipt struct {
	// MessageID is that of the message.
	MessageID   string
	Disposition Disposition
	// MIC is what the receiver has computed, equal to that of what was sent.
	MIC MIC
	// Signers are those of the receipt; empty for an unsigned one.
	Signers []cms.Signer
	// Text is what the receiver tells people, in printable form.
	Text string
	// Raw is the receipt as a MIME entity, signature included, to keep as evidence.
	Raw []byte
	// Pending is set where the receipt is still to come: nothing else but MessageID is then
	// known, or where none was asked for.
	Pending bool
	// Sent is what the receipt was compared with.
	Sent Sent
}

const (
	defaultMaxReceipt = 1 << 20
	defaultTimeout    = 30 * time.Minute
	// Messages up to this size are sent with their length, which old servers want.
	wholeSize = 1 << 20
	// maxRefusal bounds what is shown of a server's refusal.
	maxRefusal = 1 << 10
)

func (p Partner) check(m Message) error {
	if err := errors.Join(checkName(p.From), checkName(p.To)); err != nil {
		return err
	}
	invalid := func(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrInvalid) }
	switch {
	case m.ID != "" && checkMessageID(m.ID) != nil:
		return checkMessageID(m.ID)
	case (p.Identity == nil) != p.Unsigned:
		return invalid("either Identity or Unsigned must be set")
	case (p.Recipient == nil) != p.Unsealed:
		return invalid("either Recipient or Unsealed must be set")
	case p.Receipt == SignedReceipt && p.Trust == nil:
		return invalid("Trust, which signed receipts need, is not set")
	case p.Receipt > NoReceipt || p.Compression > SignThenCompress:
		return invalid("kind of receipt or compression")
	case p.ReceiptURL != "" && (p.OnSent == nil || p.Receipt == NoReceipt):
		return invalid("ReceiptURL without OnSent, or without a receipt")
	case p.MaxReceipt < 0 || p.Timeout < 0:
		return invalid("negative MaxReceipt or Timeout")
	case strings.ContainsAny(m.Subject, "\r\n\x00"):
		return invalid("line end in the subject")
	}
	if p.ReceiptURL != "" {
		return errors.Join(checkURL(p.URL), checkURL(p.ReceiptURL))
	}
	return checkURL(p.URL)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(text, "\r\n ") {
		return fmt.Errorf("URL %s: %w", trustkeep.Printable(text), trustkeep.ErrInvalid)
	}
	return nil
}

// Send sends a message and checks its receipt. Memory stays flat whatever the size of the
// message. A message of more than 1 MiB is sent in chunks (RFC 9112 section 7.1).
//
// A receipt counts when it is signed by a certificate of Trust, unless an unsigned one was asked
// for; when it names the message and states its MIC; and when its disposition is "processed" and
// nothing else. Otherwise the error is a *ReceiptError. It is a *StatusError for an answer that is
// not a success, wraps trustkeep.ErrInvalid for contradicting settings, trustkeep.ErrExpired for a
// certificate of the recipient that is not valid, and else is that of package cms, of the network
// or of m.Body.
//
// After any error but ErrInvalid the message may have arrived: send it again with the Message-ID
// of the Receipt, which Send returns as soon as it has one.
func (p Partner) Send(ctx context.Context, m Message) (*Receipt, error) {
	if err := p.check(m); err != nil {
		return nil, wrap("send", err)
	}
	if m.ID == "" {
		m.ID = newMessageID()
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent := Sent{MessageID: m.ID, From: p.From, To: p.To}
	pending := &Receipt{MessageID: m.ID, Pending: true}
	resp, err := p.post(ctx, m, &sent)
	if err != nil {
		return pending, wrap("send", err)
	}
	defer resp.Body.Close()
	pending.Sent = sent
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		return pending, &StatusError{Status: resp.StatusCode, Text: trustkeep.Printable(strings.TrimSpace(string(text)))}
	}
	if p.ReceiptURL != "" || p.Receipt == NoReceipt {
		return pending, nil
	}
	most := p.MaxReceipt
	if most == 0 {
		most = defaultMaxReceipt
	}
	r, err := p.readReceipt(ctx, resp.Header, resp.Body, most, sent)
	if r == nil {
		r = pending
	}
	return r, err
}

func (p Partner) now() time.Time {
	if p.Clock != nil {
		return p.Clock()
	}
	return time.Now()
}

// post sends the message and fills in what was sent.
func (p Partner) post(ctx context.Context, m Message, sent *Sent) (*http.Response, error) {
	s, guard := new(stage), new(guarded)
	defer func() { // what blocks a reader ends first
		s.close()
		guard.stop()
		s.wg.Wait()
	}()
	entity, mics, err := p.assemble(s, m)
	if err != nil {
		return nil, err
	}
	header, body, err := splitEntity(entity)
	if err != nil {
		return nil, err
	}
	// The transport may read on in a goroutine of its own when it has an answer; the message
	// then is not complete, and what it reads must not be touched.
	var mu sync.Mutex
	var failed error
	complete := false
	end := &ending{Reader: body, done: func() error {
		all := mics()
		var err error
		if p.OnSent != nil {
			err = p.OnSent(ctx, Sent{MessageID: sent.MessageID, From: sent.From, To: sent.To, MICs: all})
		}
		mu.Lock()
		defer mu.Unlock()
		sent.MICs, failed, complete = all, err, err == nil
		return err
	}}
	guard.src = end
	var first bytes.Buffer
	n, err := io.CopyN(&first, guard, wholeSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	whole := err == io.EOF
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("URL %s: %w", trustkeep.Printable(p.URL), trustkeep.ErrInvalid)
	}
	if whole {
		req.ContentLength = n
		req.Body = io.NopCloser(&first)
	} else {
		req.ContentLength = -1
		req.Body = io.NopCloser(io.MultiReader(&first, guard))
	}
	p.setHeader(req.Header, m, header)
	resp, err := roundTrip(p.Transport, req)
	mu.Lock()
	defer mu.Unlock()
	if failed != nil {
		err = failed
	}
	if err == nil && !complete && resp.StatusCode < 300 {
		err = fmt.Errorf("the server has answered before it had all of the message: %w", trustkeep.ErrCorrupt)
	}
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, err
	}
	return resp, nil
}

// guarded keeps a transport from reading once Send has returned.
type guarded struct {
	mu  sync.Mutex
	src io.Reader
}

func (g *guarded) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.src == nil {
		return 0, errEnded
	}
	return g.src.Read(p)
}

func (g *guarded) stop() {
	g.mu.Lock()
	g.src = nil
	g.mu.Unlock()
}

func roundTrip(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	c := http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil && len(err.Error()) > maxErrorText {
		err = errtext.Bound(err)
	}
	return resp, err
}

// maxErrorText is from where on an error of the transport is cut: net/http quotes the whole first
// line of an answer.
const maxErrorText = 2 << 10
