package as2_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// A server that goes wrong below HTTP, at any point, is an error within the timeout, with the
// Message-ID to send it again by; and no goroutine stays.
func TestBrokenServers(t *testing.T) {
	p := newPair(t)
	pki := testpki.New(t, testpki.Options{Now: time.Now()})
	cert := pki.Server("127.0.0.1").TLSCertificate()
	roots := x509.NewCertPool()
	roots.AddCert(pki.Root.Cert)
	garbage := bytes.Repeat([]byte{0xff, 'x', 0}, 1000)
	silence := func(c net.Conn) { io.Copy(io.Discard, c) }
	secure := func(do func(net.Conn)) func(net.Conn) {
		return func(raw net.Conn) {
			c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
			if c.Handshake() == nil {
				do(c)
			}
		}
	}
	// request reads the message and answers with what follows.
	request := func(answer string, then func(net.Conn)) func(net.Conn) {
		return secure(func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(c, answer)
			then(c)
		})
	}
	hangUp := func(net.Conn) {}
	var ended chan struct{} // of what does not notice that the client has gone
	for name, c := range map[string]struct {
		serve func(net.Conn)
		late  bool
	}{
		"never shakes hands":      {silence, true},
		"closes":                  {hangUp, false},
		"garbage":                 {func(c net.Conn) { c.Write(garbage) }, false},
		"closes after the hands":  {secure(hangUp), false},
		"never reads":             {secure(func(net.Conn) { <-ended }), true},
		"never answers":           {request("", silence), true},
		"closes for an answer":    {request("", hangUp), false},
		"garbage for an answer":   {request(string(garbage), hangUp), false},
		"stalls in the header":    {request("HTTP/1.1 200 OK\r\nContent-", silence), true},
		"stalls in the receipt":   {request("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: multipart/signed\r\n\r\nhalf", silence), true},
		"closes in the receipt":   {request("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: multipart/signed\r\n\r\nhalf", hangUp), false},
		"cuts the receipt":        {request("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=x\r\n\r\n--x\r\n", hangUp), false},
		"garbage in the receipt":  {request("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/signed\r\n\r\nffff\r\n"+string(garbage), hangUp), false},
		"an endless receipt":      {request("HTTP/1.1 200 OK\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=x\r\n\r\n", func(c net.Conn) { io.Copy(c, lines{}) }), false},
		"an endless header":       {request("HTTP/1.1 200 OK\r\nX: ", func(c net.Conn) { io.Copy(c, lines{}) }), false},
		"switches protocols":      {request("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", hangUp), false},
		"says go on, and nothing": {request("HTTP/1.1 100 Continue\r\n\r\n", silence), true},
	} {
		t.Run(name, func(t *testing.T) {
			ended = make(chan struct{})
			stop := sync.OnceFunc(func() { close(ended) })
			defer stop()
			address := testnet.Serve(t, c.serve)
			before := runtime.NumGoroutine()
			o := p.partner
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
			o.URL, o.Transport, o.Timeout = "https://"+address+"/", transport, 20*time.Second
			if c.late {
				o.Timeout = 200 * time.Millisecond
			}
			for _, size := range []int{10, 3 << 20} {
				r, err := o.Send(t.Context(), message(strings.Repeat("x", size)))
				if err == nil || c.late != (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)) || len(err.Error()) > 3000 {
					t.Errorf("%v", err)
				}
				if r == nil || r.MessageID == "" {
					t.Errorf("no Message-ID: %+v", r)
				}
				noGoroutineLeft(t)
			}
			stop()
			transport.CloseIdleConnections()
			testnet.Goroutines(t, before)
		})
	}
}
