package pgp

import (
	"context"
	"crypto/sha1"
	"errors"
	"net/url"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// LookupWKD looks up the keys for an e-mail address in the Web Key Directory of its domain
// (draft-koch-openpgp-webkey-service), first by the advanced method, then by the direct
// one. fetch gets an https URL and returns the body of a 200 response; an error that wraps
// ErrNotFound for 404, or a host that does not exist, leads on to the next method, any
// other ends the lookup. What a caller allows of redirects, proxies, sizes and addresses
// is up to fetch; o.Limits.MaxSize bounds what is parsed.
//
// The result holds the keys with a user ID of that address, valid and not revoked, as the
// draft asks. Who answers for the domain says that they are the address's keys; nobody else does,
// and for other addresses that such a key has, nobody: Keyring.Find finds them all the same.
//
// The error wraps ErrInvalid for what is not an address, ErrNotFound when the directory
// has no such key.
func (o Options) LookupWKD(ctx context.Context, address string, fetch func(ctx context.Context, url string) ([]byte, error)) (*Keyring, error) {
	if fetch == nil {
		return nil, fail(trustkeep.ErrInvalid, "no fetch")
	}
	urls, err := wkdURLs(address)
	if err != nil {
		return nil, err
	}
	for _, u := range urls {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := fetch(ctx, u)
		if errors.Is(err, trustkeep.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, &trustkeep.Error{Op: "pgp: look up", Path: u, Err: err}
		}
		ring, err := o.Parse(data)
		if err != nil {
			return nil, &trustkeep.Error{Op: "pgp: look up", Path: u, Err: err}
		}
		out := new(Keyring)
		for k := range ring.Public().All() {
			if k.answersTo(address, o) {
				out.keys = append(out.keys, k)
			}
		}
		if out.Len() > 0 {
			return out, nil
		}
		return nil, fail(trustkeep.ErrNotFound, "key for %s among the %d of its directory", trustkeep.Printable(address), ring.Len())
	}
	return nil, fail(trustkeep.ErrNotFound, "key for %s in the directory of its domain", trustkeep.Printable(address))
}

// answersTo reports whether the owner of the key has signed a user ID of the address.
func (k *Key) answersTo(address string, o Options) bool {
	for _, id := range k.Info(o).UserIDs {
		if id.Valid && strings.EqualFold(addressOf(id.ID), address) {
			return true
		}
	}
	return false
}

// wkdURLs returns the URLs of an address, the advanced method first (section 3.1 of the
// draft).
func wkdURLs(address string) ([]string, error) {
	malformed := fail(trustkeep.ErrInvalid, "e-mail address %q", trustkeep.Printable(address))
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || len(local) > 64 || !isHostName(domain) {
		return nil, malformed
	}
	domain = strings.ToLower(domain)
	// Only the letters of ASCII are folded: section 3.1.
	folded := strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, local)
	sum := sha1.Sum([]byte(folded))
	file := zBase32(sum[:]) + "?l=" + url.QueryEscape(local)
	return []string{
		"https://openpgpkey." + domain + "/.well-known/openpgpkey/" + domain + "/hu/" + file,
		"https://" + domain + "/.well-known/openpgpkey/hu/" + file,
	}, nil
}

// isHostName tells names of hosts, in ASCII, with a dot, and not an IP address.
func isHostName(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > 240 || len(labels) < 2 {
		return false
	}
	letters := false
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, c := range []byte(l) {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
				letters = true
			case c >= '0' && c <= '9', c == '-':
			default:
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return letters && !(last[0] >= '0' && last[0] <= '9')
}

// zBase32 is the encoding of RFC 6189 section 5.1.6.
func zBase32(b []byte) string {
	const alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"
	var out strings.Builder
	var bits uint
	var n int
	for _, octet := range b {
		bits, n = bits<<8|uint(octet), n+8
		for n >= 5 {
			n -= 5
			out.WriteByte(alphabet[bits>>n&31])
		}
	}
	if n > 0 {
		out.WriteByte(alphabet[bits<<(5-n)&31])
	}
	return out.String()
}
