package sshctx

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Dialer makes SSH connections, each with a configuration of its own, so that changes of trust
// and identities count from the next connection on. Set its fields before its first use. It is
// safe for concurrent use.
type Dialer struct {
	// Dial makes the connection below SSH. If nil, it is that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	b    Builder
	mu   sync.Mutex
	open map[*ssh.Client]openHost
	// ended counts the connections that were closed since the last call of Recheck, those too that a
	// changed definition has closed.
	ended int
	// rechecks counts the calls of Recheck, which pass over connections that are being made.
	rechecks uint64

	ending sync.RWMutex // held for reading while a connection is ended
}

// openHost is what an open connection was accepted with.
type openHost struct {
	at  host
	key ssh.PublicKey
}

// Dialer returns a Dialer. Errors are those of Client, without that of the address.
func (b Builder) Dialer() (*Dialer, error) {
	if _, err := b.client(host{"localhost", defaultPort}, nil); err != nil {
		return nil, err
	}
	return &Dialer{b: b.detached()}, nil
}

// DialContext connects to a host and logs in. Address is "host:port", or "host" for port 22. The
// context and Builder.Timeout bound it all until the login; what comes after is the caller's.
// Where only fingerprints are known and the host has keys of several types, it dials up to once
// for each. The error is a *HandshakeError, that of the context, or that of dialling.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (*ssh.Client, error) {
	at, err := parseHost(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.b.orAsItWas().timeout())
	defer cancel()
	var without []string
	var first error
	changed := false
	for {
		client, c, err := d.dial(ctx, network, at, without)
		if err == nil {
			return client, nil
		}
		if errors.Is(err, trustkeep.ErrOutdated) && !changed {
			changed = true // in the midst of it
			continue
		}
		failure := d.b.explain(ctx, at, c, err)
		var refused *HandshakeError
		if errors.As(failure, &refused) && refused.Code == CodeNothingInCommon && first != nil {
			return nil, first // it has no key of another type
		}
		if first == nil {
			first = failure
		}
		// A fingerprint does not say of which type its key is, and a host shows one key.
		mismatch := refused != nil && (refused.Code == CodePinMismatch || refused.Code == CodeOtherAlgorithm)
		if !mismatch || refused.HostKey == nil || len(without) >= mostTypes || slices.Contains(without, refused.HostKey.Type) {
			return nil, failure
		}
		if without = append(without, refused.HostKey.Type); !d.remains(at, without) {
			return nil, failure
		}
	}
}

// mostTypes is how many types of keys a host may show before a Dialer gives up.
const mostTypes = 6

// remains reports whether there are types of host keys that were not tried.
func (d *Dialer) remains(at host, without []string) bool {
	c, err := d.b.client(at, without)
	return err == nil && len(c.config.HostKeyAlgorithms) > 0
}

func (d *Dialer) dial(ctx context.Context, network string, at host, without []string) (*ssh.Client, *client, error) {
	d.mu.Lock()
	since := d.rechecks
	d.mu.Unlock()
	c, err := d.b.client(at, without)
	if err != nil {
		return nil, nil, &setupError{err}
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, network, at.dialled())
	if err != nil {
		return nil, nil, &dialError{err}
	}
	// Package ssh has no bound of its own for what follows.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn, channels, requests, err := ssh.NewClientConn(raw, at.dialled(), c.config)
	if err != nil {
		raw.Close()
		return nil, c, err
	}
	if !stop() { // it has been closed
		conn.Close()
		return nil, c, context.Cause(ctx)
	}
	client := ssh.NewClient(conn, channels, requests)
	if err := d.track(client, openHost{at, c.seen()}, since); err != nil {
		client.Close()
		return nil, c, err
	}
	if accepted := d.b.orAsItWas().Accepted; accepted != nil {
		accepted(Host{at.String(), c.seen()})
	}
	return client, c, nil
}

// dialError marks an error of the connection below SSH.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// dialled is the address as package net wants it.
func (h host) dialled() string { return net.JoinHostPort(h.name, strconv.Itoa(h.port)) }

// track remembers a connection until it ends.
func (d *Dialer) track(client *ssh.Client, peer openHost, since uint64) error {
	d.mu.Lock()
	if d.open == nil {
		d.open = make(map[*ssh.Client]openHost)
	}
	d.open[client] = peer
	missed := d.rechecks != since
	d.mu.Unlock()
	stop := func() {}
	if d.b.follows != nil {
		stop = d.b.follows.definition.Notify(func(context.Context) {
			if d.judge(peer) != nil {
				d.end(client)
			}
		})
	}
	go func() { // ends with the connection
		client.Wait()
		stop()
		d.forget(client, 0)
	}()
	if missed || d.b.follows != nil {
		return d.judge(peer)
	}
	return nil
}

// forget ends the tracking, and counts that unless it was done.
func (d *Dialer) forget(client *ssh.Client, count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, open := d.open[client]; open {
		d.ended += count
	}
	delete(d.open, client)
}

// end closes a connection whose host would no longer be accepted. Whoever finds it counted finds it
// closed, by waiting for ending.
func (d *Dialer) end(client *ssh.Client) {
	d.ending.RLock()
	defer d.ending.RUnlock()
	d.forget(client, 1)
	client.Close()
}

// judge asks whether a host would be accepted now.
func (d *Dialer) judge(peer openHost) error {
	b, err := d.b.current()
	if err != nil {
		return err
	}
	source, err := b.trust()
	if err != nil {
		return err
	}
	hosts, err := given.Snapshot[Hosts](source)
	if err != nil {
		return err
	}
	_, err = hosts.Verify(peer.at.String(), peer.key, VerifyOptions{Time: b.now(), MinRSABits: b.MinRSABits})
	return err
}

// StaleConn is an open connection whose host would no longer be accepted.
type StaleConn struct {
	RemoteAddr net.Addr
	// Address is the host, as known_hosts spells it.
	Address string
	// Err is the reason: a *HostKeyError, unless the trust cannot be loaded.
	Err error
}

// Stale returns the connections that Recheck would close, and closes none.
func (d *Dialer) Stale() []StaleConn {
	out, _ := d.stale(false)
	return out
}

// Recheck closes the open connections whose hosts would no longer be accepted, and returns how
// many. Call it when trust has shrunk, for instance from trustkeep.WatchOptions.OnChange.
// Connections that are being made are checked when they are. A Dialer that follows a definition
// closes connections by itself; they are counted with the next call.
func (d *Dialer) Recheck() int {
	_, clients := d.stale(true)
	for _, c := range clients {
		d.end(c)
	}
	d.ending.Lock()
	defer d.ending.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.ended
	d.ended = 0
	return n
}

func (d *Dialer) stale(recheck bool) (out []StaleConn, clients []*ssh.Client) {
	d.mu.Lock()
	if recheck {
		d.rechecks++
	}
	open := make(map[*ssh.Client]openHost, len(d.open))
	for c, peer := range d.open {
		open[c] = peer
	}
	d.mu.Unlock()
	for c, peer := range open {
		if err := d.judge(peer); err != nil {
			out = append(out, StaleConn{c.RemoteAddr(), peer.at.String(), err})
			clients = append(clients, c)
		}
	}
	slices.SortFunc(out, func(a, b StaleConn) int { return strings.Compare(a.Address, b.Address) })
	return out, clients
}

// expired reports whether a context or a deadline has ended the waiting.
func expired(ctx context.Context, err error) bool {
	var t interface{ Timeout() bool }
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
