package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// counts is what happened.
type counts struct {
	certificates, trusts                int
	connections, resumed, failed, wrong atomic.Int64
	rounds                              []atomic.Int64 // connections of each client
	mu                                  sync.Mutex
	err                                 error
}

func (c *counts) fail(err error) {
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *counts) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return errors.New("a connection was accepted that should have been refused")
	}
	return c.err
}

// judge counts a peer that was accepted although the trust refuses it, both that of
// before the handshake and that of after it.
func (c *counts) judge(trust truststore.Source, before *truststore.Snapshot, peer []*x509.Certificate, o truststore.VerifyOptions) {
	after, err := trust.Snapshot()
	if err != nil {
		c.fail(err)
		return
	}
	_, byOld := before.Verify(peer, o)
	_, byNew := after.Verify(peer, o)
	if byOld != nil && byNew != nil {
		c.wrong.Add(1)
	}
}

// site is what lies on disk: the pairs of the server and of its clients, and the trust
// that both sides follow.
type site struct {
	dir         string
	authorities [2]*keystore.Identity
	log         io.Writer
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// story runs a server and clients while the files change.
func story(ctx context.Context, swaps, clients int, log io.Writer) (_ *counts, err error) {
	dir, err := os.MkdirTemp("", "trustkeep-watch-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &site{dir: dir, log: log}
	for i := range s.authorities {
		name := fmt.Sprintf("Authority %c", 'A'+i)
		if s.authorities[i], err = issue.New(issue.Options{Subject: pkix.Name{CommonName: name}, Purposes: issue.ForCA}); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.trust(0), s.certify("server", 0), s.certify("client", 0)); err != nil {
		return nil, err
	}

	trusted := make(chan struct{}, 1)
	trust, err := truststore.Watch(s.path("trust.pem"), nil, trustkeep.WatchOptions{OnChange: func(trustkeep.Change) { trusted <- struct{}{} }})
	if err != nil {
		return nil, err
	}
	defer trust.Close()
	server, served, closeServer, err := s.watch("server")
	if err != nil {
		return nil, err
	}
	defer closeServer()
	client, presented, closeClient, err := s.watch("client")
	if err != nil {
		return nil, err
	}
	defer closeClient()

	c := &counts{rounds: make([]atomic.Int64, clients)}
	address, stop, err := serve(tlsctx.Builder{Identity: server, ClientAuth: tlsctx.RequireClientAuth, Trusted: trust}, c)
	if err != nil {
		return nil, err
	}
	defer stop()
	dialer, err := tlsctx.Builder{Identity: client, Trusted: trust, ServerName: "localhost"}.Dialer()
	if err != nil {
		return nil, err
	}

	load, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for load.Err() == nil {
				c.connect(load, dialer, trust, address)
				c.rounds[i].Add(1)
			}
		})
	}
	defer wg.Wait()
	defer end()
	for i := range swaps {
		from, to := i%2, (i+1)%2
		for _, step := range []func() error{
			func() error { c.trusts++; return errors.Join(s.trust(from, to), c.settle(ctx, trusted)) },
			func() error { c.certificates++; return errors.Join(s.certify("server", to), c.settle(ctx, served)) },
			func() error { c.certificates++; return errors.Join(s.certify("client", to), c.settle(ctx, presented)) },
			func() error { c.trusts++; return errors.Join(s.trust(to), c.settle(ctx, trusted)) },
		} {
			if err := step(); err != nil {
				return nil, err
			}
		}
	}
	end()
	wg.Wait()
	return c, nil
}

// watch follows a pair on disk.
func (s *site) watch(name string) (id *keystore.LiveIdentity, changed <-chan struct{}, stop func() error, err error) {
	c := make(chan struct{}, 1)
	pair, err := keystore.WatchPair(s.path(name+".crt"), s.path(name+".key"), nil, trustkeep.WatchOptions{OnChange: func(trustkeep.Change) { c <- struct{}{} }})
	if err != nil {
		return nil, nil, nil, err
	}
	if id, err = pair.Identity(""); err != nil {
		return nil, nil, nil, errors.Join(err, pair.Close())
	}
	return id, c, pair.Close, nil
}

// settle waits until a change has been taken, and then until each client is through with
// the connection that it may have begun before and has made another.
func (c *counts) settle(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	}
	for i := range c.rounds {
		for seen := c.rounds[i].Load(); c.rounds[i].Load() < seen+2; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// connect makes one connection and judges it.
func (c *counts) connect(ctx context.Context, dialer *tlsctx.Dialer, trust *truststore.Watched, address string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	before, err := trust.Snapshot()
	if err != nil {
		c.fail(err)
		return
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		defer conn.Close()
		// The server's verdict on the client comes with it, and the ticket for the
		// next connection.
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return // the end of the story, not of a connection
	case err != nil:
		c.fail(err)
	default:
		state := conn.(*tls.Conn).ConnectionState()
		if state.DidResume {
			c.resumed.Add(1)
		}
		c.judge(trust, before, state.PeerCertificates, truststore.VerifyOptions{Name: "localhost"})
	}
	c.connections.Add(1)
}

// serve accepts connections, with the current identity and trust, and judges
// its clients.
func serve(b tlsctx.Builder, c *counts) (address string, stop func(), err error) {
	cfg, err := b.Server()
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(30 * time.Second))
				before, err := b.Trusted.Snapshot()
				if err != nil {
					c.fail(err)
					return
				}
				conn := tls.Server(raw, cfg)
				if conn.Handshake() != nil {
					return // which the client counts
				}
				c.judge(b.Trusted, before, conn.ConnectionState().PeerCertificates, truststore.VerifyOptions{Purpose: truststore.Client})
				conn.Write([]byte("!"))
				io.Copy(io.Discard, conn)
			})
		}
	})
	return l.Addr().String(), func() { l.Close(); wg.Wait() }, nil
}

// certify gives the server or the client a new key and a certificate of an authority.
func (s *site) certify(name string, authority int) error {
	fmt.Fprintf(s.log, "the certificate of the %s is of authority %c\n", name, 'A'+authority)
	id, err := issue.New(issue.Options{DNSNames: []string{"localhost"}, Issuer: s.authorities[authority]})
	if err != nil {
		return err
	}
	ks := keystore.New()
	if err := ks.SetIdentity("tls", id); err != nil {
		return err
	}
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	if err != nil {
		return err
	}
	var certs, key []byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certs = append(certs, pem.EncodeToMemory(block)...)
		} else {
			key = pem.EncodeToMemory(block)
		}
	}
	return errors.Join(s.replace(name+".crt", certs), s.replace(name+".key", key))
}

// trust makes the authorities those that clients trust.
func (s *site) trust(authorities ...int) error {
	fmt.Fprintf(s.log, "authorities trusted: %d\n", len(authorities))
	var data []byte
	for _, a := range authorities {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.authorities[a].Leaf().Raw})...)
	}
	return s.replace("trust.pem", data)
}

// replace puts a whole file into the place of another.
func (s *site) replace(name string, data []byte) error {
	next := s.path("." + name)
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path(name))
}
