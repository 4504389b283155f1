package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
)

// PublicKey is a key whose signatures may count: Ed25519, or ECDSA on P-256 or P-384. It is
// immutable and comparable. The zero PublicKey verifies nothing.
type PublicKey struct{ der string } // SubjectPublicKeyInfo

// NewPublicKey returns the key of a signer's Public. The error wraps trustkeep.ErrUnsupported
// for other keys.
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, fmt.Errorf("authority: a key of type %T: %w", key, trustkeep.ErrUnsupported)
	}
	return parseKey(der)
}

func parseKey(der []byte) (PublicKey, error) {
	if len(der) > 256 {
		return PublicKey{}, fmt.Errorf("authority: a public key of %d bytes: %w", len(der), trustkeep.ErrUnsupported)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("authority: public key: %w", trustkeep.ErrCorrupt)
	}
	again, err := x509.MarshalPKIXPublicKey(key)
	if err != nil || string(again) != string(der) {
		return PublicKey{}, fmt.Errorf("authority: public key in another spelling: %w", trustkeep.ErrCorrupt)
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		return PublicKey{string(der)}, nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return PublicKey{string(der)}, nil
		}
	}
	return PublicKey{}, fmt.Errorf("authority: a key of another kind than Ed25519, P-256 and P-384: %w", trustkeep.ErrUnsupported)
}

// ID names the key: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280, section 4.1), in hex.
func (k PublicKey) ID() string {
	sum := sha256.Sum256([]byte(k.der))
	return hex.EncodeToString(sum[:])
}

// String returns the ID.
func (k PublicKey) String() string { return k.ID() }

// MarshalText spells the SubjectPublicKeyInfo in base64.
func (k PublicKey) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, []byte(k.der)), nil
}

// UnmarshalText reverses MarshalText. The error wraps trustkeep.ErrUnsupported for a key of
// another kind, else trustkeep.ErrCorrupt.
func (k *PublicKey) UnmarshalText(text []byte) error {
	if len(text) > 512 {
		return fmt.Errorf("authority: public key of %d characters: %w", len(text), trustkeep.ErrCorrupt)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("authority: public key: %w", trustkeep.ErrCorrupt)
	}
	parsed, err := parseKey(der)
	if err == nil {
		*k = parsed
	}
	return err
}

// message is what is signed for a digest.
func message(d Digest) []byte {
	return append([]byte("trustkeep signature 1\x00"), d[:]...)
}

func (k PublicKey) verify(d Digest, signature []byte) bool {
	key, err := x509.ParsePKIXPublicKey([]byte(k.der))
	if err != nil {
		return false
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message(d), signature)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, hashed(key, d), signature)
	}
	return false
}

func hashed(key *ecdsa.PublicKey, d Digest) []byte {
	h := hashOf(key).New()
	h.Write(message(d))
	return h.Sum(nil)
}

func hashOf(key *ecdsa.PublicKey) crypto.Hash {
	if key.Curve == elliptic.P384() {
		return crypto.SHA384
	}
	return crypto.SHA256
}

// sign signs a digest and looks at the result: a signer in hardware may be another one
// than its public key says.
func sign(random io.Reader, d Digest, signer crypto.Signer) (PublicKey, []byte, error) {
	k, err := NewPublicKey(signer.Public())
	if err != nil {
		return k, nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	var signature []byte
	if key, ok := signer.Public().(*ecdsa.PublicKey); ok {
		signature, err = signer.Sign(random, hashed(key, d), hashOf(key))
	} else {
		signature, err = signer.Sign(random, message(d), crypto.Hash(0))
	}
	if err == nil && !k.verify(d, signature) {
		err = errors.New("the signer does not sign with the key that it names")
	}
	if err != nil {
		return k, nil, fmt.Errorf("authority: sign: %w", err)
	}
	return k, signature, nil
}
