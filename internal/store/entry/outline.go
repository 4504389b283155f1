package entry

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Outline is the part of a certificate that chains are put together by, read
// without parsing the rest: it exists for certificates that crypto/x509
// refuses too. All slices are DER within the certificate.
type Outline struct {
	Serial    []byte // content octets of the INTEGER
	Issuer    []byte // Name
	Subject   []byte // Name
	PublicKey []byte // SubjectPublicKeyInfo
}

// Outline reads the fields of RFC 5280 section 4.1 up to the public key. ok is
// false when the certificate does not even have that shape.
func (c *Certificate) Outline() (o Outline, ok bool) {
	input := cryptobyte.String(c.Raw)
	var cert, tbs, serial, name cryptobyte.String
	if !input.ReadASN1(&cert, asn1.SEQUENCE) ||
		!cert.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(asn1.Tag(0).Constructed().ContextSpecific()) ||
		!tbs.ReadASN1(&serial, asn1.INTEGER) ||
		!tbs.SkipASN1(asn1.SEQUENCE) || // signature
		!tbs.ReadASN1Element(&name, asn1.SEQUENCE) {
		return o, false
	}
	o.Serial, o.Issuer = serial, name
	if !tbs.SkipASN1(asn1.SEQUENCE) || // validity
		!tbs.ReadASN1Element(&name, asn1.SEQUENCE) {
		return o, false
	}
	o.Subject = name
	if !tbs.ReadASN1Element(&name, asn1.SEQUENCE) {
		return o, false
	}
	o.PublicKey = name
	return o, true
}
