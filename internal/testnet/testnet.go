// Package testnet has the accept loop of tests.
package testnet

import (
	"net"
	"sync"
	"testing"
	"time"
)

// patience is how long a connection may take, so that no test hangs.
const patience = 20 * time.Second

// Serve answers the connections to a port of loopback until the test ends, and
// returns the port's address. See ServeOn.
func Serve(tb testing.TB, handle func(net.Conn)) (address string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ServeOn(tb, l, handle)
	return l.Addr().String()
}

// ServeOn calls handle for each connection that l accepts, in a goroutine of its
// own. The connection has a deadline of 20 s, is closed when handle returns, and
// when the test ends, which waits for handle.
func ServeOn(tb testing.TB, l net.Listener, handle func(net.Conn)) {
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(patience))
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			all.Go(func() {
				defer func() {
					conn.Close()
					mu.Lock()
					defer mu.Unlock()
					delete(open, conn)
				}()
				handle(conn)
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.SetDeadline(time.Now()) // closing a TLS connection might wait for its reader
		}
		mu.Unlock()
		all.Wait()
	})
}
