package truststore

import (
	"crypto/x509"

	"github.com/trustkeep/trustkeep"
)

// criticalReasons explains critical extensions of an authority, sent or in the store, that
// crypto/x509 does not understand. Name constraints are among them where they are about other
// kinds of names than hosts, addresses and URIs.
func criticalReasons(c *x509.Certificate, where string) []Reason {
	if len(c.UnhandledCriticalExtensions) == 0 {
		return nil
	}
	const remedy = "the peer needs a certificate from another authority, or that of this one must be issued anew without it"
	if id := c.UnhandledCriticalExtensions[0]; !id.Equal(oidNameConstraints) {
		return []Reason{{
			CodeCriticalExtension,
			"the authority " + quoteSubject(c) + " " + where + " has a critical extension that is not understood (" + trustkeep.Printable(id.String()) + ")",
			remedy,
		}}
	}
	return []Reason{{
		CodeNameConstraint,
		"the authority " + quoteSubject(c) + " " + where + " has critical constraints on a kind of names that is not understood, such as otherName",
		remedy,
	}}
}
