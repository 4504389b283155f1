package keystore

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Identity is a private key with its certificate chain. It is immutable, and safe for
// concurrent use if its signer is. It prints as the subject and fingerprint of its
// certificate.
type Identity struct {
	alias  string
	signer crypto.Signer
	chain  []*x509.Certificate
	raw    [][]byte // DER of the whole chain, also of what did not parse
}

// NewIdentity makes an identity from a private key and its chain, leaf first. It puts a chain
// in another order in order. The key may be any crypto.Signer, such as one in hardware; only
// keys that crypto/x509 can marshal can be saved in a store. Of an issuer that crypto/x509
// refuses, only Raw must be set.
//
// Errors: ErrKeyMismatch if no certificate belongs to the key; ErrInvalid without a key or
// certificates, or for a certificate without Raw.
func NewIdentity(key crypto.Signer, chain ...*x509.Certificate) (*Identity, error) {
	const op = "keystore: new identity"
	wrapped := wrapCertificates(chain)
	if !isKey(key) || len(wrapped) == 0 {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrInvalid, Hint: "an identity is a private key and at least its own certificate"}
	}
	ordered, err := orderChain(key.Public(), wrapped, nil)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	id, err := identityFrom("", key, ordered)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return id, nil
}

// Alias returns the alias in the store that the identity came from. It may be empty.
func (id *Identity) Alias() string { return id.alias }

// Signer returns the private key, wrapped in a type that does not print it. The result
// implements crypto.Decrypter if the key can decrypt.
func (id *Identity) Signer() crypto.Signer { return id.signer }

// Decrypter returns the private key as a crypto.Decrypter. For keys that only sign, the error
// wraps trustkeep.ErrUnsupported.
func (id *Identity) Decrypter() (crypto.Decrypter, error) {
	d, ok := id.signer.(crypto.Decrypter)
	if !ok {
		return nil, &trustkeep.Error{Op: "keystore: decrypter", Alias: id.alias,
			Err:  fmt.Errorf("%s key: %w", algorithmOf(id.chain[0]), trustkeep.ErrUnsupported),
			Hint: "only RSA keys decrypt"}
	}
	return d, nil
}

// Leaf returns the identity's own certificate. Do not modify it.
func (id *Identity) Leaf() *x509.Certificate { return id.chain[0] }

// Chain returns the certificates, leaf first. Do not modify them. Issuers that crypto/x509
// refuses are left out; TLSCertificate includes them.
func (id *Identity) Chain() []*x509.Certificate { return slices.Clone(id.chain) }

// SelfSigned reports whether the leaf is signed with its own key. It checks the signature, not
// the names.
func (id *Identity) SelfSigned() bool {
	leaf := id.chain[0]
	return limits.SignedBy(leaf, leaf) == nil
}

// TLSCertificate returns the identity for crypto/tls, with the whole chain and Leaf; do not
// modify the bytes of the certificates. It implements trustkeep.Identity. The error is always
// nil.
func (id *Identity) TLSCertificate() (*tls.Certificate, error) {
	return &tls.Certificate{Certificate: slices.Clone(id.raw), PrivateKey: id.signer, Leaf: id.chain[0]}, nil
}

// String returns alias, subject and SHA-256 fingerprint. The printing methods have value
// receivers, so that a copied Identity prints no more than a pointer to one.
func (id Identity) String() string {
	if len(id.chain) == 0 {
		return "identity <none>"
	}
	sum := sha256.Sum256(id.chain[0].Raw)
	return fmt.Sprintf("identity %q (%s, sha256 %s)", trustkeep.Printable(id.alias),
		certinfo.Subject(id.chain[0]), hex.EncodeToString(sum[:8]))
}

// Format prints String for every verb.
func (id Identity) Format(f fmt.State, _ rune) { io.WriteString(f, id.String()) }

// MarshalText returns String, for JSON.
func (id Identity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// LogValue implements slog.LogValuer through String.
func (id Identity) LogValue() slog.Value { return slog.StringValue(id.String()) }

// isNone reports whether there is no identity: nil or a zero value.
func (id *Identity) isNone() bool { return id == nil || id.signer == nil }

// isKey reports whether there is a key to be asked: a nil pointer and an Ed25519 key of
// another length, the nil one included, panic.
func isKey(key crypto.Signer) bool {
	if k, ok := key.(ed25519.PrivateKey); ok {
		return len(k) == ed25519.PrivateKeySize
	}
	return !given.IsNil(key)
}

// mismatch explains a key without its certificate.
func mismatch(c *x509.Certificate) error {
	return fmt.Errorf("certificate %q: %w", certinfo.Subject(c), trustkeep.ErrKeyMismatch)
}
