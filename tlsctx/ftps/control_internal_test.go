package ftps

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// An alert that ends a handshake is no command: the server has not proved its key. (With RSA key
// exchange, a server without the key is noticed after the client's last flight.)
func TestAlertIsNoCommand(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	accepted := 0
	s, err := New(tlsctx.Builder{Trusted: truststore.New(pki.Root.Cert), Accepted: func(tlsctx.Peer) { accepted++ }}, "server.example:21")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go io.Copy(io.Discard, far)
	c := newControlConn(s, near, silent)
	c.verified(tls.ConnectionState{}, nil)
	c.Write([]byte{22, 3, 3, 0, 1, 0})     // the last flight
	c.Write([]byte{21, 3, 3, 0, 2, 2, 51}) // decrypt_error
	if accepted != 0 || c.phase == open {
		t.Errorf("accepted %d, phase %d", accepted, c.phase)
	}
	c.Write([]byte{23, 3, 3, 0, 1, 0})
	if accepted != 1 || c.phase != open {
		t.Errorf("accepted %d, phase %d", accepted, c.phase)
	}
}

// What is closed takes no ticket of the control connection.
func TestClosedConnectionTakesNoTicket(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s, err := New(tlsctx.Builder{Trusted: truststore.New(pki.Root.Cert)}, "server.example:21")
	if err != nil {
		t.Fatal(err)
	}
	s.tickets.addControl(new(tls.ClientSessionState))
	near, far := net.Pipe()
	defer far.Close()
	d := s.Data(t.Context(), near)
	d.Abort()
	if _, err := d.Read(make([]byte, 1)); err == nil || s.tickets.used != 0 {
		t.Errorf("%v, %d tickets used", err, s.tickets.used)
	}
}
