package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Pin names one certificate or one public key. The peer itself must have it: the pin of an
// authority admits none of its children. Pins are comparable. The zero Pin fits nobody.
type Pin struct {
	key bool // of the SubjectPublicKeyInfo, not of the certificate
	sum [sha256.Size]byte
}

// PinCertificate returns the pin of that very certificate, and the zero Pin for nil.
func PinCertificate(c *x509.Certificate) Pin {
	if c == nil {
		return Pin{}
	}
	return Pin{false, sha256.Sum256(c.Raw)}
}

// PinKey returns the pin of the certificate's public key, which outlives the
// certificate if the peer renews it for the same key; the zero Pin for nil.
func PinKey(c *x509.Certificate) Pin {
	if c == nil {
		return Pin{}
	}
	return Pin{true, sha256.Sum256(c.RawSubjectPublicKeyInfo)}
}

// ParsePin reads a pin: the SHA-256 of a certificate in hex, with or without
// colons and the prefix "sha256:"; or that of a SubjectPublicKeyInfo, "sha256/"
// and base64 as in RFC 7469, or "spki-sha256:" and hex or base64. The error wraps
// trustkeep.ErrInvalid.
func ParsePin(text string) (Pin, error) {
	value := strings.TrimSpace(text)
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
	if err != nil || len(sum) != sha256.Size {
		return Pin{}, &trustkeep.Error{
			Op: fmt.Sprintf("truststore: pin %q", trustkeep.Printable(text)), Err: trustkeep.ErrInvalid,
			Hint: "want sha256:HEX of the certificate or sha256/BASE64 of its public key",
		}
	}
	copy(p.sum[:], sum)
	return p, nil
}

// String spells the pin as ParsePin reads it.
func (p Pin) String() string {
	if p.key {
		return "sha256/" + base64.StdEncoding.EncodeToString(p.sum[:])
	}
	return "sha256:" + hex.EncodeToString(p.sum[:])
}

// MarshalText yields String.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Fits reports whether the certificate, or its key, is the one that is pinned.
func (p Pin) Fits(c *x509.Certificate) bool {
	if p == (Pin{}) || c == nil {
		return false
	}
	if p.key {
		return p.sum == sha256.Sum256(c.RawSubjectPublicKeyInfo)
	}
	return p.sum == sha256.Sum256(c.Raw)
}

func fitsAny(pins []Pin, c *x509.Certificate) bool {
	for _, p := range pins {
		if p.Fits(c) {
			return true
		}
	}
	return false
}

// Pinned trusts whoever has one of the pins, and nobody else. It needs no certificate.
// Dates, names and usages of the peer's certificate count as they do for one in a store (see
// Relaxation). Without pins it trusts nobody.
//
// Union adds it to other trust. VerifyOptions.Pins narrows what a store accepts.
func Pinned(pins ...Pin) *Snapshot {
	s := newSnapshot(1, nil, nil)
	s.pins = append([]Pin(nil), pins...)
	return s
}
