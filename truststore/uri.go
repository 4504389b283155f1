package truststore

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// named reports whether the question says who the peer must be.
func (o VerifyOptions) named() bool { return o.Name != "" || o.URI != "" || o.TrustDomain != "" }

// asked is what the peer must be called, for reports.
func (o VerifyOptions) asked() string {
	switch {
	case o.Name != "":
		return o.Name
	case o.URI != "":
		return o.URI
	case o.TrustDomain != "":
		return spiffe + o.TrustDomain
	}
	return ""
}

// Validate fails with trustkeep.ErrInvalid for a URI or a TrustDomain that no certificate can
// have. Verify refuses everybody then.
func (o VerifyOptions) Validate() error { return o.checkNames() }

// checkNames finds URIs and trust domains that no certificate can have, which
// would refuse everybody, and those that the purpose has no use for.
func (o VerifyOptions) checkNames() error {
	wrong := func(field, value, hint string) error {
		return &trustkeep.Error{Op: fmt.Sprintf("%s %q", field, printable(value)), Err: trustkeep.ErrInvalid, Hint: hint}
	}
	if o.URI == "" && o.TrustDomain == "" {
		return nil
	}
	if o.Purpose != Server && o.Purpose != Client {
		return wrong("Purpose", o.Purpose.String(), "URI and TrustDomain are for Server and Client")
	}
	if o.URI != "" {
		u, err := url.Parse(o.URI)
		switch {
		case err != nil || u.Scheme == "":
			return wrong("URI", o.URI, "want one with a scheme, such as spiffe://domain.example/path")
		case u.Scheme == "spiffe":
			if _, ok := trustDomain(o.URI); !ok {
				return wrong("URI", o.URI, "want a SPIFFE ID: spiffe://domain.example/path in small letters, without port, query and escapes")
			}
		}
	}
	if o.TrustDomain != "" && !validTrustDomain(o.TrustDomain) {
		return wrong("TrustDomain", o.TrustDomain, "want a name such as domain.example: small letters, digits, dots, hyphens and underscores, no scheme")
	}
	return nil
}

// ownNamesFit checks the names that are compared here and not by crypto/x509: URIs
// and e-mail addresses.
func (o VerifyOptions) ownNamesFit(leaf *x509.Certificate) bool {
	if o.Purpose == Email && o.Name != "" && !hasAddress(leaf, o.Name) {
		return false
	}
	return o.urisFit(leaf)
}

// urisFit compares the URIs of the certificate octet by octet. Name constraints of
// crypto/x509 are no help: they match the host of a URI like a domain, and admit what is
// below it (CVE-2026-78665).
func (o VerifyOptions) urisFit(leaf *x509.Certificate) bool {
	if o.URI != "" {
		fits := false
		for have := range rawURIs(leaf) {
			if fits = have == o.URI; fits {
				break
			}
		}
		if strings.HasPrefix(o.URI, spiffe) {
			id, _, ok := spiffeID(leaf)
			fits = ok && id == o.URI
		}
		if !fits {
			return false
		}
	}
	if o.TrustDomain != "" {
		_, domain, ok := spiffeID(leaf)
		return ok && domain == o.TrustDomain
	}
	return true
}

const spiffe = "spiffe://"

// spiffeID returns the SPIFFE ID that a certificate proves: its only URI (X509-SVID section 2),
// which is well-formed. That of an authority proves none (section 5.2).
func spiffeID(c *x509.Certificate) (id, domain string, ok bool) {
	if mayIssue(c) {
		return "", "", false
	}
	n := 0
	for uri := range rawURIs(c) {
		if id, n = uri, n+1; n > 1 {
			return "", "", false
		}
	}
	domain, ok = trustDomain(id)
	return id, domain, ok
}

// mayIssue reports whether a certificate is an authority's, by its basic constraints or its key usage.
func mayIssue(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA || c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0
}

// trustDomain takes a SPIFFE ID apart (SPIFFE-ID sections 2.1 to 2.4). Nothing
// is normalised: what is not in the one spelling is no SPIFFE ID.
func trustDomain(id string) (domain string, ok bool) {
	rest, ok := strings.CutPrefix(id, spiffe)
	if !ok || len(id) > 2048 {
		return "", false
	}
	domain, path, _ := strings.Cut(rest, "/")
	if !validTrustDomain(domain) {
		return "", false
	}
	if len(rest) == len(domain) {
		return domain, true
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", false
		}
		if strings.ContainsFunc(segment, func(r rune) bool { return !isSPIFFE(r) && (r < 'A' || r > 'Z') }) {
			return "", false
		}
	}
	return domain, true
}

func validTrustDomain(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return !isSPIFFE(r) })
}

func isSPIFFE(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_'
}

// rawURIs yields the URIs of the certificate as they are spelled (RFC 5280 section 4.2.1.6). The
// URIs that crypto/x509 has parsed can print differently. Nothing is kept of a certificate
// with many.
func rawURIs(c *x509.Certificate) iter.Seq[string] {
	return func(yield func(string) bool) {
		e, ok := extension(c, oidSubjectAltName)
		if !ok || len(c.URIs) == 0 {
			return
		}
		const uri = tag.Tag(6)
		in := cryptobyte.String(e.Value)
		var names, name cryptobyte.String
		var kind tag.Tag
		if !in.ReadASN1(&names, tag.SEQUENCE) {
			return
		}
		for !names.Empty() {
			if !names.ReadAnyASN1(&name, &kind) || kind == uri.ContextSpecific() && !yield(string(name)) {
				return
			}
		}
	}
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
