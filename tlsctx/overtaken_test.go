package tlsctx_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// A connection that was opened while a name was public serves no request after the name has gone
// behind mutual TLS: by a pattern of its own, by another Builder for its pattern, by the end of
// the public pattern.
func TestOpenConnectionsDoNotPassByNewClientAuth(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	open := tlsctx.Builder{Identity: identity(pki.Server("a.example")), Clock: pki.Now}
	closed := open
	closed.ClientAuth, closed.Trusted = tlsctx.RequireClientAuth, store(pki.Root)
	for name, c := range map[string]struct {
		before  map[string]tlsctx.Builder
		then    func(*tlsctx.Destinations) error
		present bool // a certificate, which the public name did not ask for
	}{
		"a pattern of its own":   {map[string]tlsctx.Builder{"*": open}, func(d *tlsctx.Destinations) error { return d.Set("a.example", closed) }, false},
		"another Builder":        {map[string]tlsctx.Builder{"a.example": open}, func(d *tlsctx.Destinations) error { return d.Set("a.example", closed) }, true},
		"the end of the pattern": {map[string]tlsctx.Builder{"a.example": open, "*": closed}, func(d *tlsctx.Destinations) error { return d.Remove("a.example") }, false},
	} {
		destinations := new(tlsctx.Destinations)
		for pattern, b := range c.before {
			must(t, destinations.Set(pattern, b))
		}
		site := httptest.NewUnstartedServer(destinations.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		site.Config.ErrorLog = quiet()
		site.Listener = tls.NewListener(site.Listener, destinations.Server())
		site.Start()
		defer site.Close()
		b := tlsctx.Builder{Trusted: store(pki.Root), ServerName: "a.example", Clock: pki.Now}
		if c.present {
			b.Identity = identity(pki.Client("me"))
		}
		dial := func() (ask func() int) {
			conn, err := tls.Dial("tcp", site.Listener.Addr().String(), mustClient(t, b))
			must(t, err)
			t.Cleanup(func() { conn.Close() })
			answers := bufio.NewReader(conn)
			return func() int {
				t.Helper()
				r, err := http.NewRequest(http.MethodGet, "https://a.example/", nil)
				must(t, err)
				must(t, r.Write(conn))
				response, err := http.ReadResponse(answers, r)
				must(t, err)
				_, err = io.Copy(io.Discard, response.Body)
				must(t, err)
				response.Body.Close()
				return response.StatusCode
			}
		}
		ask := dial()
		if got := ask(); got != 200 {
			t.Errorf("%s: before: %d", name, got)
		}
		must(t, c.then(destinations))
		if got := ask(); got != 421 {
			t.Errorf("%s: after: %d", name, got)
		}
		b.Identity = identity(pki.Client("me"))
		if got := dial()(); got != 200 {
			t.Errorf("%s: another connection, with a certificate: %d", name, got)
		}
	}
}

// hooked asks the function.
type hooked func() (*tls.Certificate, error)

func (h hooked) TLSCertificate() (*tls.Certificate, error) { return h() }

// A hook that panics whenever it is asked, for an explanation too, ends no program.
func TestHooksMayPanicInExplanations(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	cert := pki.Server(host).TLSCertificate()
	broken := false
	l := listening(t, tlsctx.Builder{Clock: pki.Now, Identity: hooked(func() (*tls.Certificate, error) {
		if broken {
			panic("the key store is gone")
		}
		return &cert, nil
	})})
	failed := make(chan error, 1)
	l.OnRefused = func(_ net.Addr, err error) { failed <- err }
	broken = true
	go l.Accept()
	if _, err := tls.Dial("tcp", l.Addr().String(), mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})); err == nil {
		t.Error("accepted")
	}
	if err := <-failed; err == nil {
		t.Error("no error")
	}
}

// Listen has nothing to listen to.
func TestListenNeedsAListener(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	if _, err := (tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}).Listen(nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}

// Whoever switches the verification of crypto/tls off on a narrowed configuration accepts nobody.
func TestNarrowedWithoutVerificationAcceptsNobody(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	address := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pki.Server(host).TLSCertificate()}}).Addr().String()
	cfg := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Pins: []truststore.Pin{truststore.PinKey(pki.Root.Cert)}})
	cfg.InsecureSkipVerify = true
	if conn, err := tls.Dial("tcp", address, cfg); err == nil {
		conn.Close()
		t.Error("accepted")
	}
}
