package tlsctx

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep/truststore"
)

// Peer is whom a handshake was made with, for Builder.Authorize.
type Peer struct {
	// Certificates are what the peer sent, its own first.
	Certificates []*x509.Certificate
	// Verdict says why it is trusted; nil for a client without a certificate.
	Verdict *truststore.Verdict
	// ServerName is the name that the client asked the server for.
	ServerName string
	// Resumed tells that the handshake resumed a session.
	Resumed bool
}

// beyond reports whether the policy says more than crypto/tls can decide by a
// pool of authorities.
func (b Builder) beyond(trust *truststore.Snapshot) bool {
	return len(b.Allow) > 0 || len(b.Pins) > 0 || b.Revocation != nil || b.Authorize != nil || trust != nil && !trust.Plain()
}

// verify decides about a peer as the policy has it. It is called on every
// handshake, resumed ones included. Resumed ones are spared the work if kept, which may
// be nil, has a verdict for them.
func (b Builder) verify(trust *truststore.Snapshot, purpose truststore.Purpose, name string, s tls.ConnectionState, kept *keptVerdicts) error {
	now := b.now()
	var staple []byte
	if purpose == truststore.Server {
		staple = s.OCSPResponse
	}
	var key verdictKey
	if !trust.Plain() {
		kept = nil // scopes can change their mind with time
	}
	if kept != nil {
		key = keyOf(name, s.PeerCertificates)
		// Revocation is asked each time; what it objects to is explained below.
		if v := kept.find(key, now); v != nil && s.DidResume && b.unrevoked(v, staple, now) {
			return b.authorize(s, v)
		}
	}
	verdict, err := trust.Verify(s.PeerCertificates, truststore.VerifyOptions{
		Purpose: purpose, Name: name, Time: now, Allow: b.Allow, Pins: b.Pins, Revocation: b.Revocation, Staple: staple,
	})
	if err != nil {
		return err
	}
	if kept != nil {
		kept.keep(key, verdict)
	}
	return b.authorize(s, verdict)
}

func (b Builder) unrevoked(v *truststore.Verdict, staple []byte, now time.Time) bool {
	return b.Revocation == nil || b.Revocation.CheckRevocation(v.Chain, staple, now) == nil
}

// authorize asks the callback.
func (b Builder) authorize(s tls.ConnectionState, verdict *truststore.Verdict) error {
	if b.Authorize == nil {
		return nil
	}
	err := b.Authorize(Peer{Certificates: s.PeerCertificates, Verdict: verdict, ServerName: s.ServerName, Resumed: s.DidResume})
	if err != nil {
		return &AuthorizeError{Peer: s.PeerCertificates, Err: err}
	}
	return nil
}

// AuthorizeError is a refusal by Builder.Authorize.
type AuthorizeError struct {
	Peer []*x509.Certificate // what the peer sent; may be empty
	Err  error               // of the callback
}

// Error names the peer and the callback's reason.
func (e *AuthorizeError) Error() string {
	who := "a client without certificate"
	if len(e.Peer) > 0 {
		who = truststore.Summarize(e.Peer[0]).Subject
	}
	return fmt.Sprintf("tlsctx: %s is trusted and not authorized: %v", who, e.Err)
}

// Unwrap returns the callback's error.
func (e *AuthorizeError) Unwrap() error { return e.Err }
