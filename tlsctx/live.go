package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"

	"github.com/trustkeep/trustkeep/truststore"
)

// LiveClient returns a configuration for programs that keep one tls.Config for ever. Unlike
// that of Client, it follows its stores: every handshake uses the trust and the identity of
// its moment. Prefer Dialer if the program can dial by a function: it also resumes sessions.
//
// crypto/tls cannot exchange authorities, so InsecureSkipVerify is set and VerifyConnection
// decides, by truststore.Snapshot.Verify. Replacing that function on the result removes all
// verification; RootCAs are those of now and do not decide. VerifiedChains is empty. A server that
// is dialled by its IP address needs For or ServerName. No session is resumed: it would continue
// with the identity and the server's certificate that it began with, and the first connection
// after a change of either would fail.
//
// Errors are those of Client.
func (b Builder) LiveClient() (*tls.Config, error) {
	err := b.bare()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: live client: %w", err)
	}
	b, err = b.detached().remembering()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: live client: %w", err)
	}
	cfg, err := b.liveClient()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: live client: %w", err)
	}
	return cfg, nil
}

func (b Builder) liveClient() (*tls.Config, error) {
	now, err := b.client() // what can be wrong, is wrong now
	if err != nil {
		return nil, err
	}
	cfg, err := b.base()
	if err != nil {
		return nil, err
	}
	cfg.ServerName = b.ServerName
	cfg.RootCAs, cfg.InsecureSkipVerify = now.RootCAs, true // they do not decide; see clientConfig
	var mu sync.Mutex
	var last *decider // of the trust of the last connection, with its verdicts
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		trust, err := b.trustNow() // one that has run empty explains itself
		if err != nil {
			return &setupError{fmt.Errorf("tlsctx: live client: %w", err)}
		}
		mu.Lock()
		if last == nil || last.trust != trust {
			last = b.decider(trust, truststore.Server)
		}
		d := last
		mu.Unlock()
		return d.decide(context.Background(), b.asked(s), s)
	}
	if b.Routes != nil && b.ServerName == "" {
		return nil, errRoutesWithoutName
	}
	if b.Identity == nil && b.Routes == nil {
		return cfg, nil
	}
	cfg.GetClientCertificate = func(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		id, _ := b.identityFor(b.destination())
		if id == nil {
			return new(tls.Certificate), nil // none
		}
		certs, err := certificates(id)
		if err != nil {
			return nil, &setupError{fmt.Errorf("tlsctx: live client: %w", err)}
		}
		return forServer(certs, asks), nil
	}
	return cfg, nil
}
