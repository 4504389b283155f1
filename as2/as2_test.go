package as2_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// person has a certificate for AS2.
type person struct{ *testpki.Identity }

func (p person) TLSCertificate() (*tls.Certificate, error) {
	c := p.Identity.TLSCertificate()
	return &c, nil
}

func (p person) recipient() (*x509.Certificate, error) { return p.Cert, nil }

func (p person) trust() *truststore.Truststore { return truststore.New(p.Cert) }

func newPerson(pki *testpki.PKI, name string) person {
	return person{pki.Issue(testpki.Request{Names: []string{name}, KeyType: testpki.RSA2048, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})}
}

// delivery is what an application was given.
type delivery struct {
	as2.Record
	repeated bool
	body     string
}

// pair is a sender and a receiver over HTTP.
type pair struct {
	us, them, stranger person
	inbound            as2.Inbound
	handler            as2.Handler
	server             *httptest.Server
	partner            as2.Partner

	mu        sync.Mutex
	delivered []delivery
	failures  []error
}

func newPair(t testing.TB) *pair {
	pki := testpki.New(t, testpki.Options{})
	p := &pair{us: newPerson(pki, "us.example"), them: newPerson(pki, "them.example"), stranger: newPerson(pki, "stranger.example")}
	p.inbound = as2.Inbound{Identities: []trustkeep.Identity{p.them}, Trust: p.us.trust(), Signer: p.them}
	journal, err := as2.OpenJournal(t.TempDir(), as2.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.handler = as2.Handler{
		Partners: func(_ context.Context, from, to string) (as2.Inbound, error) {
			if from != "us" || to != "them" {
				return as2.Inbound{}, trustkeep.ErrNotFound
			}
			return p.inbound, nil
		},
		Journal: journal, Deliver: p.deliver, FailureDelay: -1,
		OnFailure: func(_ context.Context, _ as2.Key, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failures = append(p.failures, err)
		},
	}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }))
	t.Cleanup(p.server.Close)
	p.partner = as2.Partner{From: "us", To: "them", URL: p.server.URL, Identity: p.us, Recipient: p.them.recipient, Trust: p.them.trust()}
	return p
}

func (p *pair) deliver(_ context.Context, r *as2.Received) error {
	f, err := r.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = append(p.delivered, delivery{r.Record, r.Repeated, string(body)})
	return nil
}

func (p *pair) last(t *testing.T) delivery {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.delivered) == 0 {
		t.Fatalf("nothing was delivered: %v", p.failures)
	}
	return p.delivered[len(p.delivered)-1]
}

func message(body string) as2.Message {
	return as2.Message{Content: as2.Content{Body: strings.NewReader(body), ContentType: "application/edi-x12", FileName: "order 1.edi"}}
}

// Line ends of all kinds, a lone CR, bytes that are no text.
const awkward = "ISA*00*\nline\r\n\r\n--x\r\rlast \x00\xff without end"

