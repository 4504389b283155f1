package ftps

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
)

// tickets are the TLS sessions that one FTPS session may resume. Servers that demand reuse compare
// with the session of the control connection (RFC 4217 section 10.3 permits it), so data
// connections resume that, and nothing they are given takes its place. Under TLS 1.3 a ticket is
// best used once (RFC 8446 appendix C.4), and some servers forget it then.
type tickets struct {
	mu      sync.Mutex
	control []*tls.ClientSessionState // of the control connection, the oldest first; never shrinks below one
	used    int                       // of control, from the front
	data    []*tls.ClientSessionState // of data connections that had resumed, the oldest first
	spent   bool                      // the server has refused a ticket of control that was used before
}

// maxTickets bounds what is kept of a server that sends many.
const maxTickets = 16

// next returns the session for a data connection, nil for none: first the tickets of the control
// connection that were not used, then its last once more, and where the server refuses that, what
// resumed data connections were given.
func (t *tickets) next() (s *tls.ClientSessionState, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := len(t.control); {
	case t.used < n:
		t.used++
		return t.control[t.used-1], false
	case t.spent && len(t.data) > 0:
		s, t.data = t.data[0], t.data[1:]
		return s, false
	case n > 0:
		return t.control[n-1], true
	}
	return nil, false
}

// any reports whether there is a session to resume.
func (t *tickets) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.control)+len(t.data) > 0
}

// refuse notes that the server did not resume a ticket that was used before.
func (t *tickets) refuse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spent = true
}

// addControl keeps what the control connection was given.
func (t *tickets) addControl(s *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.control) == maxTickets {
		t.control, t.used = t.control[1:], max(0, t.used-1)
	}
	t.control = append(t.control, s)
}

// addData keeps what a resumed data connection was given.
func (t *tickets) addData(all ...*tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, all...)
	t.data = t.data[max(0, len(t.data)-maxTickets):]
}

// remove forgets a session that cannot be resumed.
func (t *tickets) remove(s *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, each := range t.control {
		if each == s {
			t.control = append(t.control[:i:i], t.control[i+1:]...)
			if i < t.used {
				t.used--
			}
			return
		}
	}
}

// controlCache is the cache of the control connection: it begins a session and resumes none.
type controlCache struct{ t *tickets }

func (c controlCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (c controlCache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.t.addControl(s)
	}
}

// sharedCache is the cache of a configuration for all connections of a session. The first is the
// control connection. Once there is a second, nobody can tell whose ticket comes, and none is taken
// for the control connection's.
type sharedCache struct {
	t *tickets

	mu    sync.Mutex
	gets  int
	tried *tls.ClientSessionState
}

func (c *sharedCache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried = nil
	if c.gets++; c.gets > 1 {
		c.tried, _ = c.t.next()
	}
	return c.tried, c.tried != nil
}

func (c *sharedCache) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s == nil && c.tried != nil:
		c.t.remove(c.tried)
	case s != nil && c.gets > 1:
		c.t.addData(s)
	case s != nil:
		c.t.addControl(s)
	}
}

// dataCache is the cache of one data connection.
type dataCache struct {
	t *tickets

	mu      sync.Mutex
	tried   *tls.ClientSessionState
	again   bool // tried was used before
	doubted bool // tried may be no good
	settled bool // the handshake is over
	resumed bool
	given   []*tls.ClientSessionState // before that
}

func (c *dataCache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried, c.again = c.t.next()
	return c.tried, c.tried != nil
}

// Put takes a session that the server gives. Nil means that what was tried cannot be resumed, or
// that the handshake has failed for whatever reason. Only what a resumed connection was given is
// of the session of the control connection.
func (c *dataCache) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s == nil:
		c.doubted = true
	case !c.settled:
		if len(c.given) < maxTickets {
			c.given = append(c.given, s)
		}
	case c.resumed:
		c.t.addData(s)
	}
}

// settle notes the outcome of the handshake.
func (c *dataCache) settle(resumed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled, c.resumed = true, resumed
	switch {
	case resumed:
		c.t.addData(c.given...)
	case c.doubted:
		c.t.remove(c.tried)
	case c.again:
		c.t.refuse()
	}
	c.given = nil
}

// fail notes that the handshake has failed. A server that hangs up, because it has refused the
// command for instance, says nothing about the session.
func (c *dataCache) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var op *net.OpError
	hungUp := errors.As(err, &op) && op.Op != "remote error" || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if c.doubted && !hungUp {
		c.t.remove(c.tried)
	}
}

// hasTried reports whether there was a session to resume.
func (c *dataCache) hasTried() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried != nil
}
