package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
)

func summarizeAll(certs []*x509.Certificate) []trustkeep.Certificate {
	out := []trustkeep.Certificate{}
	for _, c := range certs[:min(len(certs), maxListed)] {
		out = append(out, certinfo.Brief(c))
	}
	return out
}

// hexSHA256 returns the SHA-256 of the certificate's DER in lower-case hex.
func hexSHA256(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

const (
	maxName  = 160 // bytes that one name may take in a text
	maxNames = 5   // names that a text lists
)

// printable is trustkeep.Printable for texts that many names share.
func printable(s string) string { return cut(trustkeep.Printable(s), maxName) }

func cut(s string, n int) string { return certinfo.Cut(s, n) }

// subject names a certificate for people.
func subject(c *x509.Certificate) string {
	if s := certinfo.Subject(c); s != "" {
		return cut(s, maxName)
	}
	for _, p := range []Purpose{Server, Email} {
		if names, n := altNames(c, p); n > 0 {
			return printable(names[0])
		}
	}
	return "serial " + certinfo.Brief(c).Serial
}

func quoteSubject(c *x509.Certificate) string { return `"` + subject(c) + `"` }

// listNames names at most maxNames of n names: "a, b and 3 more".
func listNames(names []string, n int) string {
	var b strings.Builder
	shown := names[:min(len(names), maxNames)]
	for i, name := range shown {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(cut(trustkeep.Printable(name), 80))
	}
	if more := n - len(shown); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// span describes a duration in the coarsest unit that says enough.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d >= 48*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return count(int(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return count(int(d/time.Minute), "minute")
	}
	return count(int(d/time.Second), "second")
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// usages lists the extended key usages by the names of RFC 5280 section
// 4.2.1.12.
func usages(c *x509.Certificate) string {
	return listNames(certinfo.Usages(c), len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage))
}
