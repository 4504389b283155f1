package tlsctx

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/truststore"
)

// Peer is the other side of a handshake, for Builder.Authorize and Builder.Accepted.
type Peer struct {
	// Purpose is truststore.Server for a server, truststore.Client for a client.
	Purpose truststore.Purpose
	// Certificates are those that the peer sent, its own first.
	Certificates []*x509.Certificate
	// Verdict says why it is trusted; nil for a client without a certificate, and for
	// Builder.Accepted.
	Verdict *truststore.Verdict
	// ServerName is the name or address that the certificate of a server was verified
	// for, or the name that a client asked for.
	ServerName string
	// Resumed is set if the handshake resumed a session.
	Resumed bool
	// Proved is set if the handshake is complete, so that the peer has proved to have the key
	// of its certificate. It is never set for Authorize, which decides in the midst of the
	// handshake, and always for Accepted.
	Proved bool
}

// takenOver reports whether somebody may be accepted whom crypto/tls, with the pool of the
// trust, refuses. Only then is its verification switched off and replaced.
func (b Builder) takenOver(trust *truststore.Snapshot) bool {
	return len(b.Allow) > 0 || trust != nil && !trust.PoolSuffices()
}

// takenOverServers is takenOver for servers: crypto/tls knows no URIs in place of a name.
func (b Builder) takenOverServers(trust *truststore.Snapshot) bool {
	return b.takenOver(trust) || b.byURI() && b.ownName() == ""
}

// narrowed reports whether somebody may be refused whom crypto/tls accepts. That is decided in
// VerifyConnection, on top of its verification: whoever replaces the function loses no more.
func (b Builder) narrowed(trust *truststore.Snapshot) bool {
	return len(b.Pins) > 0 || !b.Policy.IsZero() || b.byURI() || b.ClientURI != "" || b.Revocation != nil || b.Authorize != nil || trust != nil && !trust.Plain()
}

// asked returns the name that a client verifies the server under, where all that is known is
// the state of the connection: the name that was sent, which may have been set on the
// configuration after it was built. Addresses are not sent. It is empty if nobody knows.
func (b Builder) asked(s tls.ConnectionState) string {
	if _, err := netip.ParseAddr(strings.Trim(b.ServerName, "[]")); s.ServerName != "" || err != nil {
		return s.ServerName
	}
	return b.ServerName
}

// detached is the Builder with slices of its own, so that nobody can change what was
// built from it.
func (b Builder) detached() Builder {
	b.Allow, b.Pins, b.NextProtos = slices.Clone(b.Allow), slices.Clone(b.Pins), slices.Clone(b.NextProtos)
	b.CipherSuites, b.LegacyCipherSuites, b.CurvePreferences = slices.Clone(b.CipherSuites), slices.Clone(b.LegacyCipherSuites), slices.Clone(b.CurvePreferences)
	b.RevocationExempt, b.Policy = slices.Clone(b.RevocationExempt), b.Policy.Clone()
	return b
}

// decider decides about peers where crypto/tls cannot. It holds what is the same for
// all of them, so that its verdicts, as far as they are kept, belong to one policy, one
// snapshot of trust and one purpose.
type decider struct {
	b       Builder
	trust   *truststore.Snapshot
	purpose truststore.Purpose
	beneath bool // crypto/tls has verified the peer with the pool of the trust
	kept    keptVerdicts
	judged  atomic.Pointer[judgement] // the last one, beneath
}

// decider replaces the verification of crypto/tls.
func (b Builder) decider(trust *truststore.Snapshot, purpose truststore.Purpose) *decider {
	return &decider{b: b, trust: trust, purpose: purpose}
}

// narrower comes on top of the verification of crypto/tls.
func (b Builder) narrower(trust *truststore.Snapshot, purpose truststore.Purpose) *decider {
	return &decider{b: b, trust: trust, purpose: purpose, beneath: true}
}

// decide is called on every handshake, resumed ones included. Revocation and Authorize are
// asked each time. The context ends what Revocation waits for; crypto/tls hands none to
// VerifyConnection, so where only a tls.Config is known it is the background, and the checker
// has its own bound.
func (d *decider) decide(ctx context.Context, name string, s tls.ConnectionState) error {
	if !d.beneath {
		return d.verify(ctx, name, s)
	}
	verdict, err := d.judge(ctx, name, s)
	if err != nil || d.b.Authorize == nil {
		return err
	}
	return d.b.authorize(ctx, d.purpose, name, s, verdict)
}

