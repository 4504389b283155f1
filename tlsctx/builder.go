package tlsctx

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Builder describes one side of TLS connections. Its methods take it by value
// and keep what they need, so changing a Builder afterwards changes nothing
// that was built. The zero Builder makes a client that trusts the system's
// roots and has no identity.
//
// A Builder is safe for concurrent use as long as nobody assigns to it.
type Builder struct {
	// Global is the trust of the environment, which counts unless Trusted
	// is set. Nil stands for the system's roots on a client; a server that
	// asks for client certificates needs explicit trust.
	Global truststore.Source
	// Trusted is the connection's own trust, which replaces Global. Nil
	// means that the connection has none of its own. A nil pointer in it,
	// such as the *truststore.Truststore of a failed Load, is an error.
	Trusted truststore.Source

	// MayBeEmpty is for trust that is yet to come, such as what an environment will
	// deploy: as long as Trusted, or else Global, holds nothing, every peer is
	// refused. Otherwise building with an empty store is an error, since it is most
	// likely the wrong one.
	MayBeEmpty bool

	// Allow lists what is accepted of an exactly trusted or pinned peer although
	// crypto/x509 would refuse it; see truststore.Relaxation. Nil is nothing.
	Allow []truststore.Relaxation
	// Pins narrow what is trusted: besides being trusted otherwise, the peer
	// must have one of these certificates or keys. Nil pins nothing. For pins
	// that are trust themselves, set Trusted to truststore.Pinned.
	Pins []truststore.Pin
	// Revocation, if set, has the last word on a peer that is trusted. A
	// *revocation.Checker is one. It may take as long as it fetches.
	Revocation truststore.RevocationChecker
	// Authorize, if set, decides about a peer that is trusted, on every
	// handshake, resumed ones included. Its error refuses the peer. A server
	// that merely requests client certificates calls it for clients without
	// one too, with a nil Verdict. It is called by several goroutines at once. The context
	// is that of the handshake, except with the configurations of Client and LiveClient,
	// where crypto/tls tells of none: a callback that waits needs a bound of its own.
	Authorize func(context.Context, Peer) error

	// Accepted, if set, is called when a handshake has been decided in favour of a peer
	// that sent certificates, resumed handshakes included. The peer has not necessarily
	// proved its key yet. Verdict of the Peer is nil. It must not block, and is called by
	// several goroutines at once. See package forecast for a use.
	Accepted func(Peer)

	// Identity is presented to the peer. Nil means none, which a server
	// cannot do without.
	Identity trustkeep.Identity

	// Routes choose among identities by destination: on clients by the host and
	// port dialled, for which there must be a Dialer, a Transport or a
	// ServerName; on servers by the name that the client asks for. Where no
	// route fits, Identity counts. Nil is none.
	Routes *Routes

	// ServerName is the name that the server's certificate must carry, and
	// that is sent to it. Empty on a client leaves the name to whoever
	// dials, as http.Transport and tls.Dial do; a handshake without any name
	// is refused by crypto/tls. For sets it from an address. Servers ignore it.
	ServerName string

	// ClientAuth says whether a server asks clients for a certificate. Zero
	// is no. Clients ignore it.
	ClientAuth ClientAuth

	// ConcealCAs keeps a server from telling clients whose certificates it
	// accepts. It does not tell them in any case if the names do not fit into a
	// handshake, 64 KiB.
	ConcealCAs bool

	// MinVersion is the lowest TLS version, tls.VersionTLS12 or higher. Zero
	// is TLS 1.2. See LegacyMinVersion for what is lower.
	MinVersion uint16
	// MaxVersion is the highest TLS version. Zero is the highest that Go
	// knows.
	MaxVersion uint16
	// LegacyMinVersion lowers the lowest version to tls.VersionTLS10 or
	// tls.VersionTLS11, for a peer that cannot do better. Zero lowers
	// nothing. It cannot be set together with MinVersion.
	LegacyMinVersion uint16

	// NextProtos are the application protocols (ALPN), best first. Nil means
	// none: an HTTP/2 server needs "h2" and "http/1.1" here.
	NextProtos []string

	// Clock tells the time by which certificates and sessions are judged.
	// Nil is time.Now.
	Clock func() time.Time
	// Rand is the source of randomness, for tests. Nil is crypto/rand.
	Rand io.Reader

	at endpoint // see For
}

// ClientAuth says whether a server asks clients for a certificate. Whatever
// certificate comes is verified, against Trusted or else Global.
type ClientAuth uint8

// The modes. The zero ClientAuth asks for none.
const (
	NoClientAuth ClientAuth = iota
	// RequestClientAuth asks for a certificate and lets clients without one
	// in: the server's handler must look at ConnectionState.PeerCertificates,
	// which are there only if they are trusted.
	RequestClientAuth
	// RequireClientAuth refuses clients without a trusted certificate.
	RequireClientAuth
)

// String returns "none", "requested", "required" or "invalid".
func (a ClientAuth) String() string {
	switch a {
	case NoClientAuth:
		return "none"
	case RequestClientAuth:
		return "requested"
	case RequireClientAuth:
		return "required"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (a ClientAuth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (b Builder) now() time.Time {
	if b.Clock != nil {
		return b.Clock()
	}
	return time.Now()
}

// minVersion returns the lowest version of the handshake.
func (b Builder) minVersion() (uint16, error) {
	low := b.MinVersion
	switch {
	case b.LegacyMinVersion != 0 && b.MinVersion != 0:
		return 0, fmt.Errorf("both MinVersion and LegacyMinVersion: %w", trustkeep.ErrInvalid)
	case b.LegacyMinVersion != 0:
		if low = b.LegacyMinVersion; low != tls.VersionTLS10 && low != tls.VersionTLS11 {
			return 0, fmt.Errorf("LegacyMinVersion %s: %w", tls.VersionName(low), trustkeep.ErrInvalid)
		}
	case low == 0:
		low = tls.VersionTLS12
	case low < tls.VersionTLS12:
		return 0, &trustkeep.Error{
			Op: "MinVersion " + tls.VersionName(low), Err: trustkeep.ErrInvalid,
			Hint: "versions below TLS 1.2 are no longer safe; where a peer leaves no choice, set LegacyMinVersion",
		}
	}
	if low > tls.VersionTLS13 {
		return 0, fmt.Errorf("MinVersion %s: %w", tls.VersionName(low), trustkeep.ErrInvalid)
	}
	if b.MaxVersion != 0 && b.MaxVersion < low {
		return 0, &trustkeep.Error{
			Op: "MaxVersion " + tls.VersionName(b.MaxVersion), Err: trustkeep.ErrInvalid,
			Hint: "it is lower than the lowest version, " + tls.VersionName(low),
		}
	}
	return low, nil
}

// base returns what clients and servers have in common.
func (b Builder) base() (*tls.Config, error) {
	if b.at.err != nil {
		return nil, b.at.err
	}
	low, err := b.minVersion()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: low,
		MaxVersion: b.MaxVersion,
		NextProtos: slices.Clone(b.NextProtos), // the caller may change the configuration
		Time:       b.Clock,
		Rand:       b.Rand,
	}, nil
}
