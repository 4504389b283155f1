package tlsctx

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"reflect"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// StaticIdentity makes a trustkeep.Identity of a tls.Certificate that never changes. Neither it nor
// the certificate that it returns prints the private key, whose type there is this
// library's; it signs, decrypts and agrees on keys as before.
func StaticIdentity(c tls.Certificate) trustkeep.Identity {
	return &staticIdentity{redact.Hidden(concealed(&c))}
}

// staticIdentity has no exported field, so that encoders find nothing in it.
type staticIdentity struct{ cert func() *tls.Certificate } // see redact.Hidden

func (s *staticIdentity) TLSCertificate() (*tls.Certificate, error) { return s.cert(), nil }

// concealed is the certificate with a key that does not print. Where a tls.Config goes,
// logs and error reports are not far, and identities may be anybody's.
func concealed(c *tls.Certificate) *tls.Certificate {
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok || given.IsNil(key) {
		return c // of no use for a handshake; see checkPair
	}
	if _, done := key.(redact.Revealer); done {
		return c
	}
	other := *c
	other.PrivateKey = redact.Key(key)
	return &other
}

// certificates asks the identity and checks what it says: peers answer a chain
// that does not fit its key with alerts that explain nothing.
func certificates(id trustkeep.Identity) ([]*tls.Certificate, error) {
	all, err := presented(id)
	if err != nil {
		return nil, err
	}
	out := make([]*tls.Certificate, len(all))
	for i, c := range all {
		if _, err := checkPair(c); err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		out[i] = concealed(c)
	}
	return out, nil
}

// presented asks an identity for what it presents now, one certificate unless it is of
// Alternatives; nil for no identity. Whether key and certificate fit is not looked at.
func presented(id trustkeep.Identity) ([]*tls.Certificate, error) {
	if id == nil {
		return nil, nil
	}
	if given.IsNil(id) {
		return nil, &trustkeep.Error{Op: "identity", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of loading it checked?"}
	}
	if a, ok := id.(*alternatives); ok {
		return a.all()
	}
	c, err := id.TLSCertificate()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if c == nil || len(c.Certificate) == 0 {
		return nil, fmt.Errorf("identity: certificate is missing: %w", trustkeep.ErrEmpty)
	}
	return []*tls.Certificate{c}, nil
}

// checkPair returns the parsed certificate of a pair that fits together.
func checkPair(c *tls.Certificate) (*x509.Certificate, error) {
	if c == nil || len(c.Certificate) == 0 || c.PrivateKey == nil {
		return nil, fmt.Errorf("certificate or key is missing: %w", trustkeep.ErrEmpty)
	}
	leaf := c.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate: %w: %v", trustkeep.ErrCorrupt, errtext.Of(err))
		}
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key does not sign: %w", trustkeep.ErrUnsupported)
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, fmt.Errorf("public key of type %T: %w", leaf.PublicKey, trustkeep.ErrUnsupported)
	}
	if !public.Equal(key.Public()) {
		return nil, trustkeep.ErrKeyMismatch
	}
	return leaf, nil
}

func sameChains(a, b []*tls.Certificate) bool { return slices.EqualFunc(a, b, sameChain) }

func sameIdentities(a, b []*tls.Certificate) bool { return slices.EqualFunc(a, b, sameIdentity) }

// sameChain reports whether two certificates make the same impression on
// peers.
func sameChain(a, b *tls.Certificate) bool {
	return a == b || a != nil && b != nil && slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}

// sameIdentity reports whether nothing at all changed from a to b, which may
// well be two copies of one identity.
func sameIdentity(a, b *tls.Certificate) bool {
	return a == b || sameChain(a, b) && sameKey(a.PrivateKey, b.PrivateKey) &&
		bytes.Equal(a.OCSPStaple, b.OCSPStaple) &&
		slices.EqualFunc(a.SignedCertificateTimestamps, b.SignedCertificateTimestamps, bytes.Equal) &&
		slices.Equal(a.SupportedSignatureAlgorithms, b.SupportedSignatureAlgorithms)
}

// sameKey reports whether two keys are one and the same, however they are wrapped. It may
// say no of equal keys: a new handle on a key in hardware is to be used.
func sameKey(a, b crypto.PrivateKey) bool {
	a, b = revealed(a), revealed(b)
	if a, ok := a.(ed25519.PrivateKey); ok {
		return a.Equal(b)
	}
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	return va.IsValid() && vb.IsValid() && va.Type() == vb.Type() && va.Comparable() && vb.Comparable() && a == b
}

// revealed is the key within its wrapping.
func revealed(key crypto.PrivateKey) crypto.PrivateKey {
	if r, ok := key.(redact.Revealer); ok {
		return r.Reveal()
	}
	return key
}
