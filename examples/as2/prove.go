package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/examples/internal/proof"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// member is a certificate in the set of a partner.
type member struct{ certificate *x509.Certificate }

func (m member) Fingerprint() string               { return m.certificate.SerialNumber.String() }
func (m member) NotBefore() time.Time              { return m.certificate.NotBefore }
func (m member) NotAfter() time.Time               { return m.certificate.NotAfter }
func (m member) Certificates() []*x509.Certificate { return []*x509.Certificate{m.certificate} }

// listen serves over TLS on a free port until close is called.
func listen(id trustkeep.Identity, clients truststore.Source, h http.Handler) (url string, closed func(), err error) {
	b := tlsctx.Builder{Identity: id}
	if clients != nil {
		b.Trusted, b.ClientAuth = clients, tlsctx.RequireClientAuth
	}
	config, err := b.Server()
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { s.ServeTLS(l, "", "") })
	return "https://" + l.Addr().String() + "/", func() { s.Close(); serving.Wait() }, nil
}

// altering changes one byte of what is sent.
type altering struct{ http.RoundTripper }

func (a altering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body[len(body)/2] ^= 1
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return a.RoundTripper.RoundTrip(r)
}

// prove shows which exchanges work and which are refused: "us" sends to "them", who have the
// certificate A.
func prove(ctx context.Context, out io.Writer) error {
	results := proof.Report{Out: out}
	report := results.Step
	ids := make(map[string]*keystore.Identity)
	for _, name := range []string{"us", "A", "B", "stranger"} {
		id, err := issue.New(issue.Options{
			Subject: pkix.Name{CommonName: name}, Key: issue.RSA3072, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			EmailAddresses: []string{"as2@example.com"}, Purposes: issue.ForClient | issue.ForServer | issue.ForEmail,
		})
		if err != nil {
			return err
		}
		ids[name] = id
	}
	only := func(name string) *truststore.Truststore { return truststore.New(ids[name].Leaf()) }
	folder, err := os.MkdirTemp("", "as2-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)

	// They receive, over TLS with client certificates, bound to the AS2 name.
	s := settings{from: "us", to: "them", inbox: filepath.Join(folder, "inbox")}
	h, err := s.handler(ids["A"], only("us"))
	if err != nil {
		return err
	}
	h.OnFailure = nil
	var mu sync.Mutex
	count, signer := 0, ids["A"]
	deliver := h.Deliver
	h.Deliver = func(ctx context.Context, r *as2.Received) error {
		mu.Lock()
		defer mu.Unlock()
		count++
		return deliver(ctx, r)
	}
	delivered := func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
	receiptTransport, err := tlsctx.Builder{Trusted: only("us"), Identity: ids["A"]}.Transport(nil)
	if err != nil {
		return err
	}
	var receiptURL string
	lookup := h.Partners
	h.Partners = func(ctx context.Context, from, to string) (as2.Inbound, error) {
		in, err := lookup(ctx, from, to)
		mu.Lock()
		defer mu.Unlock()
		in.Signer, in.ReceiptURLs, in.Transport = signer, []string{receiptURL}, receiptTransport
		in.Authorize = func(r *http.Request) error {
			if !r.TLS.PeerCertificates[0].Equal(ids["us"].Leaf()) {
				return errors.New("another client's certificate")
			}
			return nil
		}
		return in, err
	}
	url, closed, err := listen(ids["A"], truststore.New(ids["us"].Leaf(), ids["stranger"].Leaf()), h)
	if err != nil {
		return err
	}
	defer closed()

	transport := func(trusted, id string) (http.RoundTripper, error) {
		return tlsctx.Builder{Global: only("A"), Trusted: only(trusted), Identity: ids[id]}.Transport(nil)
	}
	ours, err := transport("A", "us")
	if err != nil {
		return err
	}
	recipient := func(name string) func() (*x509.Certificate, error) {
		return func() (*x509.Certificate, error) { return ids[name].Leaf(), nil }
	}
	deployed := as2.Partner{From: "us", To: "them", URL: url, Transport: ours, Identity: ids["us"], Recipient: recipient("A"), Trust: only("A")}
	number := 0
	send := func(p as2.Partner, id, content string) error {
		if id == "" {
			number++
			id = fmt.Sprintf("<%d@us>", number)
		}
		_, err := p.Send(ctx, as2.Message{ID: id, Content: as2.Content{Body: bytes.NewReader(bytes.Repeat([]byte(content), 10_000)), FileName: "order.edi"}})
		return err
	}
	try := func(change func(*as2.Partner)) error {
		p := deployed
		change(&p)
		return send(p, "", "ISA*00*\n")
	}

	report("they have A, A is deployed", true, try(func(*as2.Partner) {}))
	report("the same, compressed, SHA-512", true, try(func(p *as2.Partner) { p.Compression, p.Signing.Hash = as2.SignThenCompress, crypto.SHA512 }))
	before := delivered()
	report("they have A, the receipts of this connection are set to B", false, try(func(p *as2.Partner) { p.Trust = only("B") }))
	report("they have A, this connection seals for B", false, try(func(p *as2.Partner) { p.Recipient = recipient("B") }))
	other, err := transport("B", "us")
	if err != nil {
		return err
	}
	report("they have A, the TLS of this connection is set to B", false, try(func(p *as2.Partner) { p.Transport = other }))
	report("signed by a stranger", false, try(func(p *as2.Partner) { p.Identity = ids["stranger"] }))
	strange, err := transport("A", "stranger")
	if err != nil {
		return err
	}
	report("our AS2 name over a stranger's TLS", false, try(func(p *as2.Partner) { p.Transport = strange }))
	report("not signed", false, try(func(p *as2.Partner) { p.Identity, p.Unsigned = nil, true }))
	report("changed on the way", false, try(func(p *as2.Partner) { p.Transport = altering{ours} }))
	report("of these they took the one whose receipt we did not trust", true, expect(before+1, delivered()))

	before = delivered()
	report("a message", true, send(deployed, "<once@us>", "a"))
	report("the same again, which is answered and not delivered", true, errors.Join(send(deployed, "<once@us>", "a"), expect(before+1, delivered())))
	report("another under the same Message-ID", false, send(deployed, "<once@us>", "b"))

	// They replace A by B for receipts, while we have both.
	both := new(partner.Set[member])
	for _, name := range []string{"A", "B"} {
		if err := both.Add(partner.Member[member]{Item: member{ids[name].Leaf()}, Uses: partner.VerifyMDN}); err != nil {
			return err
		}
	}
	live := partner.Live[member]{Set: both}.Trust(partner.VerifyMDN)
	mu.Lock()
	signer = ids["B"]
	mu.Unlock()
	report("they sign receipts by B, we have A", false, try(func(*as2.Partner) {}))
	report("they sign receipts by B, we have A and B", true, try(func(p *as2.Partner) { p.Trust = live }))
	if err := both.Remove(member{ids["B"].Leaf()}.Fingerprint()); err != nil {
		return err
	}
	report("they sign receipts by B, which we have removed", false, try(func(p *as2.Partner) { p.Trust = live }))
	mu.Lock()
	signer = ids["A"]
	mu.Unlock()

	err = later(ctx, ids, deployed, func(url string) {
		mu.Lock()
		defer mu.Unlock()
		receiptURL = url
	}, report)
	return errors.Join(err, results.Err())
}

// later asks for receipts that come to a server of ours.
func later(ctx context.Context, ids map[string]*keystore.Identity, p as2.Partner, agree func(url string), report func(string, bool, error)) error {
	var mu sync.Mutex
	sent := make(map[string]as2.Sent)
	verdicts := make(chan error, 10)
	url, closed, err := listen(ids["us"], truststore.New(ids["A"].Leaf()), as2.ReceiptHandler{
		Lookup: func(_ context.Context, id string) (as2.Partner, as2.Sent, error) {
			mu.Lock()
			defer mu.Unlock()
			if s, ok := sent[id]; ok {
				return p, s, nil
			}
			return p, as2.Sent{}, trustkeep.ErrNotFound
		},
		Deliver: func(_ context.Context, _ as2.Sent, _ *as2.Receipt, verdict error) error {
			verdicts <- verdict
			return nil
		},
	})
	if err != nil {
		return err
	}
	defer closed()
	p.ReceiptURL = url
	p.OnSent = func(_ context.Context, s as2.Sent) error {
		mu.Lock()
		defer mu.Unlock()
		sent[s.MessageID] = s
		return nil
	}
	send := func() error {
		if _, err := p.Send(ctx, as2.Message{Content: as2.Content{Body: bytes.NewReader([]byte("later\n"))}}); err != nil {
			return err
		}
		select {
		case err := <-verdicts:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Minute):
			return errors.New("no receipt within a minute")
		}
	}
	report("a receipt to a URL that is not agreed", false, send())
	agree(url)
	report("a receipt to a URL that is agreed", true, send())
	return nil
}

func expect(want, got int) error {
	if want != got {
		return fmt.Errorf("%d deliveries instead of %d", got, want)
	}
	return nil
}
