package truststore

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
)

// hasAddress reports whether the certificate names that e-mail address as a
// subject alternative name. The local part is compared as it is, the domain
// without regard to ASCII case (RFC 5280 section 7.5). An emailAddress in the
// subject does not count: name constraints of the authorities above would not
// apply to it.
func hasAddress(c *x509.Certificate, address string) bool {
	local, domain, ok := cutLast(address, "@")
	if !ok || local == "" || domain == "" {
		return false
	}
	for _, have := range c.EmailAddresses {
		l, d, ok := cutLast(have, "@")
		if ok && l == local && equalFoldASCII(d, domain) {
			return true
		}
	}
	return false
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func equalFoldASCII(a, b string) bool { return lowerASCII(a) == lowerASCII(b) }

// lowerASCII differs from strings.ToLower in leaving the Kelvin sign and its
// like alone.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// altNames lists the first names that the certificate has for the purpose, as many as texts
// show, and counts them all.
func altNames(c *x509.Certificate, p Purpose) (names []string, n int) {
	all := c.DNSNames
	if p == Email {
		all = c.EmailAddresses
	}
	n = len(all)
	names = slices.Clone(all[:min(n, maxNames)])
	if p == Email {
		return names, n
	}
	for _, ip := range c.IPAddresses[:min(len(c.IPAddresses), maxNames-len(names))] {
		names = append(names, ip.String())
	}
	return names, n + len(c.IPAddresses)
}

// hostFits is Certificate.VerifyHostname, which takes a megabyte to look at ten thousand names.
func hostFits(c *x509.Certificate, host string) bool {
	few := &x509.Certificate{IPAddresses: c.IPAddresses}
	bare := strings.TrimSuffix(host, ".")
	domain := bare[max(strings.IndexByte(bare, '.'), 0):]
	for _, name := range c.DNSNames {
		if strings.EqualFold(name, bare) || strings.EqualFold(name, host) || strings.HasPrefix(name, "*") && strings.EqualFold(name[1:], domain) {
			few.DNSNames = append(few.DNSNames, name)
		}
		if len(few.DNSNames) == maxNames { // of one spelling; the rest says no more
			break
		}
	}
	return few.VerifyHostname(host) == nil
}

// commonNameFits reports whether the common name, which no longer counts, is
// the name that was asked for, and nothing else names the certificate: with any
// subject alternative name, the subject is not looked at (RFC 9525 section 2).
func (o VerifyOptions) commonNameFits(c *x509.Certificate) bool {
	if o.Purpose == Email || o.Name == "" || o.URI != "" || o.TrustDomain != "" || c.Subject.CommonName == "" || hasAltNames(c) {
		return false
	}
	// The rules for names in certificates, wildcards included, are those of
	// VerifyHostname; let it have the common name as a DNS name.
	probe := &x509.Certificate{DNSNames: []string{c.Subject.CommonName}}
	return equalFoldASCII(c.Subject.CommonName, o.Name) || probe.VerifyHostname(o.Name) == nil
}

// hasAltNames reports whether the certificate has subject alternative names of any
// kind, those that crypto/x509 passes over included.
func hasAltNames(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectAltName) })
}
