package certinfo

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

var usageNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny:             "any",
	x509.ExtKeyUsageServerAuth:      "serverAuth",
	x509.ExtKeyUsageClientAuth:      "clientAuth",
	x509.ExtKeyUsageCodeSigning:     "codeSigning",
	x509.ExtKeyUsageEmailProtection: "emailProtection",
	x509.ExtKeyUsageTimeStamping:    "timeStamping",
	x509.ExtKeyUsageOCSPSigning:     "OCSPSigning",
}

// UsageName returns the name that RFC 5280 section 4.2.1.12 has for an extended key usage.
func UsageName(u x509.ExtKeyUsage) string {
	if n, ok := usageNames[u]; ok {
		return n
	}
	return fmt.Sprintf("usage %d", u)
}

// Usages lists the extended key usages of a certificate by name, else by object
// identifier; at most five.
func Usages(c *x509.Certificate) (names []string) {
	for _, u := range first(c.ExtKeyUsage) {
		names = append(names, UsageName(u))
	}
	for _, oid := range c.UnknownExtKeyUsage[:min(len(c.UnknownExtKeyUsage), maxNames-len(names))] {
		names = append(names, OID(oid))
	}
	return names
}

// OID prints the first arcs of an object identifier, which can have any number.
func OID(oid asn1.ObjectIdentifier) string {
	const most = 40
	if len(oid) > most {
		return oid[:most].String() + "…"
	}
	return oid.String()
}
