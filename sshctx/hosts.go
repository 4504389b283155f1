package sshctx

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// HostSource yields what is known about the keys of hosts now. *Hosts, *KnownHosts and
// *WatchedHosts implement it. It must be safe for concurrent use.
type HostSource interface {
	Snapshot() (*Hosts, error)
}

// Hosts is an unchangeable state of what is known about the keys of hosts. It is a HostSource,
// and safe for concurrent use.
type Hosts struct {
	generation uint64
	lines      []line
	pins       []Pin
}

// generations numbers the states of this process, so that no two share a number.
var generations atomic.Uint64

func newHosts(lines []line, pins []Pin) *Hosts {
	return &Hosts{generations.Add(1), lines, pins}
}

// Snapshot implements HostSource. A nil *Hosts is trustkeep.ErrInvalid.
func (h *Hosts) Snapshot() (*Hosts, error) {
	if h == nil {
		return nil, &trustkeep.Error{Op: "sshctx: hosts", Err: trustkeep.ErrInvalid, Hint: "nil *Hosts; was the error of making it checked?"}
	}
	return h, nil
}

// Empty reports whether no key and no authority is trusted.
func (h *Hosts) Empty() bool {
	return h == nil || len(h.pins) == 0 && !slices.ContainsFunc(h.lines, func(l line) bool { return l.key != nil && l.marker != revoked })
}

// Findings lists the lines that count for nothing, because they are not understood. Such a line
// hides no other.
func (h *Hosts) Findings() []trustkeep.Finding {
	var out []trustkeep.Finding
	if h == nil {
		return out
	}
	for _, l := range h.lines {
		if l.err != nil {
			out = append(out, trustkeep.Finding{Code: CodeUnusableLine, Severity: trustkeep.Warning, Text: fmt.Sprintf("%s: %v", l.place(), l.err)})
		}
	}
	return out
}

// place names the line for messages.
func (l line) place() string {
	if l.file == "" {
		return fmt.Sprintf("line %d", l.number)
	}
	return fmt.Sprintf("%s:%d", trustkeep.Printable(l.file), l.number)
}

// Union is everything that the parts know: it adds trust, where Builder.Trusted replaces it. A
// key that is revoked in one part is revoked. A nil part is an error when it is used.
func Union(parts ...HostSource) HostSource { return union(slices.Clone(parts)) }

type union []HostSource

// Snapshot implements HostSource.
func (u union) Snapshot() (*Hosts, error) {
	all := &Hosts{}
	for _, part := range u {
		h, err := given.Snapshot[Hosts](part)
		if err != nil {
			return nil, err
		}
		all.lines = append(all.lines, h.lines...)
		all.pins = append(all.pins, h.pins...)
		// Parts only ever move on to higher numbers, so the sum changes with each.
		all.generation += h.generation
	}
	return all, nil
}

// Pinned trusts the hosts that have one of these keys, whatever their names: set it as the
// Trusted of a connection. Without pins it trusts nobody.
func Pinned(pins ...Pin) *Hosts { return newHosts(nil, slices.Clone(pins)) }

// Pin is the fingerprint of a key, and its type if known. The zero Pin fits nobody.
type Pin struct {
	sum  string // "SHA256:" and base64 without padding
	kind string // empty if not known
}

// PinKey pins a key; nil gives the zero Pin. Of a host certificate, the host's own key counts.
func PinKey(key ssh.PublicKey) Pin {
	if given.IsNil(key) {
		return Pin{}
	}
	return Pin{Fingerprint(key), bare(key).Type()}
}

// ParsePin reads a fingerprint as ssh-keygen -l prints it, "SHA256:" and base64, or a whole
// public key as in a file that ends in .pub. A fingerprint does not say which type of key it is
// of, so a Dialer may need several attempts. The error wraps trustkeep.ErrInvalid, and
// trustkeep.ErrUnsupported for fingerprints by MD5.
func ParsePin(text string) (Pin, error) {
	op := `sshctx: pin "` + trustkeep.Printable(text) + `"`
	text = strings.TrimSpace(text)
	if sum, ok := strings.CutPrefix(text, "SHA256:"); ok {
		sum = strings.TrimRight(sum, "=")
		if raw, err := base64.RawStdEncoding.DecodeString(sum); err == nil && len(raw) == 32 {
			return Pin{sum: "SHA256:" + sum}, nil
		}
	} else if strings.HasPrefix(text, "MD5:") || strings.Count(text, ":") == 15 {
		return Pin{}, &trustkeep.Error{Op: op, Err: trustkeep.ErrUnsupported, Hint: "MD5 proves nothing; ask for the SHA-256 fingerprint: ssh-keygen -l -E sha256"}
	} else if key, _, err := parseKeyFields(text); err == nil {
		return PinKey(key), nil
	}
	return Pin{}, &trustkeep.Error{Op: op, Err: trustkeep.ErrInvalid, Hint: "want SHA256:BASE64 or a public key"}
}

// String is the fingerprint.
func (p Pin) String() string { return p.sum }

// MarshalText yields String.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.sum), nil }

// Fingerprint is the SHA-256 of a key as OpenSSH prints it: "SHA256:" and base64 without
// padding. Of a certificate, it is that of the key that it is for.
func Fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(bare(key)) }

// keysFor returns the lines with keys that count for a host, revocations excluded.
func (h *Hosts) keysFor(at host) (keys, authorities []line) {
	for _, l := range h.lines {
		if l.key == nil || l.marker == revoked || !l.patterns.match(at) {
			continue
		}
		if l.marker == authority {
			authorities = append(authorities, l)
		} else {
			keys = append(keys, l)
		}
	}
	return keys, authorities
}

// revocation returns the line that revokes a key. It counts for all hosts, whatever its
// patterns: a key that somebody has stolen is no better elsewhere.
func (h *Hosts) revocation(key ssh.PublicKey) *line {
	blobs := [][]byte{bare(key).Marshal()}
	if c, ok := key.(*ssh.Certificate); ok {
		blobs = append(blobs, c.SignatureKey.Marshal())
	}
	for i, l := range h.lines {
		if l.marker == revoked && l.key != nil && slices.ContainsFunc(blobs, func(b []byte) bool { return bytes.Equal(b, l.key.Marshal()) }) {
			return &h.lines[i]
		}
	}
	return nil
}
