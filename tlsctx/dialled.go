package tlsctx

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// dialled spells a destination in the one way by which patterns are found: the host as
// asciiHost has it, in small letters and without a dot at the end, IP addresses in the shortest
// form and the port as a number. Otherwise a destination could be reached in another spelling,
// under the policy of "*".
func dialled(host, port string) (string, string) {
	host = fold(asciiHost(host))
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

func fold(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// destination returns what a request for the URL dials.
func destination(u *url.URL) (host, port string) {
	if port = u.Port(); port == "" {
		port = "443"
	}
	return dialled(u.Hostname(), port)
}

// asciiHost spells a host name as http.Transport does when it dials, in the ASCII of IDNA
// (RFC 5891). It asks a Transport, since the rules are its own and an import of them would
// be a dependency; only names beyond ASCII pay for that. A name without such a form stays as
// it is.
func asciiHost(host string) string {
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return host
	}
	dialled := make(chan string, 1)
	ask := &http.Transport{DialTLSContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled <- address
		return nil, io.EOF // nothing is dialled
	}}
	if _, err := ask.RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: net.JoinHostPort(host, "443")}, Header: http.Header{}}); err == nil {
		return host // cannot happen
	}
	select {
	case address := <-dialled:
		if ascii, _, err := net.SplitHostPort(address); err == nil {
			return ascii
		}
	default: // it was refused before
	}
	return host
}
