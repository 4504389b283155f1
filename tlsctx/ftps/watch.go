package ftps

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// watched is a connection that ends when its server would no longer be accepted.
type watched interface {
	end()
	watchedBy(stop func())
}

// watch has a connection ended whose handshake is complete; opened is nil where nothing is followed.
func watch(ctx context.Context, opened tlsctx.Opened, open tls.ConnectionState, c watched) error {
	if opened == nil {
		return nil
	}
	stop, err := opened(ctx, open, c.end)
	if err == nil {
		c.watchedBy(stop)
	}
	return err
}

// watching is the part of a connection that knows how to stop it.
type watching struct {
	mu   sync.Mutex
	stop func()
	over bool
}

func (w *watching) watchedBy(stop func()) {
	w.mu.Lock()
	over := w.over
	w.stop = stop
	w.mu.Unlock()
	if over {
		stop()
	}
}

// unwatch is called when the connection ends.
func (w *watching) unwatch() {
	w.mu.Lock()
	stop := w.stop
	w.stop, w.over = nil, true
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// watchedConn is the connection below the TLS of a control connection.
type watchedConn struct {
	net.Conn
	watching
}

func (c *watchedConn) end() { c.Close() }

// Close also ends the watching.
func (c *watchedConn) Close() error {
	c.unwatch()
	return c.Conn.Close()
}
