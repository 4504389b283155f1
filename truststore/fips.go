package truststore

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// fipsAllows refuses a chain with a key that crypto/tls does not allow in FIPS 140-3 mode
// (GODEBUG=fips140=on or only). crypto/tls filters the chains that it has
// verified itself (fipsAllowedChains); what is verified here is filtered here. Exactly
// trusted and pinned certificates are no exception.
func fipsAllows(chain []*x509.Certificate) error {
	if !fips140.Enabled() {
		return nil
	}
	for _, c := range chain {
		if !fipsKey(c) {
			return &refusedKey{c}
		}
	}
	return nil
}

func fipsKey(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// refusedKey is a certificate whose key is not allowed.
type refusedKey struct{ cert *x509.Certificate }

func (e *refusedKey) Error() string {
	return fmt.Sprintf("the key of %s, %s, is not allowed in FIPS 140-3 mode", quoteSubject(e.cert), describeKey(e.cert))
}

func (e *refusedKey) Unwrap() error { return trustkeep.ErrUnsupported }

// describeKey names the kind of a key: "RSA 1024", "EC P-224".
func describeKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	case nil:
		return "of an unknown algorithm"
	}
	return c.PublicKeyAlgorithm.String()
}
