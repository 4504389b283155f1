package trustkeep

import "time"

// Kind is the certificate system a component belongs to.
type Kind uint8

// The kinds of component. The zero Kind is invalid.
const (
	X509 Kind = iota + 1
	PGP
)

// String returns "X.509", "PGP" or "invalid".
func (k Kind) String() string {
	switch k {
	case X509:
		return "X.509"
	case PGP:
		return "PGP"
	}
	return "invalid"
}

// Visibility tells whether a component holds a private key.
type Visibility uint8

// The visibilities. The zero Visibility is invalid.
const (
	// Public: certificate or public key only.
	Public Visibility = iota + 1
	// Private: certificate and private key.
	Private
)

// String returns "public", "private" or "invalid".
func (v Visibility) String() string {
	switch v {
	case Public:
		return "public"
	case Private:
		return "private"
	}
	return "invalid"
}

// Component is one certificate under management: X.509 or PGP, public or private. Its ID stays
// the same when the certificate is replaced, so references to the component stay valid.
//
// The interface is open: other implementations can be managed beside the components of this
// module.
type Component interface {
	// ID identifies the component for life.
	ID() string
	// Name is for people and may change.
	Name() string
	Kind() Kind
	Visibility() Visibility
	// Fingerprint identifies the current content: the SHA-256 of the DER
	// certificate for X.509, the OpenPGP fingerprint (RFC 9580 section
	// 5.5.4) for PGP; lower-case hex.
	Fingerprint() string
	// NotBefore and NotAfter bound the validity of the current content. A
	// zero NotAfter means that it does not expire.
	NotBefore() time.Time
	NotAfter() time.Time
	// Version starts at 1 and grows by one with each replacement. It is 0 as long as
	// there is no content: the component waits for its first certificate, and its
	// fingerprint is empty.
	Version() int
}
