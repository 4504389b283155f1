package keystore

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"net/netip"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/pkcs8"
)

// CertificateInfo describes a certificate for people. Its texts are safe to log.
type CertificateInfo struct {
	Subject, Issuer string // RFC 2253; empty if empty or malformed
	Serial          string // hex
	NotBefore       time.Time
	NotAfter        time.Time
	SHA256          string // of the DER, lower-case hex
	KeyAlgorithm    string // "RSA 2048", "EC brainpoolP256r1", "Ed448"
	// Names are the subject alternative names: DNS names, IP addresses, e-mail
	// addresses, URIs.
	Names []string
	// Usable tells that crypto/x509 understands the certificate.
	Usable bool
}

// DescribeCertificate describes a certificate in DER, also one that crypto/x509
// does not parse, for a curve or a serial number that it refuses for instance: see
// Entry.RawChain. What cannot be read is left empty; the fingerprint never is.
func DescribeCertificate(der []byte) CertificateInfo {
	sum := sha256.Sum256(der)
	info := CertificateInfo{SHA256: hex.EncodeToString(sum[:])}
	if c, err := x509.ParseCertificate(der); err == nil {
		info.fill(c)
	} else {
		info.fillLeniently(der)
	}
	return info
}

func (i *CertificateInfo) fill(c *x509.Certificate) {
	i.Usable = true
	i.Subject, i.Issuer = trustkeep.Printable(c.Subject.String()), trustkeep.Printable(c.Issuer.String())
	i.Serial = c.SerialNumber.Text(16)
	i.NotBefore, i.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
	if i.KeyAlgorithm = algorithmOf(c); c.PublicKey == nil {
		i.KeyAlgorithm, _ = pkcs8.DescribePublic(c.RawSubjectPublicKeyInfo)
	}
	for _, n := range c.DNSNames {
		i.addName(n)
	}
	for _, ip := range c.IPAddresses {
		i.addName(ip.String())
	}
	for _, n := range c.EmailAddresses {
		i.addName(n)
	}
	for _, u := range c.URIs {
		i.addName(u.String())
	}
}

func (i *CertificateInfo) addName(name string) { i.Names = append(i.Names, trustkeep.Printable(name)) }

// fillLeniently reads the fields of RFC 5280 section 4.1 without asking whether
// they make sense.
func (i *CertificateInfo) fillLeniently(der []byte) {
	var c struct {
		TBS struct {
			Version   int `asn1:"optional,explicit,default:0,tag:0"`
			Serial    *big.Int
			Algorithm pkix.AlgorithmIdentifier
			Issuer    asn1.RawValue
			Validity  struct{ NotBefore, NotAfter time.Time }
			Subject   asn1.RawValue
			Key       asn1.RawValue
			IssuerID  asn1.BitString   `asn1:"optional,tag:1"`
			SubjectID asn1.BitString   `asn1:"optional,tag:2"`
			Ext       []pkix.Extension `asn1:"optional,explicit,tag:3"`
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return
	}
	i.Subject, i.Issuer = nameText(c.TBS.Subject.FullBytes), nameText(c.TBS.Issuer.FullBytes)
	i.Serial = c.TBS.Serial.Text(16)
	i.NotBefore, i.NotAfter = c.TBS.Validity.NotBefore.UTC(), c.TBS.Validity.NotAfter.UTC()
	i.KeyAlgorithm, _ = pkcs8.DescribePublic(c.TBS.Key.FullBytes)
	for _, e := range c.TBS.Ext {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			i.addGeneralNames(e.Value)
		}
	}
}

func nameText(der []byte) string {
	var rdn pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &rdn); err != nil {
		return ""
	}
	return trustkeep.Printable(rdn.String())
}

// addGeneralNames reads the names of RFC 5280 section 4.2.1.6 that are texts or
// addresses.
func (i *CertificateInfo) addGeneralNames(der []byte) {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return
	}
	for rest := outer.Bytes; len(rest) > 0; {
		var n asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &n); err != nil {
			return
		}
		switch n.Tag {
		case 1, 2, 6: // rfc822Name, dNSName, uniformResourceIdentifier
			i.addName(string(n.Bytes))
		case 7: // iPAddress
			if ip, ok := netip.AddrFromSlice(n.Bytes); ok {
				i.addName(ip.String())
			}
		}
	}
}
