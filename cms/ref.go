package cms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// CertificateRef is how a message says whose key a recipient or signer has:
// by issuer and serial number, or by subject key identifier (RFC 5652 section
// 10.2.4 and 6.2.1). It is for errors and logs; its String is safe to print.
type CertificateRef struct {
	// Issuer is the distinguished name, printed by trustkeep.PrintableName; empty where
	// KeyID is set.
	Issuer string
	// Serial is the serial number; nil where KeyID is set.
	Serial *big.Int
	// KeyID is the subject key identifier; nil where Serial is set.
	KeyID []byte
}

// String returns `issuer "CN=…" serial 0a1b…` or `key ID 0a1b…`, numbers in
// hex.
func (r CertificateRef) String() string {
	if r.Serial == nil {
		return "key ID " + cutHex(r.KeyID)
	}
	sign := ""
	if r.Serial.Sign() < 0 {
		sign = "-"
	}
	return `issuer "` + trustkeep.Printable(r.Issuer) + `" serial ` + sign + cutHex(r.Serial.Bytes())
}

// cutHex bounds what a hostile identifier adds to an error.
func cutHex(b []byte) string {
	const most = 32
	if len(b) > most {
		return hex.EncodeToString(b[:most]) + "…"
	}
	if len(b) == 0 {
		return "00"
	}
	return hex.EncodeToString(b)
}

// refTo returns the reference to a certificate by issuer and serial number.
func refTo(c *x509.Certificate) CertificateRef {
	return CertificateRef{Issuer: nameText(c.RawIssuer), Serial: c.SerialNumber}
}

// ref is a CertificateRef as it stands in a message.
type ref struct {
	issuer []byte // DER
	serial []byte // content of an INTEGER
	keyID  []byte // set instead of the others
}

// newRef refers to a certificate.
func newRef(c *x509.Certificate, byKeyID bool) (ref, error) {
	if byKeyID {
		if len(c.SubjectKeyId) == 0 {
			return ref{}, unsupported("certificate " + quoted(c) + " has no subject key identifier")
		}
		return ref{keyID: c.SubjectKeyId}, nil
	}
	if c.SerialNumber == nil || len(c.RawIssuer) == 0 {
		return ref{}, invalid("certificate " + quoted(c) + " that was not parsed")
	}
	serial, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		return ref{}, err
	}
	in := ber.New(serial, ber.Rules{MaxDepth: 1})
	e, err := in.Next()
	return ref{issuer: c.RawIssuer, serial: e.Content}, err
}

// der encodes the reference; keyID gets the tag [0], as RecipientIdentifier and
// SignerIdentifier have it.
func (r ref) der() []byte {
	if r.keyID != nil {
		return berio.TLV(berio.Context(0), r.keyID)
	}
	return berio.TLV(berio.Sequence, r.issuer, berio.TLV(berio.Integer, r.serial))
}

// readRef reads a RecipientIdentifier or SignerIdentifier.
func readRef(in *ber.Input) (r ref, err error) {
	e, present, err := in.ReadOptional(ber.Context(0))
	if err != nil {
		return r, err
	}
	if present {
		r.keyID, err = e.Octets()
		if err == nil && len(r.keyID) == 0 {
			err = corrupt("empty key identifier")
		}
		return r, err
	}
	if e, err = in.Read(ber.Sequence); err != nil {
		return r, err
	}
	fields, err := e.Children()
	if err != nil {
		return r, err
	}
	name, err := fields.Read(ber.Sequence)
	if err != nil {
		return r, err
	}
	if r.issuer, err = name.DER(); err != nil {
		return r, err
	}
	serial, err := fields.Read(ber.Integer)
	if err != nil {
		return r, err
	}
	if len(serial.Content) == 0 || serial.Constructed {
		return r, corrupt("serial number")
	}
	r.serial = serial.Content
	return r, fields.End()
}

// matches reports whether the reference is to that certificate.
func (r ref) matches(c *x509.Certificate) bool {
	if r.keyID != nil {
		return bytes.Equal(r.keyID, c.SubjectKeyId)
	}
	if c.SerialNumber == nil || integer(r.serial).Cmp(c.SerialNumber) != 0 {
		return false
	}
	// Some products encode the name anew, with other string types. Whoever is
	// meant is then still clear, and what follows from it is checked with the
	// key of the certificate.
	return bytes.Equal(r.issuer, c.RawIssuer) || sameText(r.issuer, c.RawIssuer)
}

// sameText compares names as they print, which tells two of them apart unless they are longer
// than any that is meant to be read.
func sameText(a, b []byte) bool {
	text := trustkeep.PrintableName(a)
	return text != "" && !strings.HasSuffix(text, "…") && text == trustkeep.PrintableName(b)
}

// public returns what errors show.
func (r ref) public() CertificateRef {
	if r.keyID != nil {
		return CertificateRef{KeyID: bytes.Clone(r.keyID)}
	}
	return CertificateRef{Issuer: nameText(r.issuer), Serial: integer(r.serial)}
}

// integer decodes the content of an INTEGER (X.690 section 8.3).
func integer(content []byte) *big.Int {
	n := new(big.Int).SetBytes(content)
	if len(content) > 0 && content[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(content))))
	}
	return n
}

// nameText returns a distinguished name in text.
func nameText(der []byte) string {
	text := trustkeep.PrintableName(der)
	if text == "" && !bytes.Equal(der, []byte{0x30, 0}) {
		return "invalid name"
	}
	return text
}
