package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Digest is a SHA-256 of what the snapshot trusts: certificates with their scopes, and pins,
// whatever their order and the generation. Equal digests mean equal trust, in other processes
// too, which generations do not. The roots of a Platform have none: trustkeep.ErrUnsupported.
func (s *Snapshot) Digest() ([sha256.Size]byte, error) {
	var none [sha256.Size]byte
	switch {
	case s == nil:
		return none, errNil("digest")
	case s.platform != nil:
		return none, &trustkeep.Error{Op: "truststore: digest", Err: trustkeep.ErrUnsupported, Hint: "the platform's roots cannot be listed"}
	}
	var parts []string
	for _, c := range s.certs {
		part, err := s.digestOf(c)
		if err != nil {
			return none, err
		}
		parts = append(parts, part)
	}
	for _, p := range s.pins {
		parts = append(parts, "pin "+p.String())
	}
	slices.Sort(parts)
	h := sha256.New()
	for _, part := range slices.Compact(parts) {
		fmt.Fprintf(h, "%d %s\n", len(part), part)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// digestOf names a certificate and its scopes.
func (s *Snapshot) digestOf(c *x509.Certificate) (string, error) {
	scopes := []string{}
	for _, scope := range s.scopes[string(c.Raw)] {
		text, err := json.Marshal(scope)
		if err != nil {
			return "", fmt.Errorf("truststore: digest: %w: scope: %v", trustkeep.ErrInvalid, err)
		}
		scopes = append(scopes, string(text))
	}
	slices.Sort(scopes)
	return fmt.Sprintf("certificate %x %q", sha256.Sum256(c.Raw), scopes), nil
}