// judge decides about what crypto/tls has verified. The verdict on the last session counts again
// when it is resumed, except for what Revocation says.
func (d *decider) judge(ctx context.Context, name string, s tls.ConnectionState) (*truststore.Verdict, error) {
	o := d.question(ctx, name, s)
	keep := d.trust.Plain() // scopes can change their mind with time
	if j := d.judged.Load(); keep && s.DidResume && j != nil && j.about(name, s, o.Time) {
		if d.b.Revocation == nil {
			return j.verdict, nil
		}
		if v, err := d.trust.CheckRevocation(j.verdict, s.PeerCertificates, o); err == nil {
			return v, nil
		} // another chain may pass
	}
	verdict, err := d.trust.Judge(s.PeerCertificates, s.VerifiedChains, o)
	if err == nil && keep {
		d.judged.Store(&judgement{name, s.PeerCertificates, s.VerifiedChains, keepable(verdict)})
	}
	return verdict, err
}

func (d *decider) question(ctx context.Context, name string, s tls.ConnectionState) truststore.VerifyOptions {
	o := d.b.VerifyOptions(d.purpose, name)
	o.Context = ctx
	if d.purpose == truststore.Server {
		o.Staple = s.OCSPResponse
	}
	return o
}

// verify decides where crypto/tls has verified nothing. Resumed handshakes are spared the work
// of building the path if a verdict is kept for the very same name and certificates.
func (d *decider) verify(ctx context.Context, name string, s tls.ConnectionState) error {
	o := d.question(ctx, name, s)
	keep := d.trust.Plain() // scopes can change their mind with time
	key := keyOf(name, s.PeerCertificates)
	if keep && s.DidResume {
		if v := d.kept.find(key, o.Time); v != nil {
			// Another chain may pass where this one no longer does.
			if v, err := d.trust.CheckRevocation(v, s.PeerCertificates, o); err == nil {
				return d.b.authorize(ctx, d.purpose, name, s, v)
			}
		}
	}
	verdict, err := d.trust.Verify(s.PeerCertificates, o)
	if err != nil {
		return inBuilder(err)
	}
	if keep {
		d.kept.keep(key, verdict)
	}
	return d.b.authorize(ctx, d.purpose, name, s, verdict)
}

func peerOf(purpose truststore.Purpose, name string, s tls.ConnectionState, verdict *truststore.Verdict) Peer {
	return Peer{Purpose: purpose, Certificates: s.PeerCertificates, Verdict: verdict, ServerName: cmp.Or(name, s.ServerName), Resumed: s.DidResume}
}

// tellAccepted tells Accepted, if it is set, about the peer of a complete handshake.
func (b Builder) tellAccepted(purpose truststore.Purpose, name string, s tls.ConnectionState) {
	if b.Accepted != nil && len(s.PeerCertificates) > 0 {
		p := peerOf(purpose, name, s, nil)
		p.Proved = true
		b.Accepted(p)
	}
}

// bare refuses to make a bare tls.Config of a Builder with Accepted: crypto/tls calls nobody when
// a handshake is complete.
func (b Builder) bare() error {
	if b.Accepted == nil || b.AcceptedBestEffort {
		return nil
	}
	return &trustkeep.Error{
		Op: "Accepted", Err: trustkeep.ErrInvalid,
		Hint: "nobody learns when a handshake by a bare tls.Config is complete: use Dialer, Transport or Listen, or set AcceptedBestEffort",
	}
}

// authorize asks the callback.
func (b Builder) authorize(ctx context.Context, purpose truststore.Purpose, name string, s tls.ConnectionState, verdict *truststore.Verdict) error {
	if b.Authorize == nil {
		return nil
	}
	err := b.Authorize(ctx, peerOf(purpose, name, s, verdict))
	if err != nil {
		return &authorizeError{s.PeerCertificates, err}
	}
	return nil
}

// authorizeError is a refusal by Builder.Authorize.
type authorizeError struct {
	peer []*x509.Certificate // what the peer sent; may be empty
	err  error               // of the callback
}

// Error names the peer and the callback's reason.
func (e *authorizeError) Error() string {
	who := "a client without certificate"
	if len(e.peer) > 0 {
		who = certinfo.Brief(e.peer[0]).String()
	}
	return fmt.Sprintf("tlsctx: %s is trusted and not authorized: %v", who, e.err)
}

func (e *authorizeError) Unwrap() error { return e.err }
