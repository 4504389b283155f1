package natskv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// Server is how to connect to NATS. The zero value is a server without TLS on this machine.
// It prints without users, passwords and tokens.
type Server struct {
	// URLs of one or more servers of a cluster, such as nats://nats.example:4222, also
	// several in one string with commas between them. If neither they nor PrivateURLs are
	// set, it is nats://127.0.0.1:4222. One with a user, password or token is
	// trustkeep.ErrInvalid: it belongs into PrivateURLs.
	URLs []string
	// PrivateURLs are more of them, with users, passwords or tokens in them; they print
	// neither with the Server nor in errors. If nil, there are none. Connect asks once.
	PrivateURLs trustkeep.PasswordSource
	// TLS makes the connections; see the function TLS. Nil is for servers without TLS:
	// nothing keeps the records secret or the server honest then. (One that insists
	// on TLS all the same is judged by the system's roots, as nats.go does.)
	TLS *tlsctx.Dialer
	// TLSFirst is for servers with handshake_first.
	TLSFirst bool
	// NATS are options that come after those of Connect: user names, credentials
	// (nats.UserCredentials), names, handlers.
	NATS []nats.Option
}

// Connect connects to a server and opens the storage. The context bounds both; the
// connection then lives until Close, and is made again whenever it is lost.
// URLs that cannot be parsed are trustkeep.ErrInvalid; the error of asking for PrivateURLs is
// that of the source.
//
// If it fails for reasons of TLS, the error is, or wraps, a *tlsctx.HandshakeError. See
// Open for the others.
func Connect(ctx context.Context, server Server, o Options) (*Storage, error) {
	if err := ctx.Err(); err != nil {
		return nil, &trustkeep.Error{Op: "natskv: connect", Path: server.String(), Err: err}
	}
	urls, err := server.urls()
	if err != nil {
		return nil, &trustkeep.Error{Op: "natskv: connect", Path: server.String(), Err: err}
	}
	s, err := connect(ctx, server, urls, o)
	if err != nil {
		return nil, &trustkeep.Error{Op: "natskv: connect", Path: publicAll(urls), Err: err}
	}
	return s, nil
}

func connect(ctx context.Context, server Server, urls []string, o Options) (*Storage, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	options := []nats.Option{
		nats.Name("trustkeep natskv"),
		// A server to which thousands come back at once takes its time.
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		// Credentials that are withdrawn may be given back, or replaced where they are.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		// What is said to nobody is not said later: it is asked again then.
		nats.ReconnectBufSize(-1),
		// A link that is dead without a word. Watchers notice by themselves.
		nats.PingInterval(o.Heartbeat), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { // which prints otherwise
			o.Logger.Warn("NATS reports an error", "error", err)
		}),
	}
	d := &dialer{tls: server.TLS, first: server.TLSFirst, ctx: ctx}
	if server.TLS != nil {
		for _, u := range urls {
			if strings.HasPrefix(u, "ws") {
				return nil, fmt.Errorf("TLS of this library under WebSocket: %w", trustkeep.ErrUnsupported)
			}
		}
		options = append(options, d.option)
	}
	again := new(patience)
	options = append(append(options, server.NATS...), again.option)
	conn, err := nats.Connect(strings.Join(urls, ","), options...)
	d.release()
	if err != nil {
		return nil, errors.Join(withoutURL(err), d.lastError())
	}
	again.conn.Store(conn)
	s, err := open(ctx, conn, func() error { return errors.Join(conn.LastError(), d.lastError()) }, o)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.ownConn = true
	return s, nil
}

// patience decides how long to wait before all servers are tried again: ReconnectWait, and
// twice as long each time, up to 8 times as long, and to 64 times where the servers refuse
// the login, which costs them a handshake each time.
type patience struct {
	conn         atomic.Pointer[nats.Conn]
	wait, jitter time.Duration
}

func (p *patience) option(o *nats.Options) error {
	p.wait, p.jitter = o.ReconnectWait, o.ReconnectJitter
	if o.Secure || o.TLSConfig != nil {
		p.jitter = o.ReconnectJitterTLS
	}
	if o.CustomReconnectDelayCB == nil {
		o.CustomReconnectDelayCB = p.delay
	}
	return nil
}

func (p *patience) delay(round int) time.Duration {
	doublings := 3
	if conn := p.conn.Load(); conn != nil && refusedLogin(conn.LastError()) {
		doublings = 6
	}
	d := p.wait << min(max(round-1, 0), doublings)
	if p.jitter > 0 {
		d += rand.N(p.jitter)
	}
	return d
}

func refusedLogin(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
