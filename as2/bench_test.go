package as2_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/cms"
)

const benchSize = 64 << 20

// BenchmarkMessage makes the message and throws it away where it would be sent. Compare it with
// BenchmarkCMS.
func BenchmarkMessage(b *testing.B) {
	p := newPair(b)
	o := p.partner
	o.Receipt, o.Trust = as2.NoReceipt, nil
	o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
	})
	b.SetBytes(benchSize)
	for b.Loop() {
		m := message("")
		m.Body = io.LimitReader(lines{}, benchSize)
		if _, err := o.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend sends it by HTTP to a server in the same process that reads it.
func BenchmarkSend(b *testing.B) {
	p := newPair(b)
	url := newServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
	}))
	o := p.partner
	o.Receipt, o.Trust, o.URL = as2.NoReceipt, nil, url
	b.SetBytes(benchSize)
	for b.Loop() {
		m := message("")
		m.Body = io.LimitReader(lines{}, benchSize)
		if _, err := o.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCMS signs and seals the same by package cms alone.
func BenchmarkCMS(b *testing.B) {
	p := newPair(b)
	b.SetBytes(benchSize)
	for b.Loop() {
		sealed, err := cms.SealOptions{}.Writer(io.Discard, p.them.Cert)
		if err != nil {
			b.Fatal(err)
		}
		signed, err := cms.SignOptions{}.Writer(sealed, p.us)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(signed, io.LimitReader(lines{}, benchSize)); err != nil {
			b.Fatal(err)
		}
		if err := signed.Close(); err != nil {
			b.Fatal(err)
		}
		if err := sealed.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExchange is both sides in one process, the journal on the disk and the receipt included.
func BenchmarkExchange(b *testing.B) {
	p := newPair(b)
	journal, err := as2.OpenJournal(b.TempDir(), as2.JournalOptions{DropContent: true})
	if err != nil {
		b.Fatal(err)
	}
	p.handler.Journal = journal
	p.handler.Deliver = func(context.Context, *as2.Received) error { return nil }
	b.SetBytes(benchSize)
	for b.Loop() {
		m := message("")
		m.Body = io.LimitReader(lines{}, benchSize)
		if _, err := p.partner.Send(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
