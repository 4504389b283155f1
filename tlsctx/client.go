package tlsctx

import (
	"crypto/tls"
	"fmt"
)

// Client returns a configuration for connecting to servers. It holds the trust
// and the identity of this moment and does not follow later changes: call
// Client again for those.
//
// The server's certificate is verified by crypto/tls against the store that
// counts (see Builder.Trusted). The identity, where there is one, is sent with
// its whole chain to every server that asks, whatever authorities the server
// says it accepts: servers that trust a partner's certificate itself often list
// others, or none. Sessions are resumed from a cache that belongs to this
// configuration and its clones alone.
//
// Errors wrap trustkeep.ErrEmpty for trust that is empty or nil,
// trustkeep.ErrKeyMismatch for an identity whose key does not fit, and
// trustkeep.ErrUnsupported for versions out of range.
func (b Builder) Client() (*tls.Config, error) {
	cfg, err := b.client()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: client: %w", err)
	}
	return cfg, nil
}

func (b Builder) client() (*tls.Config, error) {
	cfg, err := b.base()
	if err != nil {
		return nil, err
	}
	trust, err := b.clientTrust()
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = trust.Pool()
	cfg.ServerName = b.ServerName
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if b.Identity != nil {
		cert, err := certificate(b.Identity)
		if err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return cfg, nil
}
