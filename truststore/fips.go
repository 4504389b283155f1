package truststore

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// fipsAllows refuses a chain with a key that crypto/tls does not allow in FIPS 140-3 mode
// (GODEBUG=fips140=on or only). crypto/tls filters the chains that it has
// verified itself (fipsAllowedChains); what is verified here is filtered here. Exactly
// trusted and pinned certificates are no exception.
func fipsAllows(chain []*x509.Certificate) error {
	if !fips.Enabled() {
		return nil
	}
	for _, c := range chain {
		if !fips.TLSKey(c.PublicKey) {
			return &refusedKey{c}
		}
	}
	return nil
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
