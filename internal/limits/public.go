package limits

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// PublicKey refuses a key that is too large to verify or encrypt with under the
// default of Limits.MaxKeyBits. crypto/x509 has no bound of its own.
func PublicKey(public crypto.PublicKey) error {
	most := trustkeep.Limits{}.WithDefaults().MaxKeyBits
	if k, ok := public.(*rsa.PublicKey); ok && k.N != nil && k.N.BitLen() > most {
		return fmt.Errorf("RSA key of %d bits, of which %d are computed with: %w", k.N.BitLen(), most, trustkeep.ErrLimit)
	}
	return nil
}

// SignedBy checks child's signature with parent's key, whether or not parent may
// sign, unless PublicKey refuses that. It ignores the names.
func SignedBy(child, parent *x509.Certificate) error {
	if err := PublicKey(parent.PublicKey); err != nil {
		return err
	}
	return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
}

// IssuedBy is child.CheckSignatureFrom(parent), unless PublicKey refuses that.
func IssuedBy(child, parent *x509.Certificate) error {
	if err := PublicKey(parent.PublicKey); err != nil {
		return err
	}
	return child.CheckSignatureFrom(parent)
}
