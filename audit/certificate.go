package audit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
)

// certificates audits loose certificates.
func (a *auditor) certificates(t Target) {
	for _, c := range t.Certificates {
		if c == nil {
			a.add(t, trustkeep.Finding{Code: NothingToAudit, Severity: trustkeep.Critical, Text: "a certificate is nil", Remedy: "check the error of the parser that it came from"})
			continue
		}
		a.strength(t, "", c)
		a.roles(t, "", c)
	}
}

// strength looks at the key and the signature of a certificate.
func (a *auditor) strength(t Target, alias string, c *x509.Certificate) {
	if why := weakKey(c); why != "" {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(c), Code: WeakKey, Severity: trustkeep.Critical,
			Text: name(c) + " has " + why, Remedy: "replace the key with EC P-256 or RSA 3072"})
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		severity := trustkeep.Critical
		if selfIssued(c) {
			severity = trustkeep.Note
		}
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(c), Code: WeakSignature, Severity: severity,
			Text: fmt.Sprintf("%s is signed with %s", name(c), c.SignatureAlgorithm), Remedy: "have it issued again with SHA-256"})
	}
}

// selfIssued goes by names, since the signature may be one that crypto/x509 no
// longer checks.
func selfIssued(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

// weakKey says what is wrong with a certificate's key, "" for nothing. The bounds are
// those of NIST SP 800-57 for 112 bits of security.
func weakKey(c *x509.Certificate) string {
	if c.PublicKeyAlgorithm == x509.DSA {
		return "a DSA key, which TLS 1.3 and crypto/x509 no longer take"
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return fmt.Sprintf("an RSA key of %d bits", k.N.BitLen())
		}
		if k.E < 65537 {
			return fmt.Sprintf("an RSA key with exponent %d", k.E)
		}
	case *ecdsa.PublicKey:
		if k.Params().BitSize < 256 {
			return "an EC key on " + k.Params().Name
		}
	case ed25519.PublicKey:
	default:
		return "a key of a type that crypto/x509 does not know"
	}
	return ""
}

// roles looks for what a certificate lacks for the roles of its target.
func (a *auditor) roles(t Target, alias string, c *x509.Certificate) {
	var lacks []string
	for _, role := range []struct {
		purpose  issue.Purposes
		extended x509.ExtKeyUsage
		name     string
	}{
		{issue.ForServer, x509.ExtKeyUsageServerAuth, "serverAuth"},
		{issue.ForClient, x509.ExtKeyUsageClientAuth, "clientAuth"},
		{issue.ForEmail, x509.ExtKeyUsageEmailProtection, "emailProtection"},
	} {
		// RFC 5280 section 4.2.1.12: without the extension, any use.
		restricted := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
		if t.Roles&role.purpose != 0 && restricted && !slices.Contains(c.ExtKeyUsage, role.extended) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
			lacks = append(lacks, "extended key usage "+role.name)
		}
	}
	if missing := wantedUsage(t, c) &^ c.KeyUsage; missing != 0 && c.KeyUsage != 0 {
		lacks = append(lacks, "key usage "+usageNames(missing))
	}
	if t.Roles&issue.ForCA != 0 && !(c.BasicConstraintsValid && c.IsCA) {
		lacks = append(lacks, "basic constraint CA:true")
	}
	if lacks != nil {
		role := "" // Target.KeyUsage alone asks for it
		if t.Roles != 0 {
			role = " for its role of " + t.Roles.String()
		}
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(c), Code: WrongUsage, Severity: trustkeep.Critical,
			Text: fmt.Sprintf("%s lacks %s%s", name(c), strings.Join(lacks, ", "), role), Remedy: "request a certificate for that purpose"})
	}
	if t.Roles&issue.ForServer != 0 && len(c.DNSNames)+len(c.IPAddresses) == 0 {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(c), Code: NoHostName, Severity: trustkeep.Critical,
			Text: name(c) + " has no DNS name or IP address; clients do not look at the common name", Remedy: "request a certificate with the host name as subject alternative name"})
	}
	if t.Roles&(issue.ForServer|issue.ForClient) != 0 && c.BasicConstraintsValid && c.IsCA {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(c), Code: CAInRole, Severity: trustkeep.Warning,
			Text: name(c) + " is a CA: who trusts it trusts whatever its key signs", Remedy: "use a certificate that is none"})
	}
}

// wantedUsage is what the roles ask of the key usage extension.
func wantedUsage(t Target, c *x509.Certificate) x509.KeyUsage {
	usage := t.KeyUsage
	if t.Roles&(issue.ForServer|issue.ForClient|issue.ForEmail) != 0 {
		usage |= x509.KeyUsageDigitalSignature
	}
	if _, ok := c.PublicKey.(*rsa.PublicKey); ok && t.Roles&issue.ForEmail != 0 {
		usage |= x509.KeyUsageKeyEncipherment
	}
	if t.Roles&issue.ForCA != 0 {
		usage |= x509.KeyUsageCertSign
	}
	return usage
}

func usageNames(usage x509.KeyUsage) string {
	var names []string
	// RFC 5280 section 4.2.1.3.
	for i, name := range []string{"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"} {
		if usage&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " and ")
}

// keyID is how KnownKeys and the table of the package name a public key.
func keyID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
