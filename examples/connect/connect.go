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
	b.Authorize = func(p tlsctx.Peer) error {
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
	if c.startTLS != "" {
		dialer.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.dialStartTLS(ctx, network, address)
		}
	}
	for range c.repeat {
		if err := c.once(ctx, dialer, b, r); err != nil {
			r.refuse(err)
			break
		}
	}
	return r, nil
}

func (c *command) dialStartTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := extract.StartTLS(conn, c.startTLS); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// patience is for how long a server is given to object to the client, or to send
// the tickets by which the next connection resumes: with TLS 1.3 both come after the
// handshake.
const patience = 300 * time.Millisecond

// once makes one connection.
func (c *command) once(ctx context.Context, dialer *tlsctx.Dialer, b tlsctx.Builder, r *result) error {
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
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.As(err, &timeout) && timeout.Timeout():
		return nil
	}
	if b.ServerName == "" {
		b.ServerName, _, _ = net.SplitHostPort(c.addr)
	}
	return b.ExplainError(err)
}
