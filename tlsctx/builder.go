package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/truststore"
)

// Builder describes one side of TLS connections. Changing it has no effect on what was built
// from it. The zero Builder makes a client that trusts the system's roots and has no identity.
//
// A Builder is safe for concurrent use as long as nobody assigns to its fields.
type Builder struct {
	// Global is the trust of the environment. It is ignored if Trusted is set. If both
	// are nil, a client trusts the system's roots, and a server that asks for client
	// certificates cannot be built.
	Global truststore.Source
	// Trusted is the connection's own trust, which replaces Global. If nil, Global
	// counts. A nil pointer in it, such as the *truststore.Truststore of a failed Load,
	// is an error.
	Trusted truststore.Source

	// MayBeEmpty permits a store without certificates, for trust that is deployed
	// later: every peer is refused until then. If false, building with an empty store
	// is an error, since it is most likely the wrong store.
	MayBeEmpty bool

	// Allow lists faults that are accepted in the certificate of an exactly trusted or
	// pinned peer; see truststore.Relaxation. If nil, none is. One that does not exist is an error.
	Allow []truststore.Relaxation
	// Policy refuses peers that crypto/x509 accepts; see truststore.Strict. If zero, nobody is
	// refused besides.
	Policy truststore.Policy
	// Pins narrow the trust: a trusted peer must also have one of these certificates or
	// keys. If nil, every trusted peer is accepted. An empty list and the zero Pin are errors.
	// For pins that are the trust, set Trusted to truststore.Pinned.
	Pins []truststore.Pin
	// Revocation, if set, can refuse a trusted peer. *revocation.Checker implements it.
	// A handshake waits while it fetches.
	Revocation truststore.RevocationChecker
	// RevocationExempt lists certificates that Revocation is not asked about, for instance
	// that of a partner whose issuer is nowhere. If nil, none is exempt.
	RevocationExempt []*x509.Certificate
	// Authorize, if set, can refuse a trusted peer by returning an error. It is called
	// on every handshake, resumed ones included, and by several goroutines at once. A
	// server that accepts clients without a certificate calls it for them too, with a
	// nil Verdict. The context is that of the handshake. With the configurations of
	// Client and LiveClient it never ends, since crypto/tls provides none: a callback
	// that waits needs a bound of its own.
	//
	// It decides in the midst of the handshake. On a full one, the peer has shown a certificate
	// and proved nothing yet: whoever sends another's certificate gets this far, and fails
	// afterwards. Do not record peers here; see Accepted.
	Authorize func(context.Context, Peer) error

	// Accepted, if set, is called when a handshake with a peer that sent certificates is
	// complete, resumed ones included: the peer is trusted, authorized and has proved to have
	// its key. Verdict of the Peer is nil. Accepted must not block, and several goroutines call
	// it at once. Dialer, Transport, Listener and package ftps call it. Package forecast uses it.
	Accepted func(Peer)
	// AcceptedBestEffort permits Client, LiveClient and Server although Accepted is set. It is
	// not called for their connections. If false, they fail with trustkeep.ErrInvalid.
	AcceptedBestEffort bool

	// Identity is presented to the peer. If nil, a client presents none, and a server
	// cannot be built unless it has Routes.
	Identity trustkeep.Identity

	// Routes choose the identity by destination: on clients by the host and port that
	// are dialled, on servers by the name that the client asks for. If none fits, or
	// Routes is nil, Identity is presented. Client and LiveClient need For or ServerName
	// to know the destination.
	Routes *Routes

	// ServerName is the name that the server's certificate must have and that is sent
	// to the server. For sets it from an address. If empty, whoever dials provides it,
	// as http.Transport and tls.Dial do; crypto/tls refuses a handshake without a name.
	// Servers ignore it.
	ServerName string

	// ServerURI is the URI that the server's certificate must have as a subject alternative
	// name, such as the SPIFFE ID "spiffe://domain.example/path", octet by octet. It takes the
	// place of the name: one that For or an address provides is only sent to the server
	// (SNI), and only a ServerName that is set besides must fit too. If empty, none is asked
	// for. Servers ignore it.
	ServerURI string
	// ClientURI is ServerURI for the clients of a server. Those without a certificate are
	// accepted with RequestClientAuth. Without ClientAuth it is an error. Clients ignore it.
	ClientURI string
	// TrustDomain is the SPIFFE trust domain, such as "domain.example", in which the peer's
	// certificate must have an ID, on clients and servers. On a client it takes the place of
	// the name as ServerURI does. If empty, none is asked for. See truststore.Bundle for
	// authorities that count in one domain alone.
	TrustDomain string

	// ClientAuth is whether a server asks clients for a certificate. If zero, it does
	// not. Clients ignore it.
	ClientAuth ClientAuth

	// TicketSecret, if set, lets servers that have the same secret resume each other's
	// sessions, as long as they have the same trust, policy and identity, down to the same
	// chain; any other ticket leads to a full handshake. The keys change every day by
	// Clock, and one day before and after counts. If nil, the keys are random and those of
	// this server alone. The secret has 32 octets at least, made at random, and is asked
	// for whenever the keys change. Whoever has it can make sessions of any client, and
	// read those of TLS 1.2. Trust that includes a platform's roots, which cannot be
	// compared, is trustkeep.ErrUnsupported. Clients ignore it.
	TicketSecret trustkeep.PasswordSource

	// ConcealCAs keeps a server from sending clients the names of the authorities that
	// it trusts. It never sends them if they do not fit into a handshake, 64 KiB.
	ConcealCAs bool

	// MinVersion is the lowest TLS version, tls.VersionTLS12 or higher. If zero, it is
	// TLS 1.2. See LegacyMinVersion for lower ones.
	MinVersion uint16
	// MaxVersion is the highest TLS version. If zero, it is the highest that Go knows.
	MaxVersion uint16
	// LegacyMinVersion lowers the lowest version to tls.VersionTLS10 or
	// tls.VersionTLS11, for a peer that cannot do better. If zero, MinVersion counts.
	// Setting both is an error.
	LegacyMinVersion uint16

	// NextProtos are the application protocols (ALPN), preferred ones first. If nil,
	// none is offered: an HTTP/2 server needs "h2" and "http/1.1" here.
	NextProtos []string

	// CipherSuites are the suites of TLS 1.2 and lower versions, such as
	// tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, in any order: crypto/tls has its own.
	// They say nothing about TLS 1.3, whose suites cannot be chosen. If empty, they are
	// those of crypto/tls. An unknown or unsafe one is an error.
	CipherSuites []uint16
	// LegacyCipherSuites adds unsafe suites of tls.InsecureCipherSuites to CipherSuites,
	// or to those of crypto/tls, for a peer that cannot do better. If empty, none is
	// added. Any other suite is an error.
	LegacyCipherSuites []uint16
	// CurvePreferences are the key exchanges of all versions, in any order. If empty,
	// they are those of crypto/tls. An unknown one is an error.
	CurvePreferences []tls.CurveID
	// InsecureKeyLog receives the keys of every session, as Wireshark reads them, so that
	// whoever has it reads all connections. If nil, none is written. It is for debugging
	// alone; Explain warns of it.
	InsecureKeyLog io.Writer

	// Clock is the time by which certificates and sessions are judged. If nil, it is
	// time.Now.
	Clock func() time.Time
	// Rand is the source of randomness, for tests. If nil, it is crypto/rand.
	Rand io.Reader

	at      endpoint             // see For
	system  *truststore.Snapshot // see remembering
	follows func() following     // see Follow and redact.Hidden; nil for nothing
}