func TestSendAndReceive(t *testing.T) {
	p := newPair(t)
	open := p.inbound
	var long strings.Builder
	for i := range 200_000 {
		fmt.Fprintln(&long, i)
	}
	for name, change := range map[string]func(*as2.Partner){
		"signed and sealed": func(*as2.Partner) {},
		"SHA-512":           func(o *as2.Partner) { o.Signing.Hash = crypto.SHA512 },
		"old micalg":        func(o *as2.Partner) { o.OldMicalg = true },
		"SHA-384":           func(o *as2.Partner) { o.Signing.Hash = crypto.SHA384 },
		"base64":            func(o *as2.Partner) { o.Base64 = true },
		"compressed first":  func(o *as2.Partner) { o.Compression = as2.CompressThenSign },
		"signed first":      func(o *as2.Partner) { o.Compression = as2.SignThenCompress },
		"GCM":               func(o *as2.Partner) { o.Sealing.Cipher = cms.AES256GCM },
		"3DES":              func(o *as2.Partner) { o.Sealing.Cipher = cms.TripleDESCBC },
		"unsealed":          func(o *as2.Partner) { o.Recipient, o.Unsealed = nil, true },
		"unsealed, signed first": func(o *as2.Partner) {
			o.Recipient, o.Unsealed, o.Compression = nil, true, as2.SignThenCompress
		},
		"unsealed, compressed first": func(o *as2.Partner) {
			o.Recipient, o.Unsealed, o.Compression = nil, true, as2.CompressThenSign
		},
		"unsigned":             func(o *as2.Partner) { o.Identity, o.Unsigned = nil, true },
		"unsigned, base64":     func(o *as2.Partner) { o.Identity, o.Unsigned, o.Base64 = nil, true, true },
		"unsigned, compressed": func(o *as2.Partner) { o.Identity, o.Unsigned, o.Compression = nil, true, as2.CompressThenSign },
		"plain":                func(o *as2.Partner) { o.Identity, o.Unsigned, o.Recipient, o.Unsealed = nil, true, nil, true },
		"plain, base64": func(o *as2.Partner) {
			o.Identity, o.Unsigned, o.Recipient, o.Unsealed, o.Base64 = nil, true, nil, true, true
		},
		"compressed alone": func(o *as2.Partner) {
			o.Identity, o.Unsigned, o.Recipient, o.Unsealed, o.Compression = nil, true, nil, true, as2.SignThenCompress
		},
		"unsigned receipt": func(o *as2.Partner) { o.Receipt, o.Trust = as2.UnsignedReceipt, nil },
		"no receipt":       func(o *as2.Partner) { o.Receipt, o.Trust = as2.NoReceipt, nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := p.partner
			change(&o)
			p.inbound = open
			p.inbound.AllowUnsigned, p.inbound.AllowUnsealed = o.Unsigned, o.Unsealed
			for _, body := range []string{awkward, "", long.String()} {
				r, err := o.Send(t.Context(), message(body))
				if err != nil {
					t.Fatalf("%v\n%v", err, p.failures)
				}
				got := p.last(t)
				if got.body != body || got.repeated || got.FileName != "order 1.edi" || got.ContentType != "application/edi-x12" {
					t.Fatalf("delivered %q, %+v", got.body[:min(80, len(got.body))], got.Record)
				}
				if got.Signed == o.Unsigned || got.Sealed == o.Unsealed || got.Compressed != (o.Compression != 0) {
					t.Fatalf("%+v", got.Record)
				}
				switch o.Receipt {
				case as2.NoReceipt:
					if !r.Pending {
						t.Error("a receipt from nowhere")
					}
					continue
				case as2.SignedReceipt:
					if len(r.Signers) != 1 || !r.Signers[0].Certificate.Equal(p.them.Cert) {
						t.Error("signers", r.Signers)
					}
				}
				if !r.Disposition.Processed() || r.MessageID != got.ID || r.MIC.String() != got.MIC.String() {
					t.Errorf("receipt %+v, record %+v", r, got.Record)
				}
				if o.Signing.Hash != 0 && r.MIC.Hash != o.Signing.Hash {
					t.Errorf("MIC by %v", r.MIC.Hash)
				}
			}
		})
	}
}

func TestAttachments(t *testing.T) {
	p := newPair(t)
	for _, b64 := range []bool{false, true} {
		var got []string
		p.handler.Deliver = func(_ context.Context, r *as2.Received) error {
			got = nil
			return r.Each(func(c as2.Content) error {
				b, err := io.ReadAll(c.Body)
				got = append(got, fmt.Sprintf("%s %s %q", c.FileName, c.ContentType, b))
				return err
			})
		}
		o, m := p.partner, message(awkward)
		o.Base64 = b64
		m.Attachments = []as2.Content{
			{Body: strings.NewReader("%PDF\r\n"), ContentType: "application/pdf", FileName: "Bestellung für Ä.pdf"},
			{Body: strings.NewReader("x")},
		}
		if _, err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err, p.failures)
		}
		want := []string{fmt.Sprintf("order 1.edi application/edi-x12 %q", awkward), `Bestellung für Ä.pdf application/pdf "%PDF\r\n"`, ` application/octet-stream "x"`}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q", got)
		}
	}
}

// refusedWith returns the ReceiptError of an error.
func refusedWith(t *testing.T, err error) *as2.ReceiptError {
	t.Helper()
	var e *as2.ReceiptError
	if !errors.As(err, &e) {
		t.Fatalf("not a ReceiptError: %v", err)
	}
	return e
}

