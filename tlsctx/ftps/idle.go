package ftps

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
)

// idleConn bounds each Read and Write by Options.IdleTimeout, except where a deadline was set.
type idleConn struct {
	net.Conn
	s *Session

	mu          sync.Mutex
	read, write bool // somebody has set a deadline
}

// bounded returns the connection with the bound, if there is one.
func (s *Session) bounded(raw net.Conn) net.Conn {
	if s.o.IdleTimeout == 0 {
		return raw
	}
	return &idleConn{Conn: raw, s: s}
}

// Read implements net.Conn.
func (c *idleConn) Read(b []byte) (int, error) {
	return c.wait(&c.read, c.Conn.SetReadDeadline, c.Conn.Read, b)
}

// Write implements net.Conn.
func (c *idleConn) Write(b []byte) (int, error) {
	return c.wait(&c.write, c.Conn.SetWriteDeadline, c.Conn.Write, b)
}

func (c *idleConn) wait(set *bool, deadline func(time.Time) error, do func([]byte) (int, error), b []byte) (int, error) {
	c.mu.Lock()
	theirs := *set
	if !theirs {
		deadline(time.Now().Add(c.s.o.IdleTimeout))
	}
	c.mu.Unlock()
	n, err := do(b)
	if !theirs && errors.Is(err, os.ErrDeadlineExceeded) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !*set {
			err = &trustkeep.Error{Op: "ftps: " + c.s.address, Err: fmt.Errorf("nothing has moved for %v: %w", c.s.o.IdleTimeout, err), Hint: "if the server takes its time, set a longer Options.IdleTimeout"}
		}
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (c *idleConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *idleConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = !t.IsZero()
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *idleConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = !t.IsZero()
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite and SetLinger are those of a TCP connection.
func (c *idleConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *idleConn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
