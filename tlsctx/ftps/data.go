package ftps

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Data makes a data connection out of one without TLS. Dialled or accepted, it is the client's
// side of TLS (RFC 4217 section 7), so active mode works as well. It shakes hands when it is first
// used, since servers answer a handshake only after the command that wants the connection. The
// end of the context ends a handshake, and the hooks of the Builder get it; Options.Timeout bounds
// it too.
func (s *Session) Data(ctx context.Context, raw net.Conn) *DataConn {
	return &DataConn{s: s, ctx: ctx, raw: s.bounded(raw), cache: &dataCache{t: s.tickets}}
}

// DataConn is a data connection: a net.Conn over TLS. It shakes hands on the first Read, Write,
// ReadFrom, Handshake or Close. One goroutine may read and another write, as on every net.Conn.
type DataConn struct {
	s     *Session
	ctx   context.Context
	raw   net.Conn
	cache *dataCache

	shake sync.Once
	conn  atomic.Pointer[tls.Conn] // nil before the handshake
	err   error                    // of the handshake

	mu      sync.Mutex
	read    bool  // somebody wants what the server sends
	ended   bool  // the server has sent all
	wrote   bool  // something was written
	writing int   // calls of Write and ReadFrom that have not returned
	broken  error // why the content is not whole
	closed  bool
	watching

	turn     sync.Mutex // of Close
	finished bool
	closing  error
}

// Handshake shakes hands, if that has not been done. The error is a *tlsctx.HandshakeError where
// the handshake failed, and net.ErrClosed after Close.
func (d *DataConn) Handshake() error {
	if err := d.use(func() {}); err != nil {
		return err
	}
	_, err := d.handshake(d.s.o.Timeout)
	return err
}

// use notes a use; the error is net.ErrClosed after Close.
func (d *DataConn) use(note func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("ftps: data connection: %w", net.ErrClosed)
	}
	note()
	return nil
}

// useToWrite notes that a part of an upload is under way until done is called.
func (d *DataConn) useToWrite(wrote bool) (done func(), err error) {
	err = d.use(func() {
		d.wrote = d.wrote || wrote
		d.writing++
	})
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.writing--
	}, err
}

// handshake reports whether it was the first to shake hands.
func (d *DataConn) handshake(bound time.Duration) (first bool, err error) {
	d.shake.Do(func() {
		first = true
		ctx, cancel := context.WithTimeout(d.ctx, bound)
		defer cancel()
		below := &announced{Conn: d.raw}
		opened, err := d.s.b().Watch()
		if err != nil {
			d.raw.Close()
			err = fmt.Errorf("ftps: %w", err)
		}
		var conn *tls.Conn
		if err == nil {
			conn, err = d.s.handshake(ctx, below, d.cache, opened, d)
		}
		if err != nil {
			d.cache.fail(err)
			d.err = d.inDoubt(err)
			return
		}
		below.open.Store(!d.s.o.AllowUnannouncedEnd)
		d.cache.settle(conn.ConnectionState().DidResume)
		d.conn.Store(conn)
	})
	return first, d.err
}

// inDoubt names what many servers demand, where that may be why a connection failed: without a
// resumed session, they end it and say so on the control connection.
func (d *DataConn) inDoubt(err error) error {
	if err == nil || d.ConnectionState().DidResume {
		return err
	}
	const demand = "which the server may demand (require_ssl_reuse of vsftpd, proftpd by default); its reply on the control connection says so"
	hint := "the TLS session of the control connection was not resumed, " + demand
	if !d.cache.hasTried() {
		hint = "the control connection had no TLS session to resume, " + demand + "; read a reply on it first, or set Builder.MaxVersion to TLS 1.2"
	}
	return &trustkeep.Error{Op: "ftps: data connection", Err: err, Hint: hint}
}

// ConnectionState describes the TLS connection; it is zero before the handshake. DidResume says
// whether the session of the control connection was resumed.
func (d *DataConn) ConnectionState() tls.ConnectionState {
	if conn := d.conn.Load(); conn != nil {
		return conn.ConnectionState()
	}
	return tls.ConnectionState{}
}

// Read reads what the server sends. Its end is io.EOF only if the server has announced it by
// close_notify; else the error wraps io.ErrUnexpectedEOF, unless Options.AllowUnannouncedEnd is set.
func (d *DataConn) Read(b []byte) (int, error) {
	if err := d.use(func() { d.read = true }); err != nil {
		return 0, err
	}
	if err := d.Handshake(); err != nil {
		return 0, err
	}
	n, err := d.conn.Load().Read(b)
	switch {
	case errors.Is(err, io.EOF):
		d.mu.Lock()
		d.ended = true
		d.mu.Unlock()
	case errors.Is(err, errCut):
		err = &trustkeep.Error{Op: "ftps: data connection", Err: err, Hint: "what came may be a part; if the server always ends like this, and sizes or digests are compared, set Options.AllowUnannouncedEnd"}
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		err = d.inDoubt(err)
	}
	return n, err
}

// Write sends a part of an upload.
func (d *DataConn) Write(b []byte) (int, error) {
	done, err := d.useToWrite(true)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := d.Handshake(); err != nil {
		return 0, err
	}
	n, err := d.conn.Load().Write(b)
	if err != nil {
		err = d.inDoubt(err)
		d.fail(err)
	}
	return n, err
}

// ReadFrom sends all of a reader; io.Copy calls it. If the reader fails, Close aborts the upload,
// so that the server does not take the part for the whole. io.Copy does not call it for readers
// with a WriteTo of their own: where such a one fails, call Abort.
func (d *DataConn) ReadFrom(r io.Reader) (int64, error) {
	done, err := d.useToWrite(false)
	if err != nil {
		return 0, err
	}
	defer done()
	source := &observed{Reader: r}
	n, err := io.Copy(struct{ io.Writer }{d}, source)
	if source.err != nil {
		d.fail(source.err)
	}
	return n, err
}

