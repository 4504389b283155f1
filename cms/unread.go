package cms

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// unread is a certificate of a message that crypto/x509 refuses, and why.
type unread struct {
	der []byte
	err error
}

// unreadable explains why a certificate cannot be used: by the name of its kind of key, such
// as a brainpool curve, where that is the reason.
func unreadable(der []byte, err error) error {
	o, ok := entry.NewCertificate(der).Outline()
	if !ok {
		return corrupt("no certificate in DER")
	}
	text := trustkeep.Printable(err.Error())
	if name, err := pkcs8.DescribePublic(o.PublicKey); err == nil {
		return unsupported("certificate with a key of the kind " + trustkeep.Printable(name) + ", which crypto/x509 does not read (" + text + ")")
	}
	return unsupported("certificate that crypto/x509 does not read (" + text + ")")
}

// refersTo reports whether it may be the certificate that a message means.
func (u unread) refersTo(to ref) bool {
	if to.keyID != nil {
		// As the subject key identifier has it (RFC 5280 section 4.2.1.2).
		return bytes.Contains(u.der, berio.TLV(berio.OctetString, to.keyID))
	}
	o, ok := entry.NewCertificate(u.der).Outline()
	return ok && bytes.Equal(o.Issuer, to.issuer) && bytes.Equal(o.Serial, to.serial)
}

// isFor reports whether it is the certificate of that subject, in DER.
func (u unread) isFor(subject []byte) bool {
	o, ok := entry.NewCertificate(u.der).Outline()
	return ok && bytes.Equal(o.Subject, subject)
}

// keyName names the kind of key of a certificate.
func keyName(c *x509.Certificate) string {
	if c.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		return c.PublicKeyAlgorithm.String()
	}
	if name, err := pkcs8.DescribePublic(c.RawSubjectPublicKeyInfo); err == nil {
		return trustkeep.Printable(name)
	}
	return fmt.Sprintf("%T", c.PublicKey)
}
