package truststore

import (
	"crypto/x509"
	"strings"
)

// Name constraints on e-mail addresses and URIs, as RFC 5280 section 4.2.1.10 has them: a host
// is that host alone, and only a leading period stands for what is below. crypto/x509 takes a
// host for a domain (CVE-2026-78664, CVE-2026-78665). Excluded names are left to crypto/x509,
// where a wider reading is the stricter one.

// domains is a set of constraints. Looking a name up takes a step for each of its labels,
// however many constraints there are: whoever issues can send many of both.
type domains map[string]bool

func emailDomains(c *x509.Certificate) domains { return domainsOf(c.PermittedEmailAddresses) }

func uriDomains(c *x509.Certificate) domains { return domainsOf(c.PermittedURIDomains) }

func domainsOf(constraints []string) domains {
	if len(constraints) == 0 {
		return nil
	}
	d := make(domains, len(constraints))
	for _, s := range constraints {
		local, host, mailbox := cutLast(s, "@")
		if mailbox {
			d[local+"@"+lowerASCII(host)] = true
		} else {
			d[lowerASCII(s)] = true
		}
	}
	return d
}

// permit reports whether one of the constraints admits the name, an e-mail address or
// a host.
func (d domains) permit(name string) bool {
	local, host, mailbox := cutLast(name, "@")
	if !mailbox {
		host = name
	}
	host = lowerASCII(host)
	// The empty constraint admits every name, as in crypto/x509.
	if mailbox && d[local+"@"+host] || d[host] || d[""] {
		return true
	}
	for rest := host; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return false
		}
		if d[rest[i:]] && i > 0 {
			return true
		}
		rest = rest[i+1:]
	}
}

// constrained returns the place of the first certificate with a name that a certificate above
// it does not permit; -1 for none. Names of authorities that issue to themselves do not
// count (section 6.1.3), those of the peer always do.
func constrained(chain []*x509.Certificate, of func(*x509.Certificate) domains, names func(*x509.Certificate) (names []string, ok bool)) int {
	for above := len(chain) - 1; above > 0; above-- {
		permitted := of(chain[above])
		if permitted == nil {
			continue
		}
		for i := above - 1; i >= 0; i-- {
			if i > 0 && selfIssued(chain[i]) {
				continue
			}
			list, ok := names(chain[i])
			if !ok {
				return i
			}
			for _, name := range list {
				if !permitted.permit(name) {
					return i
				}
			}
		}
	}
	return -1
}

// uriHosts returns the hosts of the certificate's URIs. A URI without one cannot be within
// constraints.
func uriHosts(c *x509.Certificate) (hosts []string, ok bool) {
	for _, u := range c.URIs {
		host := strings.TrimSuffix(u.Hostname(), ".")
		if host == "" {
			return nil, false
		}
		hosts = append(hosts, host)
	}
	return hosts, true
}
