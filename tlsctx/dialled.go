package tlsctx

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/trustkeep/trustkeep"
)

// dialled spells a destination in the one way by which patterns are found: the host as
// asciiHost has it, in small letters and without a dot at the end, IP addresses in the shortest
// form and the port as a number. Otherwise a destination could be reached in another spelling,
// under the policy of "*".
func dialled(host, port string) (string, string, error) {
	host, err := asciiHost(host)
	if err != nil {
		return "", "", err
	}
	host, port = plain(host, port)
	return host, port, nil
}

// plain is dialled for a host in ASCII.
func plain(host, port string) (string, string) {
	host = fold(host)
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String() // as net.Dial takes IPv4 addresses within IPv6
	}
	if port != "" {
		resolver := net.Resolver{PreferGo: true} // which reads /etc/services and asks nobody
		if n, err := resolver.LookupPort(context.Background(), "tcp", port); err == nil {
			port = strconv.Itoa(n)
		}
	}
	return host, port
}

// fold leaves letters beyond ASCII alone, some of which strings.ToLower makes letters of
// ASCII.
func fold(host string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, strings.TrimSuffix(host, "."))
}

// destination returns what a request for the URL dials.
func destination(u *url.URL) (host, port string, err error) {
	if port = u.Port(); port == "" {
		port = "443"
	}
	return dialled(u.Hostname(), port)
}

// addressOf returns host:port of a URL whose host is in ASCII.
func addressOf(u *url.URL) string { return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")) }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// asciiHost maps a host name to the ASCII of IDNA (RFC 5891) as net/http does before it dials.
// One without such a form, which net/http would dial as it is, is refused: no certificate has
// it, and another version of the mapping might have a form for it.
func asciiHost(host string) (string, error) {
	if isASCII(host) {
		return host, nil
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || !isASCII(ascii) {
		return "", &trustkeep.Error{
			Op: `host "` + trustkeep.Printable(host) + `"`, Err: trustkeep.ErrInvalid,
			Hint: "it has no form in ASCII by IDNA (RFC 5891)",
		}
	}
	return ascii, nil
}

// asciiAddress is asciiHost for host:port.
func asciiAddress(address string) (string, error) {
	if isASCII(address) {
		return address, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		host, err = asciiHost(host)
	}
	return net.JoinHostPort(host, port), err
}

// asciiRequest returns the request with a URL whose host is in ASCII, so that net/http, which
// brings a copy of the mapping of its own, has nothing left to map. So does its Host, which
// net/http maps by other rules than the URL's, to a name that the server does not have.
func asciiRequest(r *http.Request) (*http.Request, error) {
	if r.URL == nil || isASCII(r.URL.Host) {
		return r, nil
	}
	host, err := asciiHost(r.URL.Hostname())
	if err != nil {
		return nil, err
	}
	if port := r.URL.Port(); port != "" {
		host = net.JoinHostPort(host, port)
	}
	u := *r.URL
	u.Host = host
	r = r.WithContext(r.Context()) // a copy
	r.URL = &u
	if !isASCII(r.Host) {
		if host, port, err := net.SplitHostPort(r.Host); err == nil {
			if ascii, err := asciiHost(host); err == nil {
				r.Host = net.JoinHostPort(ascii, port)
			}
		} else if ascii, err := asciiHost(r.Host); err == nil {
			r.Host = ascii
		}
	}
	return r, nil
}
