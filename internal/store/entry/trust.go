package entry

import "encoding/asn1"

// TrustSettings are the extended key usages for which a file trusts a certificate, as OpenSSL's
// TRUSTED CERTIFICATE has them.
type TrustSettings struct {
	// Allow lists the usages if Limited; else all are allowed.
	Limited bool
	Allow   []asn1.ObjectIdentifier
	// Deny lists usages that are rejected, allowed or not.
	Deny []asn1.ObjectIdentifier
}

// OIDAnyUsage in Allow or Deny stands for all usages (RFC 5280 section 4.2.1.12).
var OIDAnyUsage = asn1.ObjectIdentifier{2, 5, 29, 37, 0}

// Allows reports whether the certificate is trusted for a usage.
func (t *TrustSettings) Allows(usage asn1.ObjectIdentifier) bool {
	return t == nil || (!t.Limited || listed(t.Allow, usage)) && !listed(t.Deny, usage)
}

func listed(usages []asn1.ObjectIdentifier, usage asn1.ObjectIdentifier) bool {
	for _, u := range usages {
		if u.Equal(usage) || u.Equal(OIDAnyUsage) {
			return true
		}
	}
	return false
}
