package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// discard is an HTTP server that reads a message and answers nothing.
type discard struct{}

func (discard) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
}

// business is two partners with RSA keys.
func business(b *testing.B) (us, them *keystore.Identity) {
	b.Helper()
	var ids []*keystore.Identity
	for _, name := range []string{"us", "them"} {
		id, err := issue.New(issue.Options{DNSNames: []string{name + ".example"}, Key: issue.RSA3072})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids[0], ids[1]
}

func sender(us, them *keystore.Identity) func(size int64) func() error {
	p := as2.Partner{From: "us", To: "them", URL: "http://them.example/", Transport: discard{}, Identity: us, Receipt: as2.NoReceipt,
		Recipient: func() (*x509.Certificate, error) { return them.Leaf(), nil }}
	return func(size int64) func() error {
		return func() error {
			_, err := p.Send(context.Background(), as2.Message{Content: as2.Content{Body: io.LimitReader(endless{}, size), ContentType: "application/edi-x12"}})
			return err
		}
	}
}

// BenchmarkAS2 signs and seals 64 MiB as an AS2 message, up to where it would be sent, and by package cms
// alone.
func BenchmarkAS2(b *testing.B) {
	us, them := business(b)
	compare(b, &peer{name: "ours", up: sender(us, them)(size)}, &peer{name: "cms", up: func() error {
		sealed, err := cms.SealOptions{}.Writer(io.Discard, them.Leaf())
		if err != nil {
			return err
		}
		signed, err := cms.SignOptions{}.Writer(sealed, us)
		if err != nil {
			return err
		}
		n, err := io.Copy(signed, content())
		return whole(n, errors.Join(err, signed.Close(), sealed.Close()))
	}})
}

// BenchmarkAS2Memory reports by how much the heap grows at most while a message is made, of 64 and of 512 MiB.
func BenchmarkAS2Memory(b *testing.B) {
	send := sender(business(b))
	for b.Loop() {
		for _, size := range []int64{64 << 20, 512 << 20} {
			var err error
			peak := testtool.PeakHeap(func() { err = send(size)() })
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(peak)/(1<<20), fmt.Sprintf("MiB-at-%d", size>>20))
		}
	}
}
