package tlsctx

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
)

// endpoint is what a Builder is for, by For.
type endpoint struct {
	host, port string // as dialled; the port may be empty
	name       string // that For has set as ServerName; empty if it was set before
	err        *trustkeep.Error
}

// For returns the Builder for one destination, "host:port" or a host alone: ServerName
// becomes the host, unless it is set, and Routes choose the identity for the host and port.
// So tls.Dial and tls.Client can use what Client returns, and Explain and ExplainError speak
// about that destination. On servers, the destination is the name that a client asks for.
//
// Host names are compared without regard to case or a dot at the end, names beyond ASCII in
// the form that is dialled for them, xn--…. IPv6 addresses may have brackets, and a zone,
// which certificates know nothing of. Any other address makes whatever is built fail with
// trustkeep.ErrInvalid, and is named by Explain.
func (b Builder) For(address string) Builder {
	if b.ServerName == b.at.name {
		b.ServerName = ""
	}
	b.at = endpointOf(address)
	if b.ServerName == "" && b.at.err == nil {
		b.at.name = nameOf(b.at.host)
		b.ServerName = b.at.name
	}
	return b
}

func endpointOf(address string) endpoint {
	bad := func(hint string) endpoint {
		return endpoint{err: &trustkeep.Error{Op: `address "` + trustkeep.Printable(address) + `"`, Err: trustkeep.ErrInvalid, Hint: hint}}
	}
	host, port := address, ""
	if _, err := netip.ParseAddr(address); err != nil { // an IPv6 address is full of colons
		if inner, ok := strings.CutPrefix(address, "["); ok && strings.HasSuffix(inner, "]") {
			host = strings.TrimSuffix(inner, "]")
		} else if strings.Contains(address, ":") {
			if host, port, err = net.SplitHostPort(address); err != nil || port == "" {
				return bad("write host:port")
			}
		}
	}
	if strings.HasPrefix(address, "[") && !strings.Contains(host, ":") {
		return bad("brackets are for IPv6 addresses")
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 0 || n > 65535 || strings.ContainsAny(port, "+-")) && !isService(port) {
		return bad("the port is neither a number nor the name of a service")
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return bad("it is no IPv6 address")
		}
		host, port, err := dialled(host, port)
		if err != nil {
			return bad("it is no IPv6 address")
		}
		return endpoint{host: host, port: port}
	}
	if len(host) > 1024 || !utf8.ValidString(host) {
		return bad("it has no host name or IP address")
	}
	folded, port, err := dialled(host, port)
	if err != nil {
		return bad("the host has no form in ASCII by IDNA (RFC 5891)")
	}
	if len(folded) > 253 {
		return bad("a host name has at most 253 characters")
	}
	for label := range strings.SplitSeq(folded, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			return bad("it has no host name or IP address")
		}
	}
	return endpoint{host: folded, port: port}
}

// isService reports whether net.Dial may know the port by its name.
func isService(port string) bool {
	for i, r := range port {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return port != ""
}

// nameOf is the name to verify of a host that is dialled. A zone says by which interface an
// IPv6 address is reached, and no certificate has one.
func nameOf(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() != "" {
		return addr.WithZone("").String()
	}
	return host
}

// destination is what routes go by where nothing is dialled.
func (b Builder) destination() (host, port string) {
	if b.at.host != "" {
		return b.at.host, b.at.port
	}
	host, _, _ = dialled(b.ServerName, "") // what has no form in ASCII fits no route
	return host, ""
}
