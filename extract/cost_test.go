package extract_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/extract"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// Whatever a server sends, looking at it costs little more than refusing it does crypto/tls.
func TestFetchingFromHostileServersIsCheap(t *testing.T) {
	if testcpu.Raced {
		t.Skip("the race detector makes other things slow than what is measured")
	}
	for _, a := range testpki.Costly(t, "server.example") {
		cfg := &tls.Config{Certificates: []tls.Certificate{a.ID.TLSCertificate()}}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				raw, err := listener.Accept()
				if err != nil {
					return
				}
				raw.SetDeadline(time.Now().Add(time.Minute))
				tls.Server(raw, cfg).Handshake()
				raw.Close()
			}
		}()
		address := listener.Addr().String()
		plain := func() {
			raw, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if tls.Client(raw, &tls.Config{InsecureSkipVerify: true}).Handshake() != nil {
				t.Fatal("refused")
			}
		}
		ours := func() {
			chain, err := extract.Fetch(t.Context(), address, extract.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(chain.Certificates) != len(cfg.Certificates[0].Certificate) {
				t.Fatalf("%d certificates", len(chain.Certificates))
			}
		}
		testcpu.LittleMore(t, a.Name, plain, ours)

		// What is shown of it is bounded, and so is a chain that cannot be completed.
		unpublished := func(context.Context, string) ([]byte, error) { return nil, errors.New("not published") }
		chain, err := extract.Fetch(t.Context(), address, extract.Options{FetchIssuer: unpublished})
		if err != nil {
			t.Fatal(err)
		}
		text := chain.String()
		data, err := json.Marshal(chain)
		if most := 2000 * (1 + len(chain.Certificates)); err != nil || len(text) > most || len(data) > 2*most {
			t.Errorf("%s: %d and %d bytes of text, %v", a.Name, len(text), len(data), err)
		}
		if chain.Incomplete != nil && len(chain.Incomplete.Error()) > 2048 {
			t.Errorf("%s: %d bytes", a.Name, len(chain.Incomplete.Error()))
		}
		listener.Close()
	}
}
