package ftps

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestNoLoginInTheClear: a library that was told to dial by TLS, and so does not say AUTH TLS, would
// send the user's password over the connection as it is.
func TestNoLoginInTheClear(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s, err := New(tlsctx.Builder{Trusted: truststore.New(pki.Root.Cert)}, "server.example:21")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go io.Copy(io.Discard, far)
	c := newControlConn(s, near, silent)
	for _, command := range []string{"AUTH TLS\r\n", "FEAT\r\n", "\x16\x03\x01\x00\x05USER ", "USERS\r\n"} {
		if _, err := c.Write([]byte(command)); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
	for _, command := range []string{"USER me\r\n", "user me\r\n", "Pass secret\r\n", "ACCT 1\r\n", "USER\r\n", "USER", "NOOP\r\nPASS secret\r\n"} {
		_, err := c.Write([]byte(command))
		if !errors.Is(err, trustkeep.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
