package entry

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// An entry that its file gives no alias gets one made up from its content, so
// that the same file yields the same aliases everywhere and at any time:
//
//  1. the last common name of the certificate's subject, with runs of white
//     space as one blank and the spelling kept; else
//  2. the whole subject as RFC 2253 writes it; else
//  3. the first 8 hex digits of the certificate's SHA-256 fingerprint.
//
// Where that alias is taken, "-" and the 8 digits of 3 are appended, and where
// that is taken too, as by the same certificate twice, "-2", "-3" and so on.

// NameFor returns the alias made up for a certificate by rules 1 to 3. Text
// that is not fit for a log line is escaped by trustkeep.Printable.
func NameFor(c *Certificate) string {
	if o, ok := c.Outline(); ok {
		if name := NameOfSubject(o.Subject); name != "" {
			return name
		}
	}
	return ShortFingerprint(c.Raw)
}

// NameOfSubject returns the alias made up for the DER of a Name by rules 1 and
// 2, and the empty string for a Name that is empty or malformed.
func NameOfSubject(name []byte) string {
	if cn := commonName(name); isPlain(cn) {
		return cn
	} else if cn = oneLine(cn); cn != "" {
		return trustkeep.Printable(cn)
	}
	return oneLine(trustkeep.PrintableName(name))
}

// ShortFingerprint returns the first 8 hex digits of the SHA-256 of der.
func ShortFingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:4])
}

// Deduplicate renames entries that are Unnamed until no alias folds equal to
// another one, as the rule above says. Aliases that the file itself gave have
// precedence and are never changed, even where two of them are equal.
func Deduplicate(entries []*Entry) {
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !e.Unnamed {
			taken[Fold(e.Alias)] = true
		}
	}
	counts := make(map[string]int) // next number to try, by the alias before it
	for _, e := range entries {
		if !e.Unnamed {
			continue
		}
		if taken[Fold(e.Alias)] {
			e.Alias += "-" + ShortFingerprint(e.content())
		}
		if base := e.Alias; taken[Fold(base)] {
			n := max(2, counts[base])
			for ; taken[Fold(base+"-"+strconv.Itoa(n))]; n++ {
			}
			counts[base] = n + 1
			e.Alias = base + "-" + strconv.Itoa(n)
		}
		taken[Fold(e.Alias)] = true
	}
}

// content is what distinguishes an entry from others of its name.
func (e *Entry) content() []byte {
	switch {
	case len(e.Chain) > 0:
		return e.Chain[0].Raw
	case e.Key != nil:
		return e.Key.Protected
	}
	return e.Raw
}

// oidCommonName is 2.5.4.3, content octets.
const oidCommonName = "\x55\x04\x03"

// commonName returns the last common name of a Name, which is the most
// specific one.
func commonName(name []byte) string {
	input := cryptobyte.String(name)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, tag.SEQUENCE) {
		return ""
	}
	found := ""
	for !rdns.Empty() {
		var rdn cryptobyte.String
		if !rdns.ReadASN1(&rdn, tag.SET) {
			return ""
		}
		for !rdn.Empty() {
			var attribute, oid, value cryptobyte.String
			var kind tag.Tag
			if !rdn.ReadASN1(&attribute, tag.SEQUENCE) ||
				!attribute.ReadASN1(&oid, tag.OBJECT_IDENTIFIER) ||
				!attribute.ReadAnyASN1(&value, &kind) {
				return ""
			}
			if string(oid) == oidCommonName {
				if text := directoryString(kind, value); strings.TrimSpace(text) != "" {
					found = text
				}
			}
		}
	}
	return found
}

// directoryString decodes the string types of X.520 and IA5String, T61String
// as Latin-1, which is what certificates have in it.
func directoryString(kind tag.Tag, value []byte) string {
	switch kind {
	case tag.UTF8String, tag.PrintableString, tag.IA5String, 18: // 18: NumericString
		return string(value)
	case tag.T61String:
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		return string(runes)
	case 30: // BMPString
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = uint16(value[2*i])<<8 | uint16(value[2*i+1])
		}
		return string(utf16.Decode(units))
	}
	return ""
}

// isPlain reports whether s is what most names are, short and of ASCII letters,
// digits and signs, so that nothing need be done to it.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			if s[i] != ' ' || i == 0 || i == len(s)-1 || s[i-1] == ' ' {
				return false
			}
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// oneLine trims and makes each run of white space one blank.
func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
