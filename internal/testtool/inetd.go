package testtool

import (
	"bytes"
	"net"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testnet"
)

// Inetd starts a server for each connection to a port of loopback, as inetd does: the
// process has the connection as standard input and output, so that no port is fixed. What
// it prints on standard error is logged if the test fails. It returns the port's address.
func Inetd(tb testing.TB, name string, args ...string) (address string) {
	tb.Helper()
	path := Find(tb, name)
	return testnet.Serve(tb, func(c net.Conn) {
		defer c.Close()
		socket, err := c.(*net.TCPConn).File()
		if err != nil {
			tb.Error(err)
			return
		}
		defer socket.Close()
		c.Close() // the process has its own
		cmd := command(tb, bound, path, append([]string{path}, args...)...)
		var said bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, &said
		cmd.Run() // ends with the connection, with an error where that was refused or broken off
		if tb.Failed() {
			tb.Logf("%s: %s", name, &said)
		}
	})
}
