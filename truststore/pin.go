package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Pin names one certificate or one public key. The peer itself must have it: the pin of an
// authority admits none of its children. Pins are comparable. The zero Pin fits nobody.
//
// Whoever holds a pinned key can make certificates of it for any name. Where pins of several peers
// are trusted together, bind each to its peer with For: otherwise each of them can pose as
// the others.
type Pin struct {
	key  bool // of the SubjectPublicKeyInfo, not of the certificate
	sum  [sha256.Size]byte
	name string // see For
}

// PinCertificate returns the pin of that very certificate, and the zero Pin for nil.
func PinCertificate(c *x509.Certificate) Pin {
	if c == nil {
		return Pin{}
	}
	return Pin{sum: sha256.Sum256(c.Raw)}
}

// PinKey returns the pin of the certificate's public key, which outlives the
// certificate if the peer renews it for the same key; the zero Pin for nil.
func PinKey(c *x509.Certificate) Pin {
	if c == nil {
		return Pin{}
	}
	return Pin{key: true, sum: sha256.Sum256(c.RawSubjectPublicKeyInfo)}
}

// For returns the pin bound to a name: it counts only for questions about that host name, IP
// address, e-mail address or URI. The patterns are those of Scope.Names. A question without a name
// is about none of them. The zero Pin stays zero, and an empty name binds to nothing.
func (p Pin) For(name string) Pin {
	if p != (Pin{}) {
		p.name = name
	}
	return p
}

// Name returns the name that the pin is bound to, empty for none.
func (p Pin) Name() string { return p.name }

// ParsePin reads a pin: the SHA-256 of a certificate in hex, with or without
// colons and the prefix "sha256:"; or that of a SubjectPublicKeyInfo, "sha256/"
// and base64 as in RFC 7469, or "spki-sha256:" and hex or base64. " for NAME" behind it
// binds the pin to a name; see For. The error wraps trustkeep.ErrInvalid.
func ParsePin(text string) (Pin, error) {
	value, name, bound := strings.Cut(text, pinFor)
	value = strings.TrimSpace(value)
	lower := strings.ToLower(value)
	var p Pin
	switch {
	case strings.HasPrefix(lower, "sha256/"):
		p.key, value = true, value[len("sha256/"):]
	case strings.HasPrefix(lower, "spki-sha256:"):
		p.key, value = true, value[len("spki-sha256:"):]
	case strings.HasPrefix(lower, "sha256:"):
		value = value[len("sha256:"):]
	}
	sum, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(value))
	if p.key && (err != nil || len(sum) != sha256.Size) {
		sum, err = base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	}
	if p.name = strings.TrimSpace(name); err != nil || len(sum) != sha256.Size || bound && p.name == "" {
		return Pin{}, &trustkeep.Error{
			Op: fmt.Sprintf("truststore: pin %q", trustkeep.Printable(text)), Err: trustkeep.ErrInvalid,
			Hint: "want sha256:HEX of the certificate or sha256/BASE64 of its public key, and behind it, to bind it, for NAME",
		}
	}
	copy(p.sum[:], sum)
	return p, nil
}

const pinFor = " for "

// String spells the pin as ParsePin reads it.
func (p Pin) String() string {
	text := "sha256:" + hex.EncodeToString(p.sum[:])
	if p.key {
		text = "sha256/" + base64.StdEncoding.EncodeToString(p.sum[:])
	}
	if p.name != "" {
		text += pinFor + p.name
	}
	return text
}

// MarshalText yields String.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePin.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePin(string(text))
	return err
}

// Fits reports whether the certificate, or its key, is the one that is pinned, whatever name the
// pin is bound to.
func (p Pin) Fits(c *x509.Certificate) bool {
	if p.name = ""; p == (Pin{}) || c == nil {
		return false
	}
	if p.key {
		return p.sum == sha256.Sum256(c.RawSubjectPublicKeyInfo)
	}
	return p.sum == sha256.Sum256(c.Raw)
}

// fitsAny reports whether one of the pins is that of the certificate and counts for the question.
func (o VerifyOptions) fitsAny(pins []Pin, c *x509.Certificate) bool {
	return slices.ContainsFunc(pins, func(p Pin) bool { return p.Fits(c) && (p.name == "" || nameInScope(p.name, o.asked())) })
}

// Pinned trusts whoever has one of the pins, and nobody else. It needs no certificate.
// Dates, names and usages of the peer's certificate count as they do for one in a store (see
// Relaxation). Without pins it trusts nobody. Pins of several peers are best bound to their
// names; see Pin.For.
//
// Union adds it to other trust. VerifyOptions.Pins narrows what a store accepts.
func Pinned(pins ...Pin) *Snapshot {
	s := newSnapshot(1, nil, nil)
	s.pins = append([]Pin(nil), pins...)
	return s
}
