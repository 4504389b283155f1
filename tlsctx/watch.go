package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"

	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Opened is told of a connection to a server when its handshake is complete; see Builder.Watch. If anything
// has changed since Watch, it asks whether the server would still be accepted; if not, it returns the reason.
// Else it calls end, once, as soon as a change has that effect, until stop is called, which may be
// from within end. The context bounds the first question alone. An Opened may be called for several connections.
type Opened func(ctx context.Context, open tls.ConnectionState, end func()) (stop func(), err error)

// Watch is for clients that use a bare configuration of Client or LiveClient and can end their connections: call
// it before the handshake and what it returns after it. Dialer, Transport and Listener do so by themselves. The result is nil for a
// Builder that follows no definition; see Follow. Errors are those of Definition.Settings and of the trust.
func (b Builder) Watch() (Opened, error) {
	if b.follows == nil {
		return nil, nil
	}
	l, err := b.live(true, nil)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: watch: %w", err)
	}
	began, trust, err := l.trusting(Builder.clientTrust)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: watch: %w", err)
	}
	return func(ctx context.Context, open tls.ConnectionState, end func()) (func(), error) {
		peer := &openPeer{
			chain: open.PeerCertificates, live: redact.Hidden(l), by: decidedBy(began, trust),
			ask: func() (*state, *truststore.Snapshot, error) { return l.trusting(Builder.clientTrust) },
			still: func(ctx context.Context, before, s *state, trust *truststore.Snapshot) error {
				name := s.b.ServerName
				if name == "" {
					name = s.b.asked(open)
				}
				o := s.b.VerifyOptions(truststore.Server, name)
				o.Staple, o.Context = open.OCSPResponse, ctx
				return stillAccepted(before, s, trust, open, o)
			},
		}
		var once sync.Once
		stop := l.notify(func(ctx context.Context) {
			if peer.accepted(ctx, false) != nil {
				once.Do(end)
			}
		})
		if err := peer.accepted(ctx, false); err != nil {
			once.Do(func() {}) // the caller knows
			stop()
			return nil, err
		}
		return stop, nil
	}, nil
}