// observed remembers the failure of a reader.
type observed struct {
	io.Reader
	err error
}

func (o *observed) Read(b []byte) (int, error) {
	n, err := o.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

// fail notes that what was written is not whole.
func (d *DataConn) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == nil {
		d.broken = err
	}
}

// end implements watched: no part is taken for the whole.
func (d *DataConn) end() {
	d.fail(fmt.Errorf("ftps: the server would no longer be accepted: %w", trustkeep.ErrOutdated))
	reset(d.raw)
}

// Abort ends the connection so that the server notices: it is reset, without the end that TLS
// marks a whole content by (close_notify). Use it where the source of an upload has failed. It
// waits for nothing, and ends a Close that waits in another goroutine.
func (d *DataConn) Abort() error {
	d.fail(errors.New("aborted"))
	if !d.turn.TryLock() {
		reset(d.raw)
		d.turn.Lock()
	}
	defer d.turn.Unlock()
	return d.finish()
}

// Close ends the connection. After an upload, an empty one included, it says that nothing more
// will come and waits until the server has taken all of it and hangs up, for at most
// Options.DrainTimeout; the error says if it did not. A socket that is closed while something in
// it is unread, such as the session ticket that a TLS 1.3 server sends, is reset instead (RFC 1122
// section 4.2.2.13), and what the server has not read by then is gone. After Abort, after a Write
// or the reader of ReadFrom has failed, and while another goroutine is in one of them, Close resets
// the connection. After a download it resets the connection if the server has not sent all and does
// not stop soon. Further calls return what the first did; all else is net.ErrClosed then.
func (d *DataConn) Close() error {
	d.turn.Lock()
	defer d.turn.Unlock()
	return d.finish()
}

// finish is Close, with its turn.
func (d *DataConn) finish() error {
	if !d.finished {
		d.finished = true
		d.closing = d.close()
		d.unwatch()
	}
	return d.closing
}

// unusedTimeout bounds the handshake of a connection that is closed unused. Some libraries never
// use that of an empty file; others close it when the server has refused the command, and then
// servers such as vsftpd answer nothing.
const unusedTimeout = time.Second

// close is called once.
func (d *DataConn) close() error {
	d.mu.Lock()
	d.closed = true
	partial := d.broken != nil || d.writing > 0
	d.mu.Unlock()
	if partial {
		return reset(d.raw)
	}
	bound := min(d.s.o.DrainTimeout, unusedTimeout)
	// Another goroutine that is at the handshake may wait longer.
	stop := time.AfterFunc(2*bound, func() {
		if d.conn.Load() == nil {
			d.raw.Close()
		}
	})
	first, err := d.handshake(bound)
	stop.Stop()
	d.mu.Lock()
	upload, ended := d.wrote || !d.read, d.ended
	d.mu.Unlock()
	switch {
	case err != nil && first:
		return err
	case err != nil: // it was returned by what tried first
		d.raw.Close()
		return nil
	case upload:
		return d.drain()
	}
	if ended {
		return d.conn.Load().Close()
	}
	// Of an aborted download, what follows is of no interest. Servers that heed close_notify hang
	// up, others go on sending. To one that is writing, a FIN before the RST makes EPIPE out of
	// ECONNRESET, at which proftpd ends the whole session.
	d.conn.Load().CloseWrite()
	d.raw.SetReadDeadline(time.Now().Add(abortTimeout))
	io.Copy(io.Discard, d.raw)
	return reset(d.raw)
}

// abortTimeout is how long a server may take to notice that a download is not wanted.
const abortTimeout = 200 * time.Millisecond

// drain ends an upload without loss.
func (d *DataConn) drain() error {
	defer d.raw.Close()
	conn := d.conn.Load()
	if err := conn.CloseWrite(); err != nil { // close_notify
		reset(d.raw)
		return d.inDoubt(fmt.Errorf("ftps: end of the upload: %w", err))
	}
	if half, ok := d.raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	conn.SetReadDeadline(time.Now().Add(d.s.o.DrainTimeout))
	_, err := io.CopyN(io.Discard, conn, maxDrained)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // some servers hang up without close_notify
		return nil
	case err == nil:
		return &trustkeep.Error{Op: "ftps: end of the upload", Err: fmt.Errorf("the server has sent %d bytes on an upload: %w", maxDrained, trustkeep.ErrCorrupt)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &trustkeep.Error{Op: "ftps: end of the upload", Err: fmt.Errorf("the server did not confirm it in %v: %w", d.s.o.DrainTimeout, err), Hint: "the file may be cut; the reply on the control connection decides"}
	}
	return d.inDoubt(fmt.Errorf("ftps: end of the upload: %w", err))
}

// maxDrained is how much may come on an upload.
const maxDrained = 1 << 20

// reset ends a TCP connection by RST, so that no server takes it for a regular end.
func reset(raw net.Conn) error {
	if tcp, ok := raw.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	return raw.Close()
}

// LocalAddr implements net.Conn.
func (d *DataConn) LocalAddr() net.Addr { return d.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (d *DataConn) RemoteAddr() net.Addr { return d.raw.RemoteAddr() }

// SetDeadline implements net.Conn. A deadline also bounds the handshake.
func (d *DataConn) SetDeadline(t time.Time) error { return d.raw.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (d *DataConn) SetReadDeadline(t time.Time) error { return d.raw.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (d *DataConn) SetWriteDeadline(t time.Time) error { return d.raw.SetWriteDeadline(t) }
