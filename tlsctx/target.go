package tlsctx

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
)

// target is what a connection of a Dialer is made to, for the explanation of what comes later.
type target struct {
	name, port, remote string
	identity           func() (trustkeep.Identity, string) // see identityFor; hidden, see redact.Hidden
	explain            func(*tls.Conn, error) error        // of the Dialer; nil otherwise

	complete atomic.Bool  // the handshake, as far as this side knows
	asks     atomic.Bool  // the server has asked for a certificate
	heard    atomic.Int32 // octets that came after the handshake, and were counted
	once     sync.Once
	word     chan struct{} // closed when something came after the handshake, or nothing will
}

func (b *Builder) target(address string) (*target, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		host, err = asciiHost(host)
	}
	if err != nil {
		return nil, err
	}
	to := &target{name: b.ServerName, word: make(chan struct{})}
	if to.name == "" {
		to.name = nameOf(host)
	}
	host, to.port = plain(host, port)
	id, pattern := b.identityFor(host, to.port)
	to.identity = func() (trustkeep.Identity, string) { return id, pattern }
	return to, nil
}

// anAlert is the size of the record of an alert under TLS 1.3 (RFC 8446 section 5.2).
const anAlert = 5 + 2 + 1 + 16

// hears notes what reading has brought.
func (t *target) hears(n int, err error) {
	if t.complete.Load() && t.heard.Load() <= anAlert {
		t.heard.Add(int32(min(n, anAlert+1)))
		if n > 0 || err != nil {
			t.once.Do(func() { close(t.word) })
		}
	}
}

// awaitWord is called when writing has failed. A server that refuses the identity says so and hangs
// up; if the writer closes the connection now, the reader never learns why.
func (t *target) awaitWord() {
	if !t.complete.Load() || !t.asks.Load() {
		return
	}
	patience := time.NewTimer(lastWord)
	defer patience.Stop()
	select {
	case <-t.word:
	case <-patience.C: // nobody reads
	}
}

// lastWord is how long to wait for what has most likely arrived already.
const lastWord = 100 * time.Millisecond

// explains begins an explanation.
func (t *target) explains(b *Builder, err error) *HandshakeError {
	return &HandshakeError{Err: err, ServerName: t.name, Port: t.port, RemoteAddr: t.remote, Identity: b.identityReport(t.identity())}
}

// remoteOf prints the address of the other end; empty for connections that have none.
func remoteOf(conn net.Conn) string {
	if addr := conn.RemoteAddr(); addr != nil {
		return addr.String()
	}
	return ""
}

// Explain turns an error of reading from or writing to a connection that DialContext or Handshake
// has returned into a *HandshakeError, if the server has refused the handshake. With TLS 1.3 a
// server judges the client's certificate after the handshake is complete for the client, so that
// its refusal is the error of the first read. It is also one if the server asked for a
// certificate and has hung up without ever sending anything. All other errors, io.EOF
// among them, come back as they are; nil stays nil.
//
// The connection must not be used any more once it had an error, except to close it.
func (d *Dialer) Explain(conn net.Conn, err error) error {
	if err == nil {
		return nil
	}
	secure, _ := conn.(*tls.Conn)
	return d.explain(secure, err)
}

// explain is Explain; conn may be nil.
func (d *Dialer) explain(conn *tls.Conn, err error) error {
	if _, done := errors.AsType[*HandshakeError](err); done {
		return err
	}
	var to *target
	if conn != nil {
		if below, ok := conn.NetConn().(*trackedConn); ok {
			to = below.to
		}
	}
	_, refused := alertOf(err)
	told := err
	if !refused && to != nil && to.silent(conn) && isEnd(err) {
		nothing := to.heard.Load() == 0
		first := firstError(conn)
		_, alert := alertOf(first)
		if refused = alert || nothing; first != nil {
			told = errors.Join(first, err)
		}
	}
	switch {
	case !refused:
		return err
	case to == nil:
		return d.live().lastBuilder().ExplainError(err)
	}
	b := d.live().lastBuilder()
	if e, ok := b.explainError(to.explains(&b, told)).(*HandshakeError); ok {
		return e
	}
	return err
}

// silent reports whether the server has asked for a certificate and never said anything after it,
// an alert perhaps: one that accepts it sends a session, or what the client wants.
func (t *target) silent(conn *tls.Conn) bool {
	return t.complete.Load() && t.asks.Load() && t.heard.Load() <= anAlert && conn.ConnectionState().Version == tls.VersionTLS13
}

// isEnd reports whether an error says that the connection has ended.
func isEnd(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	text := err.Error()
	return wasReset(text) || strings.Contains(text, "http2: client conn could not be established") // in place of the reason
}

// firstError returns what reading from a connection that has ended says: the alert of the server,
// which whoever wrote did not see, or its end. crypto/tls keeps it; nil if it has none.
func firstError(conn *tls.Conn) error {
	conn.SetReadDeadline(time.Now().Add(lastWord))
	_, err := conn.Read(make([]byte, 1))
	if err == nil {
		return nil
	}
	if _, alert := alertOf(err); alert || isEnd(err) {
		return err
	}
	return nil
}
