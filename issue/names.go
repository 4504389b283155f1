package issue

import (
	"fmt"
	"net"
	"strings"
	"unicode"

	"github.com/trustkeep/trustkeep"
)

// checkNames refuses names that consumers would stumble over or, in a request
// from a stranger, that are meant to be misread.
func (o *Options) checkNames() problem {
	for _, name := range o.DNSNames {
		if !validDNSName(name) {
			return badName("DNS name", name)
		}
	}
	for _, ip := range o.IPAddresses {
		if len(ip) != net.IPv4len && len(ip) != net.IPv6len {
			return badName("IP address", ip.String())
		}
	}
	for _, address := range o.EmailAddresses {
		local, domain, found := strings.Cut(address, "@")
		if !found || local == "" || !validDNSName(domain) || domain[0] == '*' || strings.ContainsFunc(local, outsideLocalPart) {
			return badName("e-mail address", address)
		}
	}
	for _, u := range o.URIs {
		// RFC 5280 section 4.2.1.6: absolute, with something behind the
		// scheme.
		if u == nil || u.Scheme == "" || u.Host == "" && u.Path == "" && u.Opaque == "" {
			return badName("URI", fmt.Sprint(u))
		}
	}
	names := o.Subject.ToRDNSequence()
	for _, set := range names {
		for _, attribute := range set {
			if text, ok := attribute.Value.(string); ok && strings.ContainsFunc(text, unicode.IsControl) {
				return badName("subject attribute", text)
			}
		}
	}
	return ""
}

func badName(kind, name string) problem {
	return problemf(`%s "%s"`, kind, trustkeep.Printable(name))
}

// validDNSName accepts the preferred syntax of RFC 1034 section 3.5 with
// underscores, which internal hosts have, and a wildcard as the whole first
// label above at least one other (RFC 9525 section 6.3). Names beyond ASCII
// are written in their A-label form.
func validDNSName(name string) bool {
	rest, wildcard := strings.CutPrefix(name, "*.")
	if len(name) > 253 || wildcard && rest == "" {
		return false
	}
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return false
		}
	}
	return true
}

// outsideLocalPart: rfc822Name is ASCII, and a quoted local part with spaces or
// controls is more likely an attempt at something than an address.
func outsideLocalPart(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,"`, r)
}
