package truststore

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// The codes of a Policy's rules. All refuse what crypto/x509 accepts. Those of Policy.Refuse
// are listed by Restrictions.
const (
	CodeWeakKey    trustkeep.Code = "weak-key"   // Policy.MinRSABits
	CodeKeyType    trustkeep.Code = "key-type"   // Policy.KeyTypes
	CodeDistrusted trustkeep.Code = "distrusted" // Policy.DistrustAfter

	// Keys and authorities.
	CodeOddKey                trustkeep.Code = "odd-key"                // an RSA modulus whose bits are no multiple of 8 (BR 6.1.5)
	CodePeerIsAuthority       trustkeep.Code = "peer-is-authority"      // the peer's certificate has CA:true (BR 7.1.2.7.8)
	CodePeerMaySign           trustkeep.Code = "peer-may-sign"          // keyCertSign without CA:true (RFC 5280 section 4.2.1.9)
	CodeInconsistentAuthority trustkeep.Code = "inconsistent-authority" // CA:true, and a key usage without keyCertSign (section 4.2.1.3)
	CodeBasicConstraints      trustkeep.Code = "basic-constraints"      // an authority's are missing or not critical (section 4.2.1.9)
	CodeAuthorityUnnamed      trustkeep.Code = "authority-unnamed"      // an authority with an empty subject (section 4.1.2.6)

	// Extended key usages.
	CodeNoUsage        trustkeep.Code = "no-usage"        // the peer's certificate has none (BR 7.1.2.7.6)
	CodeUnlimitedUsage trustkeep.Code = "unlimited-usage" // the peer's includes anyExtendedKeyUsage (BR 7.1.2.7.10)
	CodeEmptyUsage     trustkeep.Code = "empty-usage"     // an extension without usages (section 4.2.1.12)
	CodeCriticalUsage  trustkeep.Code = "critical-usage"  // the peer's extension is critical (BR 7.1.2.7.6)
	CodeRootUsage      trustkeep.Code = "root-usage"      // a root has the extension (BR 7.1.2.1.2)

	// Constraints.
	CodeConstraintsNotCritical trustkeep.Code = "constraints-not-critical" // name constraints that are not critical (section 4.2.1.10)
	CodeConstraintSyntax       trustkeep.Code = "constraint-syntax"        // a DNS name constraint with a leading period (section 4.2.1.10)
	CodePeerConstrains         trustkeep.Code = "peer-constrains"          // name constraints in a certificate of no authority (section 4.2.1.10)
	CodePolicyNotCritical      trustkeep.Code = "policy-not-critical"      // policy constraints that are not critical (section 4.2.1.11)
	CodeEmailConstraint        trustkeep.Code = "email-constraint"         // an e-mail constraint on a host admits no subdomain (section 4.2.1.10; CVE-2026-78664)
	CodeURIConstraint          trustkeep.Code = "uri-constraint"           // nor does a URI constraint on a host (section 4.2.1.10; CVE-2026-78665)

	// Serial numbers and names.
	CodeZeroSerial          trustkeep.Code = "zero-serial"            // not positive (section 4.1.2.2)
	CodeLongSerial          trustkeep.Code = "long-serial"            // of more than 20 octets (section 4.1.2.2)
	CodeAltNamesNotCritical trustkeep.Code = "alt-names-not-critical" // alternative names must be critical with an empty subject (section 4.2.1.6)
	CodeAltNamesCritical    trustkeep.Code = "alt-names-critical"     // and must not with another (BR 7.1.2.7.12)
	CodeDNSName             trustkeep.Code = "dns-name"               // a DNS name with an underscore or other characters (section 4.2.1.6)
	CodeAnchorNotRoot       trustkeep.Code = "anchor-not-self-signed" // the chain ends in a certificate that is not self-signed; intermediates of the store complete chains and anchor none
)

// Restrictions returns the codes that Policy.Refuse can have, in the order in which they are
// applied.
func Restrictions() []trustkeep.Code {
	var out []trustkeep.Code
	for _, r := range restrictions {
		out = append(out, r.code)
	}
	return out
}

// restriction is a rule of Policy.Refuse.
type restriction struct {
	code trustkeep.Code
	text string // what the certificate does wrong
	// broken returns the place in the chain of the certificate that breaks the rule; -1
	// for none.
	broken func(chain []*x509.Certificate) int
}

