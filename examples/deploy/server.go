package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// idle is how long a server waits for a client.
const idle = 10 * time.Second

// server is a partner's machine, with HTTPS and with FTP that turns to TLS on request
// (RFC 4217), both on free ports of the loopback interface.
type server struct {
	host        string // the name in its certificate
	https, ftps net.Listener
	web         *http.Server
	running     sync.WaitGroup
}

// serve starts a server with an identity, which it looks up at each handshake.
func serve(host string, b tlsctx.Builder) (*server, error) {
	config, err := b.Server()
	if err != nil {
		return nil, err
	}
	s := &server{host: host}
	if s.https, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if s.ftps, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.https.Close()
		return nil, err
	}
	s.web = &http.Server{
		TLSConfig:         config,
		ReadHeaderTimeout: idle,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that refuse are the point here
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, host) }),
	}
	s.running.Go(func() { s.web.ServeTLS(s.https, "", "") })
	s.running.Go(func() { s.acceptFTP(config) })
	return s, nil
}

// stop ends the server and waits until it has.
func (s *server) stop() error {
	err := errors.Join(s.web.Close(), s.ftps.Close())
	s.running.Wait()
	return err
}

func (s *server) acceptFTP(config *tls.Config) {
	for {
		conn, err := s.ftps.Accept()
		if err != nil {
			return // stopped
		}
		s.running.Go(func() {
			defer conn.Close()
			s.talkFTP(conn, config)
		})
	}
}

// talkFTP is as much of FTP as it takes to get to TLS and to see that it works. A client
// that does not go on is left alone.
func (s *server) talkFTP(conn net.Conn, config *tls.Config) {
	conn.SetDeadline(time.Now().Add(idle))
	fmt.Fprintf(conn, "220 %s\r\n", s.host)
	plain := bufio.NewReader(conn)
	if line, err := plain.ReadString('\n'); err != nil || strings.TrimSpace(line) != "AUTH TLS" || plain.Buffered() > 0 {
		return
	}
	fmt.Fprint(conn, "234 go ahead\r\n")
	secured := tls.Server(conn, config)
	if line, err := bufio.NewReader(secured).ReadString('\n'); err == nil && strings.TrimSpace(line) == "NOOP" {
		fmt.Fprint(secured, "200 fine\r\n")
	}
	secured.Close()
}
