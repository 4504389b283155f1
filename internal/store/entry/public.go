package entry

import (
	"crypto"
	"crypto/x509"
)

// PublicKeyInfo returns the DER of the SubjectPublicKeyInfo of a private key
// of any type that crypto/x509 knows, and nil for others.
func PublicKeyInfo(private any) []byte {
	k, ok := private.(interface{ Public() crypto.PublicKey })
	if !ok {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil
	}
	return der
}
