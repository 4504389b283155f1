package sshctx

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

// marker is the first field of a line of known_hosts that is not about a plain key.
type marker string

const (
	plainKey  marker = ""
	authority marker = "@cert-authority"
	revoked   marker = "@revoked"
)

// line is one line of a known_hosts file.
type line struct {
	text   string // as it stands in the file
	number int    // from 1
	file   string // empty where it was not read from one

	// key is nil for a comment, an empty line and one that is not understood; err says why.
	key      ssh.PublicKey
	marker   marker
	patterns patterns
	err      error
}

// maxLine bounds one line: the longest keys, RSA of 16,384 bits in a certificate, take 12 kB.
const maxLine = 64 << 10

// parseLine reads one line of known_hosts, see SSH_KNOWN_HOSTS FILE FORMAT in sshd(8).
func parseLine(text, file string, number int) line {
	l := line{text: text, number: number, file: file}
	rest := strings.Trim(text, " \t\r")
	if rest == "" || strings.HasPrefix(rest, "#") {
		return l
	}
	if len(text) > maxLine && !strings.HasPrefix(rest, string(revoked)) {
		l.err = fmt.Errorf("line of more than %d bytes: %w", maxLine, trustkeep.ErrLimit)
		return l
	}
	if strings.HasPrefix(rest, "@") {
		var word string
		word, rest = cutField(rest)
		if l.marker = marker(word); l.marker != authority && l.marker != revoked {
			l.err = fmt.Errorf("marker %q: %w", trustkeep.Printable(word), trustkeep.ErrUnsupported)
			return l
		}
	}
	field, rest := cutField(rest)
	if l.marker == revoked {
		// It counts for all hosts, so it does whatever its patterns are.
		if l.key, _, l.err = parseKeyFields(rest); l.err == nil {
			l.key = bare(l.key)
		}
		return l
	}
	if l.patterns, l.err = parsePatterns(field); l.err != nil {
		return l
	}
	l.key, _, l.err = parseKeyFields(rest)
	if _, ok := l.key.(*ssh.Certificate); ok {
		l.key, l.err = nil, fmt.Errorf("a certificate in place of a key: %w", trustkeep.ErrUnsupported)
	}
	return l
}

func cutField(s string) (field, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// parseKeyFields reads "type base64 comment".
func parseKeyFields(fields string) (key ssh.PublicKey, comment string, err error) {
	name, rest := cutField(fields)
	blob, comment := cutField(rest)
	if blob == "" {
		return nil, "", fmt.Errorf("no key: %w", trustkeep.ErrCorrupt)
	}
	raw, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return nil, "", fmt.Errorf("key is not base64: %w", trustkeep.ErrCorrupt)
	}
	if key, err = parseKey(raw); err != nil {
		return nil, "", err
	}
	if key.Type() != name {
		return nil, "", fmt.Errorf("line says %q, key is %q: %w", trustkeep.Printable(name), key.Type(), trustkeep.ErrCorrupt)
	}
	return key, comment, nil
}

// parseKey reads a public key in the format of RFC 4253 section 6.6.
func parseKey(raw []byte) (ssh.PublicKey, error) {
	if len(raw) < 4 || uint64(binary.BigEndian.Uint32(raw)) > uint64(len(raw)-4) {
		return nil, fmt.Errorf("key: %w", trustkeep.ErrCorrupt)
	}
	name := string(raw[4 : 4+binary.BigEndian.Uint32(raw)])
	key, err := ssh.ParsePublicKey(raw)
	if err != nil {
		if !isKnownType(name) {
			return nil, fmt.Errorf("key of type %q: %w", trustkeep.Printable(name), trustkeep.ErrUnsupported)
		}
		return nil, fmt.Errorf("key of type %q: %w", trustkeep.Printable(name), trustkeep.ErrCorrupt)
	}
	if err := checkSize(key); err != nil {
		return nil, err
	}
	return key, nil
}

// isKnownType reports whether x/crypto/ssh reads keys of that type.
func isKnownType(name string) bool {
	_, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Name string
		Rest []byte `ssh:"rest"`
	}{name, nil}))
	return err == nil || !strings.Contains(err.Error(), "unknown key algorithm")
}

// samePublicKey compares keys, certificates by the key that they are for.
func samePublicKey(a, b ssh.PublicKey) bool {
	return bytes.Equal(bare(a).Marshal(), bare(b).Marshal())
}

// bare returns the key of a certificate, and other keys as they are.
func bare(key ssh.PublicKey) ssh.PublicKey {
	for range 2 {
		c, ok := key.(*ssh.Certificate)
		if !ok {
			break
		}
		key = c.Key
	}
	return key
}

// splitLines cuts a text file into lines without their ends.
func (o Options) splitLines(data []byte) ([]string, error) {
	limits := o.Limits.WithDefaults()
	switch {
	case int64(len(data)) > limits.MaxSize:
		return nil, fmt.Errorf("more than %d bytes: %w", limits.MaxSize, trustkeep.ErrLimit)
	case bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Errorf("not a text file: %w", trustkeep.ErrCorrupt)
	case bytes.Count(data, []byte("\n")) > limits.MaxEntries:
		return nil, fmt.Errorf("more than %d lines: %w", limits.MaxEntries, trustkeep.ErrLimit)
	}
	text := strings.TrimSuffix(string(data), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}
