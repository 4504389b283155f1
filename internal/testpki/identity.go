package testpki

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

// Identity is a certificate with its private key. It is not to be modified.
type Identity struct {
	Cert *x509.Certificate // nil where crypto/x509 cannot parse it, see PKI.NegativeSerial
	Key  crypto.Signer
	// Chain is the certificate followed by its issuers, the root included,
	// as keystores hold it.
	Chain []*x509.Certificate
	DER   []byte // the certificate

	issuers []*x509.Certificate // Chain without the certificate
	tb      testing.TB
}

// DERChain returns Chain as encoded, also where Cert is nil.
func (id *Identity) DERChain() [][]byte {
	chain := [][]byte{id.DER}
	for _, c := range id.issuers {
		chain = append(chain, c.Raw)
	}
	return chain
}

// TLSCertificate returns what a peer presents in a handshake: the chain without
// its root. A self-signed certificate is presented as it is.
func (id *Identity) TLSCertificate() tls.Certificate {
	chain := id.DERChain()
	if len(chain) > 1 {
		chain = chain[:len(chain)-1]
	}
	return tls.Certificate{Certificate: chain, PrivateKey: id.Key, Leaf: id.Cert}
}

// PKCS8 returns the private key as an unencrypted PrivateKeyInfo (RFC 5958) in
// DER.
func (id *Identity) PKCS8() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(id.Key)
	if err != nil {
		id.tb.Fatalf("testpki: %v", err)
	}
	return der
}

// ChainPEM returns the chain, root included, as CERTIFICATE blocks.
func (id *Identity) ChainPEM() []byte {
	var b bytes.Buffer
	for _, der := range id.DERChain() {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return b.Bytes()
}

// KeyPEM returns the private key as a PRIVATE KEY block (PKCS#8, unencrypted).
func (id *Identity) KeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: id.PKCS8()})
}
