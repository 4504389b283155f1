package ftps

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// errCut is the end of a connection that TLS has not announced. crypto/tls takes it for a regular
// one, since web servers do so; of a file it may be the half, which whoever sits in between has cut
// off (RFC 8446 section 6.1).
var errCut = fmt.Errorf("the server ended the connection without close_notify: %w", io.ErrUnexpectedEOF)

// announced is the connection below TLS. Once the handshake is done, its end is errCut, which
// crypto/tls does not get to see where close_notify came before.
type announced struct {
	net.Conn
	open atomic.Bool
}

// Read implements net.Conn.
func (c *announced) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF && c.open.Load() {
		err = errCut
	}
	return n, err
}
