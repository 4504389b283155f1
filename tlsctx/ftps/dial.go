package ftps

import (
	"context"
	"fmt"
	"net"

	"github.com/trustkeep/trustkeep"
)

// DialFunc returns the function for FTP libraries that dial by one, such as DialWithDialFunc of
// github.com/jlaffaye/ftp, together with Config:
//
//	ftp.Dial(address, ftp.DialWithDialFunc(session.DialFunc(ctx)), ftp.DialWithExplicitTLS(session.Config()))
//
// or, with Options.Implicit, ftp.DialWithTLS in the place of ftp.DialWithExplicitTLS. The library
// sends PBSZ and PROT P because it was given a configuration.
//
// The function's first call makes the control connection: without TLS, which the library begins by
// AUTH TLS, or with TLS where it is implicit. All others make data connections: DataConn. Once the
// control connection has been closed, a call is an error and not the beginning of another session.
// The context bounds all dialling; until the first command, Options.Timeout bounds the waiting for
// an answer.
func (s *Session) DialFunc(ctx context.Context) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		first, err := s.begin()
		if err != nil {
			return nil, err
		}
		if first {
			return s.dialControl(ctx, network)
		}
		if host, port, err := net.SplitHostPort(address); err == nil && host == net.IPv4zero.String() {
			own, _, _ := net.SplitHostPort(s.address) // see tcpAddr
			address = net.JoinHostPort(own, port)
		}
		raw, err := s.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return s.Data(ctx, raw), nil
	}
}

// begin reports whether a call is the first.
func (s *Session) begin() (first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return false, &trustkeep.Error{Op: "ftps: " + s.address, Err: fmt.Errorf("the control connection has ended: %w", net.ErrClosed), Hint: "make a new Session for each FTP session"}
	case s.begun:
		return false, nil
	}
	s.begun = true
	return true, nil
}

// end notes that the control connection is gone.
func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// dialControl makes the control connection at the session's own address.
func (s *Session) dialControl(ctx context.Context, network string) (net.Conn, error) {
	raw, err := s.dial(ctx, network, s.address)
	if err != nil {
		s.end()
		return nil, err
	}
	raw = s.bounded(raw)
	if !s.o.Implicit {
		below := newControlConn(s, raw, silent)
		s.mu.Lock()
		s.control = below
		s.mu.Unlock()
		return below, nil
	}
	below := newControlConn(s, raw, open)
	conn, err := s.Control(ctx, below)
	if err != nil {
		below.Close()
		return nil, err
	}
	return &implicitConn{Conn: conn, below: below}, nil
}

// dial makes a connection below TLS.
func (s *Session) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	dial := s.o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("ftps: dial %s: %w", trustkeep.Printable(address), err)
	}
	return raw, nil
}

// Explain turns an error of an FTP library into a *tlsctx.HandshakeError, if TLS failed: a server
// that is not trusted when the library shakes hands by Config, and one that refuses the identity,
// which with TLS 1.3 is the error of the first answer after the handshake. All other errors come
// back as they are; nil stays nil.
func (s *Session) Explain(err error) error { return s.b().ExplainError(err) }
