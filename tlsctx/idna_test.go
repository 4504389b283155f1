package tlsctx_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// A request goes by the destination that is dialled for it, however its URL spells the host.
func TestDestinationsAsDialled(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	const ascii = "xn--bcher-kva.example"
	e := (&echo{hangsUp: true}).start(t, mustServer(t, tlsctx.Builder{Identity: identity(a.Server(ascii)), Clock: a.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(a.Root), NextProtos: []string{"http/1.1"}}))
	var dialled string
	base := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = address
		return new(net.Dialer).DialContext(ctx, network, e.address)
	}}
	for _, spelled := range []string{ascii, "b\u00fccher.example", "B\u00dcCHER.example", "b\u00fccher.EXAMPLE."} {
		destinations := new(tlsctx.Destinations)
		must(t, destinations.Set("*", tlsctx.Builder{Trusted: store(b.Root), Clock: a.Now}))
		must(t, destinations.Set(ascii, tlsctx.Builder{Trusted: store(a.Root), Identity: identity(a.Client("me")), Clock: a.Now}))
		r, err := (&http.Client{Transport: destinations.Transport(base)}).Get("https://" + spelled + "/")
		if err == nil {
			r.Body.Close()
		}
		// The server speaks no HTTP; what counts is that both sides accept each other.
		if s := e.last.Swap(nil); s == nil || s.PeerCertificates[0].Subject.CommonName != "me" || !strings.HasPrefix(dialled, ascii) {
			t.Errorf("%s: dialled %s: %v", spelled, dialled, err)
		}
		if cfg, err := (tlsctx.Builder{Trusted: store(a.Root)}).For(spelled + ":443").Client(); err != nil || cfg.ServerName != ascii {
			t.Errorf("For(%s): %v", spelled, err)
		}
	}
}
