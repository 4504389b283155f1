package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Client returns a configuration for connecting to servers. It keeps the trust and the
// identity of the time of the call and does not follow later changes.
//
// crypto/tls verifies the server's certificate against Trusted, or else Global. The identity
// is sent with its whole chain to every server that asks, whatever authorities the server
// lists: servers that trust a partner's certificate itself often list others, or none.
// Sessions are resumed from a cache that only this configuration and its clones use.
//
// Pins, Policy, Revocation, Authorize and scopes are decided on top of that, in VerifyConnection,
// on resumed handshakes too. Whoever replaces that function, or copies RootCAs alone, loses these
// and not the verification. A ServerName that is set on the result counts.
//
// Allow, pinned trust, and ServerURI and TrustDomain without a ServerName accept what crypto/tls
// refuses. With them, InsecureSkipVerify is set and truststore.Snapshot.Verify decides in
// VerifyConnection, which must stay; ConnectionState.VerifiedChains is empty, and a server that is
// dialled by its IP address needs Builder.ServerName or a Dialer.
//
// Errors wrap trustkeep.ErrInvalid for fields that are wrong or contradict each other: a nil
// pointer, versions out of range, Routes without a name, an address that For cannot take,
// Accepted without AcceptedBestEffort. They wrap trustkeep.ErrEmpty for trust or an identity without content, and
// trustkeep.ErrKeyMismatch for an identity whose key does not fit.
func (b Builder) Client() (*tls.Config, error) {
	err := b.bare()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: client: %w", err)
	}
	cfg, err := b.once()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: client: %w", err)
	}
	return cfg, nil
}

// once is client, with a look at the definition on each handshake if there is one.
func (b Builder) once() (*tls.Config, error) {
	if b.follows == nil {
		return b.detached().client()
	}
	l, err := b.live(true, nil)
	if err != nil {
		return nil, err
	}
	began, trust, err := l.trusting(Builder.clientTrust)
	if err != nil {
		return nil, err
	}
	cfg, err := began.b.client()
	if err != nil {
		return nil, err
	}
	decide := cfg.VerifyConnection
	unchanged := func(s tls.ConnectionState) error {
		if err := l.unchanged(began, trust, s); err != nil {
			return &setupError{fmt.Errorf("tlsctx: client: %w", err)}
		}
		return nil
	}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if err := unchanged(s); err != nil || decide == nil {
			return err
		}
		if err := decide(s); err != nil {
			return err
		}
		return unchanged(s) // hooks and lists may have taken their time
	}
	return cfg, nil
}

func (b Builder) client() (*tls.Config, error) {
	if err := b.wrong(); err != nil {
		return nil, err
	}
	trust, err := b.clientTrust()
	if err != nil {
		return nil, err
	}
	if b.Routes != nil {
		if b.ServerName == "" {
			return nil, errRoutesWithoutName
		}
		b.Identity, _ = b.identityFor(b.destination())
	}
	return b.clientConfig(trust)
}

var errRoutesWithoutName = &trustkeep.Error{
	Op: "routes", Err: trustkeep.ErrInvalid,
	Hint: "a tls.Config does not know whom it will be used for: call For or set ServerName, or use Dialer or Transport",
}

// clientDecider returns what decides about servers in VerifyConnection, nil if crypto/tls does
// all of it.
func (b Builder) clientDecider(trust *truststore.Snapshot) *decider {
	switch {
	case b.takenOverServers(trust):
		return b.decider(trust, truststore.Server)
	case b.narrowed(trust):
		return b.narrower(trust, truststore.Server)
	}
	return nil
}

// clientConfig makes the configuration for one trust; Routes are not looked at.
func (b Builder) clientConfig(trust *truststore.Snapshot) (*tls.Config, error) {
	cfg, err := b.base()
	if err != nil {
		return nil, err
	}
	cfg.ServerName = b.ServerName
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	d := b.clientDecider(trust)
	// Set in any case: whoever copies nil trusts the system's roots.
	cfg.RootCAs, cfg.InsecureSkipVerify = trust.Pool(), b.takenOverServers(trust)
	if d != nil {
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return d.decide(context.Background(), b.asked(s), s) }
	}
	if b.Identity != nil {
		certs, err := certificates(b.Identity)
		if err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) { return forServer(certs, asks), nil }
	}
	return cfg, nil
}