// ClientAuth is whether a server asks clients for a certificate. A certificate that a client
// sends is always verified, against Trusted or else Global.
type ClientAuth uint8

// The modes. The zero ClientAuth asks for none.
const (
	NoClientAuth ClientAuth = iota
	// RequestClientAuth asks for a certificate and accepts clients without one. The
	// server's handler must look at ConnectionState.PeerCertificates, which hold only
	// trusted certificates.
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

// wrong says what no configuration can be made of, whatever the trust and the identity.
func (b Builder) wrong() error {
	switch {
	case b.at.err != nil:
		return b.at.err
	case given.NilPointer(b.Revocation):
		return &trustkeep.Error{Op: "Revocation", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of making it checked?"}
	case b.Pins != nil && len(b.Pins) == 0:
		return &trustkeep.Error{Op: "Pins", Err: trustkeep.ErrInvalid, Hint: "the list is empty, which fits nobody; leave it nil to pin nothing"}
	case slices.Contains(b.Pins, truststore.Pin{}):
		return &trustkeep.Error{Op: "Pins", Err: trustkeep.ErrInvalid, Hint: "one is the zero Pin, which fits nobody; was it made of a nil certificate?"}
	}
	if err := b.Policy.Validate(); err != nil {
		return err
	}
	for _, r := range b.Allow {
		if !slices.Contains(truststore.Relaxations(), r) {
			return &trustkeep.Error{Op: `Allow "` + trustkeep.Printable(string(r)) + `"`, Err: trustkeep.ErrInvalid, Hint: "truststore.Relaxations lists what can be allowed"}
		}
	}
	if given.NilPointer(b.TicketSecret) {
		return &trustkeep.Error{Op: "TicketSecret", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer"}
	}
	if err := b.wrongURIs(); err != nil {
		return err
	}
	return b.wrongParameters()
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
	if err := b.wrong(); err != nil {
		return nil, err
	}
	low, err := b.minVersion()
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{
		MinVersion: low,
		MaxVersion: b.MaxVersion,
		NextProtos: slices.Clone(b.NextProtos), // the caller may change the configuration
		Time:       b.Clock,
		Rand:       b.Rand,
	}
	b.setParameters(cfg)
	return cfg, nil
}
