package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/trustkeep/trustkeep"
)

// anonymous is how a server greets a client that showed no certificate.
const anonymous = "anonymous"

// server is an HTTPS server on a free port of the loopback interface.
type server struct {
	host string // the name in its certificate
	addr string
	http *http.Server
	done chan error
}

// serve starts a server that greets its client by the name in the client's
// certificate.
func serve(host string, cfg *tls.Config) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{host: host, addr: listener.Addr().String(), done: make(chan error, 1)}
	s.http = &http.Server{
		TLSConfig:         cfg,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // refused handshakes are the point here
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client := anonymous
			if certs := r.TLS.PeerCertificates; len(certs) > 0 {
				client = trustkeep.Printable(certs[0].Subject.CommonName)
			}
			fmt.Fprintf(w, "%s greets %s", host, client)
		}),
	}
	go func() { s.done <- s.http.ServeTLS(listener, "", "") }()
	return s, nil
}

// stop ends the server and waits until it has.
func (s *server) stop() error {
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
