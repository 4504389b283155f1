package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/extract"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// builder puts together what the arguments say. The result learns why a server is
// trusted.
func (c *command) builder(r *result) (tlsctx.Builder, error) {
	b := tlsctx.Builder{ServerName: c.serverName, Allow: c.allow, MinVersion: c.version, MaxVersion: c.version}
	b.Authorize = func(_ context.Context, p tlsctx.Peer) error {
		r.accept(p)
		return nil
	}
	var deployed []truststore.Source
	for _, f := range c.trust {
		s, err := truststore.Load(f.path, f.source())
		if err != nil {
			return b, err
		}
		deployed = append(deployed, s)
	}
	if len(deployed) > 0 {
		b.Global = truststore.Union(deployed...)
	}
	var own []truststore.Source
	for _, path := range c.trustedCerts {
		s, err := truststore.Load(path, nil)
		if err != nil {
			return b, err
		}
		own = append(own, s)
	}
	if len(own) > 0 {
		b.Trusted = truststore.Union(own...)
	}
	for _, p := range c.pins {
		pins, err := loadPins(p)
		if err != nil {
			return b, err
		}
		b.Pins = append(b.Pins, pins...)
	}
	if len(b.Pins) > 0 && b.Global == nil && b.Trusted == nil {
		b.Trusted, b.Pins = truststore.Pinned(b.Pins...), nil
	}
	if c.identity.path != "" {
		ks, err := keystore.Load(c.identity.path, c.identity.source())
		if err != nil {
			return b, err
		}
		id, err := ks.Identity(c.alias)
		if err != nil {
			return b, err
		}
		b.Identity = id
	}
	return b, nil
}

// source returns nil where no password was given, which is not the empty one.
func (f file) source() trustkeep.PasswordSource {
	if f.password == nil {
		return nil
	}
	return trustkeep.Password(*f.password)
}

// loadPins reads the certificates of a file, or a pin in words.
func loadPins(text string) ([]truststore.Pin, error) {
	if _, err := os.Stat(text); errors.Is(err, fs.ErrNotExist) {
		if p, perr := truststore.ParsePin(text); perr == nil {
			return []truststore.Pin{p}, nil
		}
	}
	s, err := truststore.Load(text, nil)
	if err != nil {
		return nil, err
	}
	var pins []truststore.Pin
	for _, cert := range s.Certificates() {
		pins = append(pins, truststore.PinCertificate(cert))
	}
	if len(pins) == 0 {
		return nil, fmt.Errorf("%s: %w", text, trustkeep.ErrEmpty)
	}
	return pins, nil
}

// connect makes the connections, until one is refused. Its own error is about the
// arguments.
func (c *command) connect(ctx context.Context) (*result, error) {
	r := newResult(c.addr)
	b, err := c.builder(r)
	if err != nil {
		return nil, err
	}
	dialer, err := b.Dialer()
	if err != nil {
		return nil, err
	}
	var last *wire
	dialer.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		last = &wire{Conn: conn}
		return last, nil
	}
	for range c.repeat {
		if err := c.once(ctx, dialer, &last, b, r); err != nil {
			r.refuse(err)
			break
		}
	}
	return r, nil
}

// dial opens a connection up to where TLS begins.
func (c *command) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil || c.startTLS == "" {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := extract.StartTLS(conn, c.startTLS); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// wire is a connection that knows how much the server has said.
type wire struct {
	net.Conn
	heard int64
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.heard += int64(n)
	return n, err
}

// once makes one connection.
func (c *command) once(ctx context.Context, dialer *tlsctx.Dialer, last **wire, b tlsctx.Builder, r *result) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	r.connected(state)
	if state.Version < tls.VersionTLS13 {
		return nil
	}
	return b.For(c.addr).ExplainError(c.objection(conn, *last))
}

// With TLS 1.3, a server's objection to the client comes after the handshake, and so do the
// tickets by which the next connection resumes. A server that has seen a certificate says
// something either way, unless it gives out no tickets.
const (
	patience         = 300 * time.Millisecond
	identityPatience = time.Second
	glance           = 20 * time.Millisecond
)

// objection waits for what the server has against the client; nil for nothing.
func (c *command) objection(conn net.Conn, w *wire) error {
	wait := patience
	if c.identity.path != "" {
		wait = identityPatience
	}
	before := w.heard
	for end := time.Now().Add(wait); time.Now().Before(end) && w.heard == before; {
		conn.SetReadDeadline(time.Now().Add(glance))
		_, err := conn.Read(make([]byte, 1))
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
		case err == nil, errors.Is(err, io.EOF) && w.heard > before:
			return nil
		default: // an alert; or not a word, as Java's HttpsServer has it
			return err
		}
	}
	return nil
}
