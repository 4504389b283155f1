// Package certinfo describes certificates, including those that crypto/x509 refuses.
package certinfo

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
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// Describe describes a certificate in DER, including one that crypto/x509 refuses, for its
// curve or serial number for example. Unreadable fields are empty; the fingerprint never is.
func Describe(der []byte) trustkeep.Certificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		sum := sha256.Sum256(der)
		lenient := certificate{trustkeep.Certificate{SHA256: hex.EncodeToString(sum[:])}}
		lenient.fill(der)
		return lenient.Certificate
	}
	d := trustkeep.DescribeCertificate(c)
	if c.PublicKey == nil {
		d.KeyAlgorithm, _ = pkcs8.DescribePublic(c.RawSubjectPublicKeyInfo)
	}
	return d
}

type certificate struct{ trustkeep.Certificate }

func (i *certificate) addName(name string) { i.Names = append(i.Names, trustkeep.Printable(name)) }

// fill reads the fields of RFC 5280 section 4.1 without asking whether they make sense.
func (i *certificate) fill(der []byte) {
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
	i.Subject, i.Issuer = trustkeep.PrintableName(c.TBS.Subject.FullBytes), trustkeep.PrintableName(c.TBS.Issuer.FullBytes)
	i.Serial = c.TBS.Serial.Text(16)
	i.NotBefore, i.NotAfter = c.TBS.Validity.NotBefore.UTC(), c.TBS.Validity.NotAfter.UTC()
	i.KeyAlgorithm, _ = pkcs8.DescribePublic(c.TBS.Key.FullBytes)
	for _, e := range c.TBS.Ext {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			i.addGeneralNames(e.Value)
		}
	}
}

// addGeneralNames reads the names of RFC 5280 section 4.2.1.6 that are texts or
// addresses.
func (i *certificate) addGeneralNames(der []byte) {
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