// restrictions does not change.
var restrictions = []restriction{
	{CodeOddKey, "has an RSA key whose size in bits is no multiple of 8", all(func(c *x509.Certificate) bool {
		bits, ok := rsaBits(c)
		return ok && bits%8 != 0
	})},
	{CodePeerIsAuthority, "is the certificate of an authority", peer(func(c *x509.Certificate) bool { return c.BasicConstraintsValid && c.IsCA })},
	{CodePeerMaySign, "may sign certificates and is no authority", peer(func(c *x509.Certificate) bool {
		return c.KeyUsage&x509.KeyUsageCertSign != 0 && !(c.BasicConstraintsValid && c.IsCA)
	})},
	{CodeInconsistentAuthority, "says that it is an authority and not that it may sign certificates, or the reverse", issuers(func(c *x509.Certificate) bool {
		// crypto/x509 takes a key usage without any bit for none.
		_, said := extension(c, oidKeyUsage)
		return said && (c.KeyUsage&x509.KeyUsageCertSign != 0) != (c.BasicConstraintsValid && c.IsCA)
	})},
	{CodeBasicConstraints, "has no critical basic constraints", issuers(func(c *x509.Certificate) bool {
		e, ok := extension(c, oidBasicConstraints)
		return !ok || !e.Critical
	})},
	{CodeAuthorityUnnamed, "has an empty subject", issuers(emptySubject)},

	{CodeNoUsage, "has no extended key usage", peer(func(c *x509.Certificate) bool { _, ok := extension(c, oidExtKeyUsage); return !ok })},
	{CodeUnlimitedUsage, "is for any usage", peer(func(c *x509.Certificate) bool { return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) })},
	{CodeEmptyUsage, "has an extended key usage that lists none", all(func(c *x509.Certificate) bool {
		_, ok := extension(c, oidExtKeyUsage)
		return ok && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0
	})},
	{CodeCriticalUsage, "has a critical extended key usage", peer(critical(oidExtKeyUsage))},
	{CodeRootUsage, "is a root with an extended key usage", issuers(func(c *x509.Certificate) bool {
		_, ok := extension(c, oidExtKeyUsage)
		return ok && selfIssued(c)
	})},

	{CodeConstraintsNotCritical, "has name constraints that are not critical", issuers(uncritical(oidNameConstraints))},
	{CodeConstraintSyntax, "has a DNS name constraint that begins with a period", issuers(func(c *x509.Certificate) bool {
		dotted := func(s string) bool { return strings.HasPrefix(s, ".") }
		return slices.ContainsFunc(c.PermittedDNSDomains, dotted) || slices.ContainsFunc(c.ExcludedDNSDomains, dotted)
	})},
	{CodePeerConstrains, "is no authority and has name constraints", peer(func(c *x509.Certificate) bool {
		_, ok := extension(c, oidNameConstraints)
		return ok && !(c.BasicConstraintsValid && c.IsCA)
	})},
	{CodePolicyNotCritical, "has policy constraints that are not critical", issuers(uncritical(oidPolicyConstraints))},
	{CodeEmailConstraint, "has an e-mail address that an authority in its chain must not issue for", func(chain []*x509.Certificate) int {
		return constrained(chain, emailDomains, func(c *x509.Certificate) ([]string, bool) { return c.EmailAddresses, true })
	}},
	{CodeURIConstraint, "has a URI that an authority in its chain must not issue for", func(chain []*x509.Certificate) int {
		return constrained(chain, uriDomains, uriHosts)
	}},

	{CodeZeroSerial, "has a serial number that is not positive", numbered(func(c *x509.Certificate) bool { return c.SerialNumber.Sign() <= 0 })},
	// A sign octet comes before the first of 20 octets whose highest bit is set.
	{CodeLongSerial, "has a serial number of more than 20 octets", numbered(func(c *x509.Certificate) bool { return c.SerialNumber.BitLen() >= 20*8 })},
	{CodeAltNamesNotCritical, "has an empty subject and alternative names that are not critical", peer(func(c *x509.Certificate) bool {
		return emptySubject(c) && uncritical(oidSubjectAltName)(c)
	})},
	{CodeAltNamesCritical, "has a subject and critical alternative names", peer(func(c *x509.Certificate) bool {
		return !emptySubject(c) && critical(oidSubjectAltName)(c)
	})},
	{CodeDNSName, "has a DNS name of other characters than letters, digits and hyphens", peer(func(c *x509.Certificate) bool {
		return slices.ContainsFunc(c.DNSNames, func(s string) bool { return !preferredName(s) })
	})},
	{CodeAnchorNotRoot, "is in the store and is not self-signed", func(chain []*x509.Certificate) int {
		if last := len(chain) - 1; !selfSigned(chain[last]) {
			return last
		}
		return -1
	}},
}

var (
	oidKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints  = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints   = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidPolicyConstraints = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidExtKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func extension(c *x509.Certificate, id asn1.ObjectIdentifier) (pkix.Extension, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e, true
		}
	}
	return pkix.Extension{}, false
}

func critical(id asn1.ObjectIdentifier) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { e, ok := extension(c, id); return ok && e.Critical }
}

func uncritical(id asn1.ObjectIdentifier) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { e, ok := extension(c, id); return ok && !e.Critical }
}

func emptySubject(c *x509.Certificate) bool { return len(c.RawSubject) <= 2 } // of an empty SEQUENCE

// peer applies a rule to the peer's certificate.
func peer(broken func(*x509.Certificate) bool) func([]*x509.Certificate) int {
	return func(chain []*x509.Certificate) int { return place(chain[:1], 0, broken) }
}

// issuers applies a rule to the certificates above the peer's.
func issuers(broken func(*x509.Certificate) bool) func([]*x509.Certificate) int {
	return func(chain []*x509.Certificate) int { return place(chain[1:], 1, broken) }
}

func all(broken func(*x509.Certificate) bool) func([]*x509.Certificate) int {
	return func(chain []*x509.Certificate) int { return place(chain, 0, broken) }
}

// numbered applies a rule to all but roots above the peer, which identify nothing by their serial
// number: some that browsers trust have 0.
func numbered(broken func(*x509.Certificate) bool) func([]*x509.Certificate) int {
	return func(chain []*x509.Certificate) int {
		if last := len(chain) - 1; last > 0 && selfIssued(chain[last]) {
			chain = chain[:last]
		}
		return place(chain, 0, broken)
	}
}

func place(certs []*x509.Certificate, offset int, broken func(*x509.Certificate) bool) int {
	if i := slices.IndexFunc(certs, broken); i >= 0 {
		return i + offset
	}
	return -1
}

// preferredName reports whether a DNS name is in the syntax of RFC 1034 section 3.5, digits at the
// start and a wildcard for the first label allowed.
func preferredName(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i] | 0x20; !('a' <= c && c <= 'z' || '0' <= label[i] && label[i] <= '9' || label[i] == '-') {
				return false
			}
		}
	}
	return len(name) <= 253
}
