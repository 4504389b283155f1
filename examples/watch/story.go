package main

import (
	"context"
	"crypto/tls"
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
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// counts is what happened.
type counts struct {
	certificates, trusts                int
	connections, resumed, failed, wrong atomic.Int64
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

// site is what lies on disk: the server's pair and the client's trust.
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
		if s.authorities[i], err = keystore.New().Generate("ca", keystore.CertificateOptions{Subject: pkix.Name{CommonName: name}, Purposes: keystore.ForCA}); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.trust(0), s.certify(0)); err != nil {
		return nil, err
	}

	served, trusted := make(chan struct{}, 1), make(chan struct{}, 1)
	pair, err := keystore.WatchPair(s.path("tls.crt"), s.path("tls.key"), nil, keystore.WatchOptions{OnChange: func(keystore.Change) { served <- struct{}{} }})
	if err != nil {
		return nil, err
	}
	defer pair.Close()
	trust, err := truststore.Watch(s.path("trust.pem"), nil, truststore.WatchOptions{OnChange: func(truststore.Change) { trusted <- struct{}{} }})
	if err != nil {
		return nil, err
	}
	defer trust.Close()
	address, stop, err := serve(pair)
	if err != nil {
		return nil, err
	}
	defer stop()
	dialer, err := tlsctx.Builder{Trusted: trust, ServerName: "localhost"}.Dialer()
	if err != nil {
		return nil, err
	}

	c := new(counts)
	load, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for load.Err() == nil {
				c.connect(load, dialer, trust, address)
			}
		})
	}
	defer wg.Wait()
	defer end()
	wait := func(done <-chan struct{}) error {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Connections by the new state, before it changes again.
		for seen := c.connections.Load(); c.connections.Load() < seen+int64(2*clients); {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		return nil
	}
	for i := range swaps {
		from, to := i%2, (i+1)%2
		for _, step := range []func() error{
			func() error { c.trusts++; return errors.Join(s.trust(from, to), wait(trusted)) },
			func() error { c.certificates++; return errors.Join(s.certify(to), wait(served)) },
			func() error { c.trusts++; return errors.Join(s.trust(to), wait(trusted)) },
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
	if ctx.Err() != nil {
		return // the end of the story, not of a connection
	}
	if err != nil {
		c.fail(err)
		c.connections.Add(1)
		return
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	conn.Read(make([]byte, 1)) // the ticket for the next one comes with it
	if state.DidResume {
		c.resumed.Add(1)
	}
	after, err := trust.Snapshot()
	if err != nil {
		c.fail(err)
		return
	}
	o := truststore.VerifyOptions{Name: "localhost"}
	_, byOld := before.Verify(state.PeerCertificates, o)
	_, byNew := after.Verify(state.PeerCertificates, o)
	if byOld != nil && byNew != nil {
		c.wrong.Add(1)
	}
	c.connections.Add(1)
}

// serve accepts connections with the identity of the moment.
func serve(pair *keystore.Watched) (address string, stop func(), err error) {
	id, err := pair.Identity("")
	if err != nil {
		return "", nil, err
	}
	cfg, err := tlsctx.Builder{Identity: id}.Server()
	if err != nil {
		return "", nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		return "", nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				conn.Write([]byte("!"))
				io.Copy(io.Discard, conn)
			})
		}
	})
	return l.Addr().String(), func() { l.Close(); wg.Wait() }, nil
}

// certify gives the server a new key and a certificate of an authority.
func (s *site) certify(authority int) error {
	fmt.Fprintf(s.log, "the server's certificate is of authority %c\n", 'A'+authority)
	ks := keystore.New()
	if _, err := ks.Generate("tls", keystore.CertificateOptions{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, Issuer: s.authorities[authority]}); err != nil {
		return err
	}
	data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
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
	return errors.Join(s.replace("tls.crt", certs), s.replace("tls.key", key))
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
