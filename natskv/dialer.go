package natskv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
)

const (
	// maxInfo bounds the greeting of a server. It names the servers of its cluster.
	maxInfo = 64 << 10
	// dialTimeout bounds a connection with its greeting and handshake.
	dialTimeout = 10 * time.Second
)

// TLS is an option of nats.Connect that makes its connections by a dialer of package
// tlsctx. Each one, made again after months, goes by the trust and the identity of its
// moment; with Dialer.Track, Dialer.Recheck ends those whose server is no longer trusted,
// and NATS then connects anew. handshakeFirst is for servers that are configured so.
//
// Servers must be trusted under the name or address by which they are dialled. Those of a
// cluster announce each other, often by addresses: use tlsctx.Builder.ServerName then, or
// nats.IgnoreDiscoveredServers.
//
// A server without TLS is refused; nothing but its greeting is read, and nothing is sent
// to it. nats.Conn.TLSConnectionState does not know these connections, and WebSocket does
// not work over them.
func TLS(d *tlsctx.Dialer, handshakeFirst bool) nats.Option {
	return (&dialer{tls: d, first: handshakeFirst, ctx: context.Background()}).option
}

// dialer is a nats.CustomDialer that hands over connections which are encrypted already.
type dialer struct {
	tls   *tlsctx.Dialer
	first bool

	mu     sync.Mutex
	ctx    context.Context // of Connect, until it returns
	failed error           // of the last try
}

func (d *dialer) option(o *nats.Options) error {
	o.CustomDialer = d
	o.SkipHostLookup = true // certificates are for names
	o.Secure = true
	return nil
}

// SkipTLSHandshake keeps nats.go from doing what Dial has done.
func (d *dialer) SkipTLSHandshake() bool { return true }

// release ends the reign of Connect's context.
func (d *dialer) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = context.Background()
}

// lastError says why there is no connection.
func (d *dialer) lastError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// Dial connects, reads the greeting, which NATS sends in the clear, and turns to TLS.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	parent := d.ctx
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(parent, dialTimeout)
	defer cancel()
	conn, err := d.dial(ctx, network, address)
	d.mu.Lock()
	d.failed = err
	d.mu.Unlock()
	return conn, err
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.first {
		return d.tls.DialContext(ctx, network, address)
	}
	open := d.tls.Dial
	if open == nil {
		open = new(net.Dialer).DialContext
	}
	raw, err := open(ctx, network, address)
	if err != nil {
		return nil, err
	}
	info, err := greeting(ctx, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn, err := d.tls.Handshake(ctx, raw, address)
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: conn, greeting: bytes.NewReader(info)}, nil
}

// greeting reads the INFO line of a server that offers TLS. Whatever follows it in the
// clear is of somebody who hopes that it will be taken for the server's.
func greeting(ctx context.Context, conn net.Conn) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	var line []byte
	buffer := make([]byte, 4<<10)
	for !bytes.HasSuffix(line, []byte("\n")) {
		n, err := conn.Read(buffer)
		line = append(line, buffer[:n]...)
		if i := bytes.IndexByte(line, '\n'); i >= 0 && i < len(line)-1 {
			return nil, fmt.Errorf("natskv: the server says more before TLS than its greeting: %w", trustkeep.ErrCorrupt)
		}
		if len(line) > maxInfo {
			return nil, fmt.Errorf("natskv: greeting of more than %d bytes: %w", maxInfo, trustkeep.ErrLimit)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			} else if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("natskv: greeting of the server: %w", err)
		}
	}
	body, ok := bytes.CutPrefix(line, []byte("INFO "))
	var info struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	if !ok || json.Unmarshal(body, &info) != nil {
		return nil, fmt.Errorf("natskv: the server does not greet as NATS does: %w", trustkeep.ErrCorrupt)
	}
	if !info.Required && !info.Available {
		return nil, fmt.Errorf("natskv: %w", nats.ErrSecureConnWanted)
	}
	return line, nil
}

// greeted gives back what was read before the handshake.
type greeted struct {
	net.Conn
	greeting *bytes.Reader
	heard    atomic.Bool // something of the server since
}

func (g *greeted) Read(p []byte) (int, error) {
	if g.greeting.Len() > 0 {
		return g.greeting.Read(p)
	}
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.heard.Store(true)
	}
	return n, err
}

// Write says why a server hangs up at once. In TLS 1.3 it objects to the client's
// certificate when the client takes the handshake for done and writes.
func (g *greeted) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	if err != nil && !g.heard.Load() && g.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		if _, why := g.Conn.Read(make([]byte, 1)); why != nil {
			err = errors.Join(err, why)
		}
	}
	return n, err
}
