package sshctx

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// host is a server as known_hosts spells it.
type host struct {
	name string // without brackets; IP addresses in their shortest form
	port int
}

// defaultPort is that of SSH (RFC 4253 section 4.1).
const defaultPort = 22

// maxHost bounds the name of a host, as DNS does, and patterns: OpenSSH ignores a line with a longer
// one.
const maxHost = 1023

// parseHost reads "name", "name:port", "[name]:port" or an IP address. Case and a trailing dot
// do not count, since they make no difference to whoever dials.
func parseHost(address string) (host, error) {
	name, port := address, defaultPort
	if h, p, err := net.SplitHostPort(address); err == nil {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return host{}, invalidAddress(address, "the port is a number from 1 to 65535")
		}
		name, port = h, n
	} else if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		name = name[1 : len(name)-1]
	}
	if ip, err := netip.ParseAddr(name); err == nil && isPlain(ip.Zone()) {
		return host{ip.String(), port}, nil
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" || len(name) > maxHost || !isPlain(name) {
		return host{}, invalidAddress(address, `want "host" or "host:port"`)
	}
	return host{name, port}, nil
}

// isPlain reports whether a name has nothing that would mean something else in a file.
func isPlain(name string) bool {
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func invalidAddress(address, hint string) error {
	return &trustkeep.Error{Op: `sshctx: address "` + trustkeep.Printable(address) + `"`, Err: trustkeep.ErrInvalid, Hint: hint}
}

// String is the spelling that known_hosts uses: with brackets and port unless it is port 22.
func (h host) String() string {
	name := strings.ToLower(h.name) // of the zone of an IPv6 address
	if h.port == defaultPort {
		return name
	}
	return "[" + name + "]:" + strconv.Itoa(h.port)
}

// patterns is the host field of a line: names with wildcards and negations, or one hash.
type patterns struct {
	list []pattern
	hash *hashedName
}

type pattern struct {
	text   string // lower case
	negate bool
}

// parsePatterns reads the host field of a line of known_hosts, see sshd(8).
func parsePatterns(field string) (patterns, error) {
	if strings.HasPrefix(field, "|") {
		h, err := parseHash(field)
		return patterns{hash: h}, err
	}
	var p patterns
	for part := range strings.SplitSeq(field, ",") {
		text, negate := strings.CutPrefix(part, "!")
		if text == "" || strings.HasPrefix(text, "|") || len(text) >= maxHost {
			return patterns{}, fmt.Errorf("host pattern %q: %w", trustkeep.Printable(part), trustkeep.ErrCorrupt)
		}
		p.list = append(p.list, pattern{strings.ToLower(text), negate})
	}
	return p, nil
}

// match reports whether the line is about the host: one pattern fits, and none that is negated.
func (p patterns) match(h host) bool {
	text := h.String()
	if p.hash != nil {
		return p.hash.match(text)
	}
	found := false
	for _, each := range p.list {
		if wildcard(each.text, text) {
			if each.negate {
				return false
			}
			found = true
		}
	}
	return found
}

// exact reports whether the line names the host itself, and not by a wildcard.
func (p patterns) exact(h host) bool {
	if p.hash != nil {
		return p.hash.match(h.String())
	}
	for _, each := range p.list {
		if !each.negate && each.text == h.String() {
			return true
		}
	}
	return false
}

// wildcard matches "*" with any text and "?" with any byte. It takes at most
// len(pattern) * len(text) steps.
func wildcard(pattern, text string) bool {
	var p, t int
	star, mark := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// hashedName is a name that the file does not show: HMAC-SHA1 under a salt, as ssh-keygen -H
// writes it.
type hashedName struct{ salt, sum [sha1.Size]byte }

func parseHash(field string) (*hashedName, error) {
	bad := fmt.Errorf("hashed host name: %w", trustkeep.ErrCorrupt)
	parts := strings.Split(field, "|")
	if len(parts) != 4 || parts[0] != "" {
		return nil, bad
	}
	if parts[1] != "1" {
		return nil, fmt.Errorf("host name under hash %q: %w", trustkeep.Printable(parts[1]), trustkeep.ErrUnsupported)
	}
	if err := fips.Hash(crypto.SHA1); err != nil {
		return nil, err
	}
	h := new(hashedName)
	for i, to := range []*[sha1.Size]byte{&h.salt, &h.sum} {
		b, err := base64.StdEncoding.DecodeString(parts[2+i])
		if err != nil || len(b) != len(to) {
			return nil, bad
		}
		copy(to[:], b)
	}
	return h, nil
}

// hashName hides the name of a host.
func hashName(h host, rand io.Reader) (string, error) {
	var n hashedName
	if err := fips.Hash(crypto.SHA1); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(rand, n.salt[:]); err != nil {
		return "", fmt.Errorf("salt: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	return "|1|" + encode(n.salt[:]) + "|" + encode(n.of(h.String())), nil
}

func (n *hashedName) of(text string) []byte {
	mac := hmac.New(sha1.New, n.salt[:])
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (n *hashedName) match(text string) bool { return hmac.Equal(n.of(text), n.sum[:]) }
