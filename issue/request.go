package issue

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/bits"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Request makes a certificate request for the key of an identity: PKCS#10 (RFC 2986) in a PEM
// block of type CERTIFICATE REQUEST. Send it to a CA and pass the reply to Install.
//
// If the options name neither a subject nor an alternative name, the request has the names of
// the identity's certificate. Likewise for purposes and key usages. NotBefore, Validity, Key,
// Issuer and PathLength must be zero: the CA decides them.
//
// Errors: ErrInvalid for malformed options or those that the CA decides; those of the
// identity.
func Request(id trustkeep.Identity, o Options) ([]byte, error) {
	const op = "issue: request"
	of, err := authorityOf(id)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return requested(op, of.key, o.orLike(of.chain[0]))
}

// RequestForKey is Request for a key without a certificate, such as one of Keystore.Signer or
// one in hardware. The options must name the holder.
func RequestForKey(key crypto.Signer, o Options) ([]byte, error) {
	const op = "issue: request"
	if given.IsNil(key) {
		return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("nil key: %w", trustkeep.ErrInvalid)}
	}
	return requested(op, key, o)
}

func requested(op string, key crypto.Signer, o Options) ([]byte, error) {
	request, err := o.request(key)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return request, nil
}

// orLike takes from the certificate what the options leave open about the holder.
func (o Options) orLike(leaf *x509.Certificate) Options {
	old := Like(leaf)
	if o.unnamed() {
		o.Subject, o.DNSNames, o.IPAddresses = old.Subject, old.DNSNames, old.IPAddresses
		o.EmailAddresses, o.URIs = old.EmailAddresses, old.URIs
	}
	if o.Purposes == 0 {
		o.Purposes = old.Purposes
	}
	if o.KeyUsage == 0 {
		o.KeyUsage = old.KeyUsage
	}
	return o
}

// request makes a PKCS#10 request in PEM.
func (o Options) request(key crypto.Signer) ([]byte, error) {
	for _, x := range []struct {
		field string
		set   bool
	}{
		{"NotBefore", !o.NotBefore.IsZero()}, {"Validity", o.Validity != 0}, {"Key", o.Key != 0},
		{"Issuer", o.Issuer != nil}, {"PathLength", o.PathLength != nil},
	} {
		if x.set {
			return nil, &trustkeep.Error{
				Op: "option " + x.field, Err: fmt.Errorf("the CA's to decide: %w", trustkeep.ErrInvalid),
				Hint: "leave NotBefore, Validity, Key, Issuer and PathLength zero; what names nothing is requested as the certificate is",
			}
		}
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	extensions, err := requestedUsages(&o, key.Public())
	if err != nil {
		return nil, err
	}
	der, err := certgen.Request(x509.CertificateRequest{
		Subject: o.Subject, DNSNames: o.DNSNames, IPAddresses: o.IPAddresses, EmailAddresses: o.EmailAddresses, URIs: o.URIs,
		ExtraExtensions: extensions,
	}, key, o.Rand)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}

	// RFC 5280 section 4.2.1.12.
	oidsOfPurposes = [...]struct {
		purpose Purposes
		oid     asn1.ObjectIdentifier
	}{
		{ForServer, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}},
		{ForClient, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}},
		{ForEmail, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}},
	}
)

// requestedUsages encodes the extensions that a request asks for, which
// crypto/x509 does for alternative names alone.
func requestedUsages(o *Options, public crypto.PublicKey) ([]pkix.Extension, error) {
	usage := uint16(keyUsage(o.Purposes, public) | o.KeyUsage)
	// The named bits count from the most significant one, and trailing zeros
	// are left out (X.690 section 11.2.2).
	reversed := bits.Reverse16(usage)
	value := asn1.BitString{Bytes: []byte{byte(reversed >> 8), byte(reversed)}, BitLength: 16 - bits.TrailingZeros16(reversed)}
	value.Bytes = value.Bytes[:(value.BitLength+7)/8]
	extensions := make([]pkix.Extension, 0, 3)
	add := func(id asn1.ObjectIdentifier, critical bool, value any) error {
		der, err := asn1.Marshal(value)
		if err != nil {
			return fmt.Errorf("certificate request: %w: %v", trustkeep.ErrUnsupported, err)
		}
		extensions = append(extensions, pkix.Extension{Id: id, Critical: critical, Value: der})
		return nil
	}
	if err := add(oidKeyUsage, true, value); err != nil {
		return nil, err
	}
	if o.Purposes == ForCA {
		return extensions, add(oidBasicConstraints, true, struct{ CA bool }{true})
	}
	var ids []asn1.ObjectIdentifier
	for _, known := range oidsOfPurposes {
		if o.Purposes&known.purpose != 0 {
			ids = append(ids, known.oid)
		}
	}
	err := add(oidExtKeyUsage, false, ids)
	return extensions, err
}
