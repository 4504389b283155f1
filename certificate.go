package trustkeep

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strconv"
	"time"
)

// Certificate describes an X.509 certificate for people, in lists, explanations and
// JSON. Its texts are escaped, bounded in length and safe to log.
type Certificate struct {
	Subject      string    `json:"subject"` // RFC 4514; empty if empty or malformed
	Issuer       string    `json:"issuer"`  // likewise
	Serial       string    `json:"serial"`  // hex
	SHA256       string    `json:"sha256"`  // of the DER, lower-case hex
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	KeyAlgorithm string    `json:"keyAlgorithm,omitempty"` // "RSA 2048", "EC P-256", "Ed25519"
	// Names are subject alternative names: DNS names, IP addresses, e-mail addresses
	// and URIs.
	Names []string `json:"names,omitempty"`
	// Usable reports whether crypto/x509 understands the certificate.
	Usable bool `json:"usable"`
}

// DescribeCertificate describes a parsed certificate. For nil it returns the zero Certificate.
func DescribeCertificate(c *x509.Certificate) Certificate {
	if c == nil {
		return Certificate{}
	}
	sum := sha256.Sum256(c.Raw)
	d := Certificate{
		Subject: printableName(c.RawSubject, c.Subject), Issuer: printableName(c.RawIssuer, c.Issuer),
		SHA256: hex.EncodeToString(sum[:]), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		KeyAlgorithm: keyAlgorithm(c), Usable: true,
	}
	if c.SerialNumber != nil {
		d.Serial = printableSerial(c.SerialNumber)
	}
	for _, name := range c.DNSNames {
		d.Names = append(d.Names, Printable(name))
	}
	for _, ip := range c.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	for _, address := range c.EmailAddresses {
		d.Names = append(d.Names, Printable(address))
	}
	for _, u := range c.URIs {
		d.Names = append(d.Names, Printable(u.String()))
	}
	return d
}

// String returns the subject, else the first alternative name, else the serial number.
func (c Certificate) String() string {
	switch {
	case c.Subject != "":
		return c.Subject
	case len(c.Names) > 0:
		return c.Names[0]
	case c.Serial != "":
		return "serial " + c.Serial
	}
	return ""
}

// printableSerial prints a serial number in hex, of one that is too long its beginning.
func printableSerial(n *big.Int) string {
	if over := (n.BitLen()+3)/4 - maxPrintable; over > 0 {
		return new(big.Int).Rsh(n, 4*uint(over)).Text(16) + "…"
	}
	return Printable(n.Text(16))
}

func keyAlgorithm(c *x509.Certificate) string {
	switch public := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(public.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + public.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	if c.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		return c.PublicKeyAlgorithm.String()
	}
	return ""
}
