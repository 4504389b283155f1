package issue

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// maxRequest bounds a certificate request, which comes from a stranger.
const maxRequest = 256 << 10

// Sign answers a certificate request for a CA. The request is PKCS#10 in DER, or in PEM as
// openssl and keytool write it. The reply is the new certificate followed by the CA's chain,
// in PEM, as Install, keytool -importcert and openssl take it.
//
// The signature of the request proves that the requester has the key. Sign grants the names
// and purposes of the request unless the options have their own: look at a request from
// outside (x509.ParseCertificateRequest) before signing it. A request never makes itself a CA;
// that takes ForCA in the options. Key usages and all other requested extensions are ignored.
//
// Errors: ErrCorrupt for a request that is malformed, is not signed by its own key, or asks
// for malformed names or a server without a host; ErrEmpty for one without a name;
// ErrUnsupported for a weak or unknown key, or the CA's own name; ErrLimit above 256 KiB;
// ErrInvalid for wrong options, among them Key and Issuer, and for a CA that may not sign such
// a certificate; ErrExpired if the CA is outside its validity; those of the CA.
func Sign(ca trustkeep.Identity, request []byte, o Options) ([]byte, error) {
	const op = "issue: sign"
	by, err := authorityOf(ca)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	cert, err := o.answer(by, request)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	var reply bytes.Buffer
	for _, der := range append([][]byte{cert.Raw}, by.raw...) {
		// A bytes.Buffer takes everything.
		_ = pem.Encode(&reply, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return reply.Bytes(), nil
}

func (o Options) answer(by *authority, request []byte) (*x509.Certificate, error) {
	if o.Key != 0 || o.Issuer != nil {
		return nil, fmt.Errorf("key and issuer are given by the request and the CA: %w", trustkeep.ErrInvalid)
	}
	asked, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	if err := checkPublicKey(asked.PublicKey); err != nil {
		return nil, err
	}
	// Who chose the names is to blame for them, and so for the purposes.
	badNames, badSubject := trustkeep.ErrInvalid, trustkeep.ErrInvalid
	if o.unnamed() {
		badNames, badSubject = trustkeep.ErrCorrupt, trustkeep.ErrUnsupported
		o.Subject = subjectOf(asked.Subject)
		o.DNSNames, o.IPAddresses, o.EmailAddresses, o.URIs = asked.DNSNames, asked.IPAddresses, asked.EmailAddresses, asked.URIs
		if o.unnamed() {
			return nil, fmt.Errorf("the request has neither a subject nor an alternative name: %w", trustkeep.ErrEmpty)
		}
	}
	if o.Purposes == 0 {
		o.Purposes = requestedPurposes(asked)
		if o.lacksHost() {
			return nil, fmt.Errorf("the request is that of a server without a DNS name or IP address: %w", badNames)
		}
	}
	o = o.withDefaults()
	if err := o.checkScope().as(trustkeep.ErrInvalid); err != nil {
		return nil, err
	}
	if err := o.checkNames().as(badNames); err != nil {
		return nil, err
	}
	return o.sign(asked.PublicKey, nil, by, badSubject)
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	if len(data) > maxRequest {
		return nil, fmt.Errorf("certificate request of %d bytes: %w", len(data), trustkeep.ErrLimit)
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		// keytool calls it NEW.
		if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
			data = block.Bytes
			break
		}
	}
	asked, err := x509.ParseCertificateRequest(data)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w: %v", trustkeep.ErrCorrupt, errtext.Of(err))
	}
	if err := limits.PublicKey(asked.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := asked.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request not signed by its own key: %w: %v", trustkeep.ErrCorrupt, err)
	}
	return asked, nil
}

// checkPublicKey refuses keys that a careful CA does not certify.
func checkPublicKey(public any) error {
	if k, ok := public.(*rsa.PublicKey); ok {
		if bits := k.N.BitLen(); bits < 2048 || k.E < 65537 {
			return fmt.Errorf("RSA key of %d bits with exponent %d: %w", bits, k.E, trustkeep.ErrUnsupported)
		}
		return nil
	}
	if _, ok := certgen.TypeOf(public); !ok {
		return fmt.Errorf("public key of type %T: %w", public, trustkeep.ErrUnsupported)
	}
	return nil
}

// requestedPurposes reads the extended key usages that a request asks for, as
// far as they are purposes; zero without any.
func requestedPurposes(asked *x509.CertificateRequest) (p Purposes) {
	for _, extension := range asked.Extensions {
		if !extension.Id.Equal(oidExtKeyUsage) {
			continue
		}
		var ids []asn1.ObjectIdentifier
		if rest, err := asn1.Unmarshal(extension.Value, &ids); err != nil || len(rest) > 0 {
			return 0
		}
		for _, id := range ids {
			for _, known := range oidsOfPurposes {
				if id.Equal(known.oid) {
					p |= known.purpose
				}
			}
		}
	}
	return p
}
