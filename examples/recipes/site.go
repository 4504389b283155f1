package main

import (
	"crypto/tls"
	"net"
	"sync"

	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// site is the servers' side: a certificate by A for loopback, for clients with one by A.
type site struct {
	builder tlsctx.Builder
	tls     *tls.Config

	mu      sync.Mutex
	stop    []func()
	open    map[net.Conn]bool
	closed  bool
	serving sync.WaitGroup
}

func newSite(a *pkitest.PKI) (*site, error) {
	s := &site{open: make(map[net.Conn]bool)}
	s.builder = tlsctx.Builder{Identity: a.NewServer("127.0.0.1"), Trusted: a.Trust(), ClientAuth: tlsctx.RequireClientAuth}
	var err error
	s.tls, err = s.builder.Server()
	return s, err
}

// onClose is called when the site ends.
func (s *site) onClose(f func()) { s.stop = append(s.stop, f) }

func (s *site) close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	for _, f := range s.stop {
		f()
	}
	s.serving.Wait()
}

// listen returns a listener of loopback.
func (s *site) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		s.onClose(func() { l.Close() })
	}
	return l, err
}

// handle serves each connection, which begins in clear.
func (s *site) handle(serve func(net.Conn)) (address string, err error) {
	l, err := s.listen()
	if err != nil {
		return "", err
	}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.closed {
				conn.Close()
			}
			s.open[conn] = true
			s.mu.Unlock()
			s.serving.Go(func() {
				serve(conn)
				conn.Close()
				s.mu.Lock()
				delete(s.open, conn)
				s.mu.Unlock()
			})
		}
	})
	return l.Addr().String(), nil
}
