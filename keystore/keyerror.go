package keystore

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// keyError explains why crypto/x509 could not parse a PrivateKeyInfo (RFC 5958):
// ErrUnsupported for an algorithm or a curve that it lacks, ErrCorrupt for the
// rest.
func keyError(der []byte, err error) error {
	var info struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
		// Attributes and the public key may follow.
	}
	if _, malformed := asn1.Unmarshal(der, &info); malformed != nil {
		return fmt.Errorf("private key: %w: %v", trustkeep.ErrCorrupt, err)
	}
	switch info.Algorithm.Algorithm.String() {
	case "1.2.840.113549.1.1.1", "1.3.101.112": // rsaEncryption, Ed25519
		return fmt.Errorf("private key: %w: %v", trustkeep.ErrCorrupt, err)
	case "1.2.840.10045.2.1": // ecPublicKey
		var curve asn1.ObjectIdentifier
		if _, malformed := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); malformed != nil {
			return fmt.Errorf("private key on an unnamed curve: %w: %v", trustkeep.ErrUnsupported, err)
		}
		switch curve.String() {
		case "1.3.132.0.33", "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35": // P-224 to P-521
			return fmt.Errorf("private key: %w: %v", trustkeep.ErrCorrupt, err)
		}
		return fmt.Errorf("private key on curve %s: %w", curve, trustkeep.ErrUnsupported)
	}
	return fmt.Errorf("private key of algorithm %s: %w", info.Algorithm.Algorithm, trustkeep.ErrUnsupported)
}
