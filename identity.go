package trustkeep

import (
	"crypto/tls"
	"crypto/x509"
)

// Identity is a private key with its certificate chain, leaf first: it authenticates, signs
// and decrypts. *keystore.Identity implements it; so can a key that stays in hardware.
//
// PrivateKey of the certificate is a crypto.Signer. To decrypt, it is also a crypto.Decrypter
// (RSA) or has the method ECDH of *ecdsa.PrivateKey (EC).
//
// A server calls it on every handshake, so an implementation should answer from memory. It
// must be safe for concurrent use. Callers do not modify the result.
type Identity interface {
	TLSCertificate() (*tls.Certificate, error)
}

// CertificateHolder is something that certificates can be copied from, such as a
// *keystore.Keystore or a *truststore.Truststore. Callers do not modify the certificates.
type CertificateHolder interface {
	Certificates() []*x509.Certificate
}
