package certinfo

import (
	"crypto/x509"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
)

const (
	maxText  = 160 // bytes that one name may take in an explanation
	maxNames = 5   // names that an explanation lists
)

// Brief describes a certificate for the explanation of a refusal. A stranger chooses its
// content, so texts are cut to 160 bytes and the list of names to five. For nil it returns the
// zero Certificate.
func Brief(c *x509.Certificate) trustkeep.Certificate {
	if c == nil {
		return trustkeep.Certificate{}
	}
	few := *c // since all that is left out costs as well
	few.DNSNames, few.IPAddresses = first(c.DNSNames), first(c.IPAddresses)
	few.EmailAddresses, few.URIs = first(c.EmailAddresses), first(c.URIs)
	d := trustkeep.DescribeCertificate(&few)
	for _, text := range []*string{&d.Subject, &d.Issuer, &d.Serial} {
		*text = Cut(*text, maxText)
	}
	d.Names = d.Names[:min(len(d.Names), maxNames)]
	for i, name := range d.Names {
		d.Names[i] = Cut(name, maxText)
	}
	return d
}

func first[T any](list []T) []T { return list[:min(len(list), maxNames)] }

// Cut shortens a text to at most n bytes, on a rune boundary.
func Cut(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	s = s[:n-len(ellipsis)]
	for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if r, size := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && size == 1 {
		s = s[:len(s)-1]
	}
	return s + ellipsis
}

// Subject prints the subject of a certificate; see trustkeep.PrintableName.
func Subject(c *x509.Certificate) string {
	if len(c.RawSubject) == 0 { // made by hand
		return trustkeep.DescribeCertificate(c).Subject
	}
	return trustkeep.PrintableName(c.RawSubject)
}

// Issuer prints the issuer of a certificate; see trustkeep.PrintableName.
func Issuer(c *x509.Certificate) string {
	if len(c.RawIssuer) == 0 {
		return trustkeep.DescribeCertificate(c).Issuer
	}
	return trustkeep.PrintableName(c.RawIssuer)
}
