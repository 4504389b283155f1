// Package certgen makes keys, certificates and certificate requests. It is the
// part of generation that knows nothing of stores.
//
// What it writes follows RFC 5280: version 3, a serial number of 128 random
// bits, subject and authority key identifiers, critical basic constraints and
// key usage, and signatures of the SHA-2 family or Ed25519.
package certgen

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
)

// Issuer signs certificates.
type Issuer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Sign makes the certificate that the template describes for the public key.
// Where the template has no serial number or a nil subject key identifier, they
// are filled in; an empty identifier leaves the extension out. An issuer whose
// certificate is nil signs the template with itself as the issuer. random may be
// nil for crypto/rand.
//
// Nothing is checked: what an issuer may sign is for the caller to decide.
func Sign(template x509.Certificate, public crypto.PublicKey, issuer Issuer, random io.Reader) (*x509.Certificate, error) {
	var err error
	if template.SerialNumber == nil {
		if template.SerialNumber, err = Serial(random); err != nil {
			return nil, err
		}
	}
	if template.SubjectKeyId == nil {
		if template.SubjectKeyId, err = SubjectKeyID(public); err != nil {
			return nil, err
		}
	}
	parent := issuer.Certificate
	if parent == nil {
		parent = &template
		template.AuthorityKeyId = template.SubjectKeyId
	}
	der, err := x509.CreateCertificate(signingRandom(issuer.Key, random), &template, parent, public, plain(issuer.Key))
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: %v", trustkeep.ErrUnsupported, err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: %v", trustkeep.ErrUnsupported, errtext.Of(err))
	}
	return made, nil
}

// Request makes a certificate request (PKCS#10, RFC 2986) signed by its own
// key, in DER.
func Request(template x509.CertificateRequest, key crypto.Signer, random io.Reader) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(signingRandom(key, random), &template, plain(key))
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w: %v", trustkeep.ErrUnsupported, err)
	}
	return der, nil
}

// serialSize in octets. RFC 5280 section 4.1.2.2 allows 20 with the sign; CAs
// are asked for at least 64 bits that nobody can foretell.
const serialSize = 16

// Serial returns a positive number of 128 random bits.
func Serial(random io.Reader) (*big.Int, error) {
	b := make([]byte, serialSize)
	for {
		if _, err := io.ReadFull(orSystem(random), b); err != nil {
			return nil, fmt.Errorf("serial number: %w", err)
		}
		if n := new(big.Int).SetBytes(b); n.Sign() > 0 {
			return n, nil
		}
	}
}

// SubjectKeyID is method 1 of RFC 7093 section 2: the leftmost 160 bits of the
// SHA-256 of the public key's bits.
func SubjectKeyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w: %v", trustkeep.ErrUnsupported, err)
	}
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("public key: %w: %v", trustkeep.ErrUnsupported, err)
	}
	sum := sha256.Sum256(spki.Key.Bytes)
	return sum[:20], nil
}

func orSystem(random io.Reader) io.Reader {
	if random == nil {
		return rand.Reader
	}
	return random
}

// signingRandom is what a signature is made with. crypto/ecdsa draws from the
// system whatever reader it is given and signs as in RFC 6979 without one,
// which is how a caller's own randomness leads to the same bytes.
func signingRandom(key crypto.Signer, random io.Reader) io.Reader {
	if _, ok := plain(key).(*ecdsa.PrivateKey); ok && random != nil {
		return nil
	}
	return orSystem(random)
}

// plain returns the key behind a wrapper that keeps it from printing.
func plain(key crypto.Signer) crypto.Signer {
	if r, ok := key.(interface{ Reveal() crypto.Signer }); ok {
		return r.Reveal()
	}
	return key
}
