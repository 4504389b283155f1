package as2

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/smime"
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

// stage runs steps in goroutines of their own, each of which ends with the stage.
type stage struct {
	wg      sync.WaitGroup
	readers []*io.PipeReader
}

func (s *stage) add(src io.Reader, step func(dst io.Writer, src io.Reader) error) io.Reader {
	r, w := io.Pipe()
	s.readers = append(s.readers, r)
	s.wg.Go(func() { w.CloseWithError(step(w, src)) })
	return r
}

func (s *stage) close() {
	for _, r := range s.readers {
		r.CloseWithError(errEnded)
	}
}

var errEnded = errors.New("as2: the message was not read to its end")

// counted computes digests of what passes.
type counted struct {
	io.Reader
	hashes []crypto.Hash
	sums   []hash.Hash
}

func newCounted(r io.Reader, hs ...crypto.Hash) *counted {
	c := &counted{hashes: hs}
	var ws []io.Writer
	for _, h := range hs {
		sum := h.New()
		c.sums = append(c.sums, sum)
		ws = append(ws, sum)
	}
	c.Reader = io.TeeReader(r, io.MultiWriter(ws...))
	return c
}

func (c *counted) mics() []MIC {
	var out []MIC
	for i, h := range c.hashes {
		out = append(out, MIC{h, c.sums[i].Sum(nil)})
	}
	return out
}

// assemble signs, compresses and seals the message as it is read.
func (p Partner) assemble(s *stage, m Message) (io.Reader, func() []MIC, error) {
	header, body, err := m.entity(p.Base64)
	if err != nil {
		return nil, nil, err
	}
	var recipient *x509.Certificate
	if p.Recipient != nil {
		if recipient, err = p.recipient(); err != nil {
			return nil, nil, err
		}
	}
	var count *counted
	var signed []MIC // known once the message was read to its end
	// Without a signature, receivers choose: what was asked for, or SHA-1 (RFC 4130 section 7.4.3).
	unsigned := []crypto.Hash{crypto.SHA256}
	if !fips.Enforced() {
		unsigned = append(unsigned, crypto.SHA1)
	}
	if p.Unsigned && p.Unsealed && p.Compression == Uncompressed {
		// Its header is that of HTTP and does not count.
		count = newCounted(body, unsigned...)
		return io.MultiReader(strings.NewReader(header), count), count.mics, nil
	}
	entity := io.MultiReader(strings.NewReader(header), body)
	compress := func(dst io.Writer, src io.Reader) error {
		return smime.CompressOptions{Encoding: smime.Binary}.Compress(dst, src)
	}
	if p.Unsigned {
		count = newCounted(entity, unsigned...)
		entity = count
	}
	if p.Compression == CompressThenSign || p.Unsigned && p.Compression != Uncompressed {
		entity = s.add(entity, compress)
	}
	if !p.Unsigned {
		if _, err := p.Signing.Hashes(p.Identity); err != nil {
			return nil, nil, err // before anything is sent
		}
		signing, told := p.Signing, p.Signing.Digested
		signing.Digested = func(h crypto.Hash, digest []byte) {
			signed = append(signed, MIC{h, digest})
			if told != nil {
				told(h, bytes.Clone(digest))
			}
		}
		// The signature is in base64: OpenSSL reads no other.
		entity = s.add(entity, func(dst io.Writer, src io.Reader) error {
			return smime.SignOptions{CMS: signing, OldMicalg: p.OldMicalg}.Sign(dst, src, p.Identity)
		})
		if p.Compression == SignThenCompress {
			entity = s.add(entity, compress)
		}
	}
	if recipient != nil {
		entity = s.add(entity, func(dst io.Writer, src io.Reader) error {
			return smime.SealOptions{CMS: p.Sealing, Encoding: smime.Binary}.Seal(dst, src, recipient)
		})
	}
	if count != nil {
		return entity, count.mics, nil
	}
	return entity, func() []MIC { return signed }, nil
}

func (p Partner) recipient() (*x509.Certificate, error) {
	c, err := p.Recipient()
	switch now := p.now(); {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, fmt.Errorf("no certificate of the recipient: %w", trustkeep.ErrInvalid)
	case now.After(c.NotAfter), now.Before(c.NotBefore):
		return nil, fmt.Errorf("certificate of the recipient, %s, is valid from %s to %s: %w", trustkeep.PrintableName(c.RawSubject),
			c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), trustkeep.ErrExpired)
	}
	return c, nil
}

func (p Partner) now() time.Time {
	if p.Clock != nil {
		return p.Clock()
	}
	return time.Now()
}

// ending calls a function when a stream has ended, before anybody learns that it has.
type ending struct {
	io.Reader
	done func() error
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err == io.EOF && e.done != nil {
		done := e.done
		e.done = nil
		if failed := done(); failed != nil {
			return n, failed
		}
	}
	return n, err
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
	return c.Do(req)
}

const (
	version  = "1.2"
	features = "multiple-attachments"
)

// setCommon sets the header fields of messages and receipts.
func setCommon(h http.Header, from, to, id string, now time.Time) {
	h.Set("AS2-Version", version)
	h.Set("EDIINT-Features", features)
	h.Set("AS2-From", quoteName(from))
	h.Set("AS2-To", quoteName(to))
	h.Set("Message-ID", id)
	h.Set("MIME-Version", "1.0")
	h.Set("User-Agent", reportingUA)
	h.Set("Date", now.UTC().Format(http.TimeFormat))
}

// setEntity sets the fields of an entity whose body is that of HTTP.
func setEntity(h http.Header, entity textproto.MIMEHeader) {
	h.Set("Content-Type", entity.Get("Content-Type"))
	if d := entity.Get("Content-Disposition"); d != "" {
		h.Set("Content-Disposition", d)
	}
	// HTTP is binary; what says so confuses some.
	if e := entity.Get("Content-Transfer-Encoding"); e != "" && e != "binary" {
		h.Set("Content-Transfer-Encoding", e)
	}
}

func (p Partner) setHeader(h http.Header, m Message, entity textproto.MIMEHeader) {
	setCommon(h, p.From, p.To, m.ID, p.now())
	setEntity(h, entity)
	subject := m.Subject
	if subject == "" {
		subject = "AS2 message"
	}
	h.Set("Subject", mime.QEncoding.Encode("utf-8", subject))
	if p.Receipt == NoReceipt {
		return
	}
	h.Set("Disposition-Notification-To", quoteName(p.From))
	if p.Receipt == SignedReceipt {
		h.Set("Disposition-Notification-Options", "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, "+p.micName())
	}
	if p.ReceiptURL != "" {
		h.Set("Receipt-Delivery-Option", p.ReceiptURL)
	}
}

// micName is the digest that the receipt is asked for: that of the signature.
func (p Partner) micName() string {
	h := crypto.SHA256
	if !p.Unsigned {
		if used, err := p.Signing.Hashes(p.Identity); err == nil && len(used) > 0 {
			h = used[0]
		}
	}
	return hashName(h, p.OldMicalg)
}
