package cms

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/x509"

	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// namesCertificate checks that the signed attributes of a time stamp name the certificate of
// its authority, by ESSCertID (RFC 2634 section 5.4.1) or ESSCertIDv2 (RFC 5035 section 4): the
// first that is listed is the signer's. Where both are there, both must.
func (t *token) namesCertificate(c *x509.Certificate) error {
	named := false
	for _, id := range []oid{oidSigningCertificate, oidSigningCertificateV2} {
		a, err := t.info.signed.find(id)
		if err != nil {
			return err
		}
		if a.values == nil {
			continue
		}
		if len(a.values) != 1 {
			return corrupt("signing certificate attribute of other than one value")
		}
		if err := checkCertID(a.values[0], id == oidSigningCertificateV2, c); err != nil {
			return err
		}
		named = true
	}
	if !named {
		return corrupt("time stamp whose signed attributes do not name the certificate of its authority")
	}
	return nil
}

// errOtherCertificate says that the signed attributes are not about the certificate at hand.
var errOtherCertificate = corrupt("signed attributes name another certificate")

// denies returns an error if the signed attributes name another certificate than c as the
// signer's. Without it, anybody could put another certificate for the same key in its place,
// since the reference to the certificate is not signed. What cannot be read names none.
func (a *signedAttributes) denies(c *x509.Certificate) error {
	for _, id := range []oid{oidSigningCertificate, oidSigningCertificateV2} {
		found, err := a.find(id)
		if err != nil {
			return err
		}
		if len(found.values) == 0 {
			continue
		}
		if err := checkCertID(found.values[0], id == oidSigningCertificateV2, c); err == errOtherCertificate {
			return err
		}
	}
	return nil
}

// checkCertID compares the first certificate identifier of a SigningCertificate or
// SigningCertificateV2 with a certificate.
func checkCertID(der []byte, v2 bool, c *x509.Certificate) error {
	in := ber.New(der, ber.Rules{MaxDepth: 16})
	for range 3 { // SigningCertificate, its list, the first element
		e, err := in.Read(ber.Sequence)
		if err != nil {
			return err
		}
		if in, err = e.Children(); err != nil {
			return err
		}
	}
	h := hashByHash(crypto.SHA1)
	if v2 {
		h = hashByHash(crypto.SHA256)
		if in.Peek(ber.Sequence) {
			var err error
			if h, err = readHash(&in); err != nil {
				return err
			}
		}
	}
	want, err := readOctets(&in)
	if err != nil {
		return err
	}
	if err := fips.Hash(h.hash); err != nil {
		return err
	}
	d := h.hash.New()
	d.Write(c.Raw)
	if !hmac.Equal(d.Sum(nil), want) {
		return errOtherCertificate
	}
	// What follows may contradict the hash.
	other := corrupt("signed attributes name another certificate, by issuer or serial number")
	if in.Empty() {
		return nil
	}
	issuerSerial, err := in.Read(ber.Sequence)
	if err != nil {
		return err
	}
	if err := in.End(); err != nil {
		return err
	}
	fields, err := issuerSerial.Children()
	if err != nil {
		return err
	}
	names, err := fields.Read(ber.Sequence)
	if err != nil {
		return err
	}
	serial, err := readNumber(&fields)
	if err != nil {
		return err
	}
	if serial.Cmp(c.SerialNumber) != 0 {
		return other
	}
	list, err := names.Children()
	for err == nil && !list.Empty() {
		var name ber.Element
		if name, err = list.Next(); err == nil && name.Tag == ber.Context(4) && bytes.Equal(name.Content, c.RawIssuer) {
			return fields.End()
		}
	}
	if err != nil {
		return err
	}
	return other
}
