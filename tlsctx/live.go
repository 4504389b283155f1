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
	cfg, err := b.liveClient()
	if err != nil {
		return nil, fmt.Errorf("tlsctx: live client: %w", err)
	}
	return cfg, nil
}

func (b Builder) liveClient() (*tls.Config, error) {
	l, err := b.live(true, nil)
	if err != nil {
		return nil, err
	}
	began, err := l.now()
	if err != nil {
		return nil, err
	}
	now, err := began.b.client() // what can be wrong, is wrong now
	if err != nil {
		return nil, err
	}
	cfg, err := began.b.base()
	if err != nil {
		return nil, err
	}
	cfg.ServerName = began.b.ServerName
	cfg.RootCAs, cfg.InsecureSkipVerify = now.RootCAs, true // they do not decide; see clientConfig
	var mu sync.Mutex
	var last *decider // of the state and trust of the last connection, with its verdicts
	var lastState *state
	cfg.VerifyConnection = func(open tls.ConnectionState) error {
		err := l.decided(Builder.trustNow, func(s *state, trust *truststore.Snapshot) error { // one that has run empty explains itself
			if s != began {
				if err := l.fits(began, s); err != nil {
					return &setupError{err}
				}
			}
			mu.Lock()
			if last == nil || last.trust != trust || lastState != s {
				last, lastState = s.b.decider(trust, truststore.Server), s
			}
			d := last
			mu.Unlock()
			return d.decide(context.Background(), s.b.asked(open), open)
		})
		if setup, ok := err.(*setupError); ok {
			return &setupError{fmt.Errorf("tlsctx: live client: %w", setup.Err)}
		}
		return err
	}
	if b.follows == nil && b.Identity == nil && b.Routes == nil {
		return cfg, nil
	}
	cfg.GetClientCertificate = func(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		s, err := l.now()
		if err == nil && s != began {
			err = l.fits(began, s)
		}
		if err != nil {
			return nil, &setupError{fmt.Errorf("tlsctx: live client: %w", err)}
		}
		id, _ := s.b.identityFor(s.b.destination())
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