// Whoever is not the partner, and whatever was changed, gets one and the same answer, and
// nothing is delivered.
func TestRefusals(t *testing.T) {
	p := newPair(t)
	tamper := func(f func([]byte) []byte) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			b = f(b)
			r = r.Clone(r.Context())
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			return http.DefaultTransport.RoundTrip(r)
		})
	}
	flip := func(at int) http.RoundTripper {
		return tamper(func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b })
	}
	answers := make(map[string]string)
	for name, change := range map[string]func(*as2.Partner){
		"signed by a stranger":   func(o *as2.Partner) { o.Identity = p.stranger },
		"sealed for a stranger":  func(o *as2.Partner) { o.Recipient = p.stranger.recipient },
		"unsigned":               func(o *as2.Partner) { o.Identity, o.Unsigned = nil, true },
		"unsealed":               func(o *as2.Partner) { o.Recipient, o.Unsealed = nil, true },
		"plain":                  func(o *as2.Partner) { o.Identity, o.Unsigned, o.Recipient, o.Unsealed = nil, true, nil, true },
		"changed padding":        func(o *as2.Partner) { o.Transport = flip(-17 - 4*2) },
		"changed ciphertext":     func(o *as2.Partner) { o.Transport = flip(2000) },
		"changed key":            func(o *as2.Partner) { o.Transport = flip(300) },
		"changed signature":      func(o *as2.Partner) { o.Recipient, o.Unsealed, o.Transport = nil, true, flip(-300) },
		"changed signed content": func(o *as2.Partner) { o.Recipient, o.Unsealed, o.Transport = nil, true, flip(400) },
		"cut short":              func(o *as2.Partner) { o.Transport = tamper(func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty":                  func(o *as2.Partner) { o.Transport = tamper(func([]byte) []byte { return nil }) },
		"garbage": func(o *as2.Partner) {
			o.Transport = tamper(func(b []byte) []byte { return bytes.Repeat([]byte{0x30}, 5000) })
		},
		"changed compressed data": func(o *as2.Partner) { o.Compression, o.Transport = as2.SignThenCompress, flip(1500) },
	} {
		o := p.partner
		change(&o)
		r, err := o.Send(t.Context(), message(strings.Repeat(awkward, 100)))
		e := refusedWith(t, err)
		if e.Code != as2.CodeNotProcessed || len(r.Signers) != 1 || !errors.Is(err, trustkeep.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
		raw := string(e.Receipt.Raw)
		answers[r.Disposition.String()+r.Text+r.MIC.String()+fmt.Sprint(strings.Count(raw, "\n"))] += name + ", "
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %q", answers)
	}
	if len(p.delivered) > 0 {
		t.Errorf("delivered %v", p.delivered)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A message that opens to anything at all, or not at all, is answered no earlier than the delay.
func TestRefusalWaits(t *testing.T) {
	p := newPair(t)
	p.handler.FailureDelay = 80 * time.Millisecond
	for _, id := range []person{p.stranger, p.us} {
		o := p.partner
		o.Identity = id
		if id == p.us {
			o.Recipient = p.stranger.recipient
		}
		start := time.Now()
		if _, err := o.Send(t.Context(), message("x")); err == nil {
			t.Fatal("accepted")
		}
		if d := time.Since(start); d < p.handler.FailureDelay {
			t.Errorf("answered after %v", d)
		}
	}
}

// One ID is one message: the same again gets the same receipt and is not delivered; another is
// refused.
func TestRepeatedMessage(t *testing.T) {
	p := newPair(t)
	send := func(body, id string) (*as2.Receipt, error) {
		m := message(body)
		m.ID = id
		return p.partner.Send(t.Context(), m)
	}
	first, err := send("a", "<1@us>")
	if err != nil {
		t.Fatal(err)
	}
	second, err := send("a", "<1@us>")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Raw, second.Raw) {
		t.Error("the stored receipt is another")
	}
	_, err = send("b", "<1@us>")
	if e := refusedWith(t, err); e.Code != as2.CodeNotProcessed || !strings.Contains(err.Error(), "Message-ID") {
		t.Error(err)
	}
	if _, err := send("a", "<2@us>"); err != nil {
		t.Error(err)
	}
	if len(p.delivered) != 2 {
		t.Errorf("%d deliveries", len(p.delivered))
	}
	// Many at once.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := send("c", "<3@us>"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(p.delivered) != 3 {
		t.Errorf("%d deliveries", len(p.delivered))
	}
}

// What the application does not take is not answered as processed, and comes again.
func TestFailedDelivery(t *testing.T) {
	p := newPair(t)
	p.handler.Deliver = func(context.Context, *as2.Received) error { return errors.New("disk full") }
	m := message("a")
	m.ID = "<1@us>"
	_, err := p.partner.Send(t.Context(), m)
	if e := refusedWith(t, err); e.Code != as2.CodeNotProcessed || strings.Contains(err.Error(), "disk") {
		t.Error(err)
	}
	p.handler.Deliver = p.deliver
	m.Body = strings.NewReader("a")
	if _, err := p.partner.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := p.last(t); got.body != "a" || !got.repeated {
		t.Errorf("%+v", got)
	}
}
