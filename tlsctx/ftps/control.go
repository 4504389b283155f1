package ftps

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Control makes the handshake on the control connection: at once for implicit FTPS, after the
// answer to AUTH TLS for explicit. The context and Options.Timeout bound it. A failed handshake is
// a *tlsctx.HandshakeError, and closes the connection.
func (s *Session) Control(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	opened, err := s.b().Watch()
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("ftps: %w", err)
	}
	below := &watchedConn{Conn: raw}
	if opened != nil { // else it stays what the caller knows
		raw = below
	}
	conn, err := s.handshake(ctx, raw, controlCache{s.tickets}, opened, below)
	if err != nil {
		return nil, s.explainPort(err)
	}
	return conn, nil
}

// handshake shakes hands by the trust of the moment, and has the connection ended once the server
// would no longer be accepted, by what was returned by Watch before.
func (s *Session) handshake(ctx context.Context, raw net.Conn, cache tls.ClientSessionCache, opened tlsctx.Opened, w watched) (*tls.Conn, error) {
	cfg, err := s.during(ctx)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("ftps: %w", err)
	}
	cfg.ClientSessionCache = cache
	conn := tls.Client(raw, cfg)
	err = conn.HandshakeContext(ctx)
	if err == nil {
		err = watch(ctx, opened, conn.ConnectionState(), w)
	}
	if err != nil {
		raw.Close()
		return nil, s.b().ExplainError(err)
	}
	s.accepted(conn.ConnectionState())
	return conn, nil
}

// accepted tells Builder.Accepted of a peer whose handshake is complete.
func (s *Session) accepted(state tls.ConnectionState) {
	if accepted := s.b().Accepted; accepted != nil {
		accepted(tlsctx.Peer{
			Purpose: truststore.Server, Certificates: state.PeerCertificates, ServerName: s.serverName, Resumed: state.DidResume, Proved: true,
		})
	}
}

// explainPort adds what a port suggests to the error of a control connection.
func (s *Session) explainPort(err error) error {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && s.o.Implicit {
		return &trustkeep.Error{Op: "ftps: " + s.address, Err: err, Hint: fmt.Sprintf("the server answers in clear (%q): it speaks explicit FTPS on this port, which usually is 21; do not set Options.Implicit", header.RecordHeader[:])}
	}
	return err
}

// phase is how far a control connection has come.
type phase int

const (
	silent    phase = iota // nothing was received
	greeted                // the server has said something
	verified               // the server's certificate has been accepted
	finishing              // the last flight of the handshake was written
	open                   // commands flow
)

// controlConn is the connection below an explicit control connection's TLS, which the FTP library
// begins and upgrades, or an implicit control connection. It ends the library's waiting for a
// server that says nothing, which has no bound of its own, and tells the session when it ends.
type controlConn struct {
	net.Conn
	s       *Session
	address net.Addr

	mu    sync.Mutex
	phase phase
	state tls.ConnectionState // of the accepted server
	watching
}

// newControlConn bounds the connection until the first command after the handshake.
func newControlConn(s *Session, raw net.Conn, began phase) *controlConn {
	raw.SetDeadline(time.Now().Add(s.o.Timeout))
	return &controlConn{Conn: raw, s: s, address: tcpAddr(raw.RemoteAddr()), phase: began}
}

// tcpAddr is what libraries assert an address to be, which that of a proxy or a pipe is not.
func tcpAddr(a net.Addr) net.Addr {
	if _, ok := a.(*net.TCPAddr); ok {
		return a
	}
	return &net.TCPAddr{IP: net.IPv4zero}
}

// RemoteAddr is a *net.TCPAddr, of 0.0.0.0 where the connection has none.
func (c *controlConn) RemoteAddr() net.Addr { return c.address }

// Read explains a server that never greets.
func (c *controlConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.phase == silent {
		c.phase = greeted
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && c.phase < open {
		if c.phase == silent {
			return n, &trustkeep.Error{Op: "ftps: " + c.s.address, Err: fmt.Errorf("no greeting in %v: %w", c.s.o.Timeout, err), Hint: "a server that waits for TLS speaks implicit FTPS on this port, which usually is 990: set Options.Implicit"}
		}
		return n, &trustkeep.Error{Op: "ftps: " + c.s.address, Err: fmt.Errorf("no answer in %v: %w", c.s.o.Timeout, err)}
	}
	return n, err
}

// Write lifts the bound with the first command after the handshake. Before it, no login passes.
func (c *controlConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	switch c.phase {
	case silent, greeted:
		if isLogin(b) {
			c.mu.Unlock()
			return 0, &trustkeep.Error{
				Op: "ftps: " + c.s.address, Err: fmt.Errorf("a login before TLS: %w", trustkeep.ErrInvalid),
				Hint: "have the library begin TLS by AUTH TLS, such as by ftp.DialWithExplicitTLS, or set Options.Implicit",
			}
		}
	case verified: // crypto/tls writes the rest of its handshake at once
		c.phase = finishing
	case finishing: // a command: the handshake is complete, so the server has proved its key
		if len(b) > 0 && b[0] == alertRecord {
			break // of a handshake that has failed
		}
		c.phase = open
		c.Conn.SetDeadline(time.Time{})
		defer c.s.accepted(c.state)
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// isLogin reports whether text in the clear has a command that says who logs in, or by what.
func isLogin(text []byte) bool {
	if len(text) > 0 && text[0] < ' ' {
		return false // a record of TLS
	}
	for line := range bytes.Lines(text) {
		command, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		for _, login := range []string{"USER", "PASS", "ACCT"} {
			if strings.EqualFold(string(command), login) {
				return true
			}
		}
	}
	return false
}

// alertRecord is the type of TLS records with alerts in clear (RFC 5246 section 6.2.1). Those of
// TLS 1.3 look like others once the handshake is complete.
const alertRecord = 21

// verified notes that the server's certificate has been accepted.
func (c *controlConn) verified(state tls.ConnectionState, opened tlsctx.Opened) error {
	c.mu.Lock()
	first := c.phase < verified
	if first {
		c.phase, c.state = verified, state
	}
	c.mu.Unlock()
	if !first {
		return nil
	}
	return watch(context.Background(), opened, state, c)
}

// end implements watched.
func (c *controlConn) end() { c.Close() }

// Close also ends the session.
func (c *controlConn) Close() error {
	c.unwatch()
	c.s.end()
	return c.Conn.Close()
}

// implicitConn is a control connection on which TLS was made at once.
type implicitConn struct {
	*tls.Conn
	below *controlConn

	greeted atomic.Bool
}

// Read bounds the waiting for the greeting.
func (c *implicitConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && !c.greeted.Swap(true) {
		c.below.SetDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.greeted.Load() {
		s := c.below.s
		return n, &trustkeep.Error{Op: "ftps: " + s.address, Err: fmt.Errorf("no greeting in %v: %w", s.o.Timeout, err), Hint: "the server shook hands and says nothing"}
	}
	return n, err
}
