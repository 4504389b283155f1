// Package redact keeps private keys and passwords out of everything that
// prints: package fmt, JSON, text encodings, slog.
package redact

import (
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

const text = "[redacted]"

// quiet is embedded by types that must not print what they hold.
type quiet struct{}

func (quiet) String() string               { return text }
func (quiet) GoString() string             { return text }
func (quiet) Format(f fmt.State, _ rune)   { io.WriteString(f, text) }
func (quiet) MarshalText() ([]byte, error) { return []byte(text), nil }
func (quiet) LogValue() slog.Value         { return slog.StringValue(text) }

// Signer is a private key that signs but does not print. Printing a bare
// ed25519.PrivateKey or rsa.PrivateKey, even deep inside a tls.Config, shows
// the key.
type Signer struct {
	quiet
	key crypto.Signer
}

// Public implements crypto.Signer.
func (s *Signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign implements crypto.Signer.
func (s *Signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(rand, digest, opts)
}

// Reveal returns the key itself.
func (s *Signer) Reveal() crypto.Signer { return s.key }

// decrypter is a Signer whose key decrypts too.
type decrypter struct {
	*Signer
	key crypto.Decrypter
}

// Decrypt implements crypto.Decrypter.
func (d *decrypter) Decrypt(rand io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return d.key.Decrypt(rand, msg, opts)
}

// Revealer is implemented by what Key returns.
type Revealer interface{ Reveal() crypto.Signer }

// Key wraps a private key. The result implements crypto.Decrypter exactly when
// key does. A key that is wrapped already is returned as it is.
func Key(key crypto.Signer) crypto.Signer {
	if _, ok := key.(Revealer); ok {
		return key
	}
	s := &Signer{key: key}
	if d, ok := key.(crypto.Decrypter); ok {
		return &decrypter{s, d}
	}
	return s
}

// Secret is a password or key in bytes. A nil *Secret stands for "none",
// which differs from an empty one.
type Secret struct {
	quiet
	b []byte
}

// NewSecret copies b; nil gives nil.
func NewSecret(b []byte) *Secret {
	if b == nil {
		return nil
	}
	return &Secret{b: append([]byte{}, b...)}
}

// Bytes returns the secret itself, not a copy, and nil for a nil Secret.
func (s *Secret) Bytes() []byte {
	if s == nil {
		return nil
	}
	return s.b
}

// Equal compares two secrets. It is meant for secrets that the caller holds
// both of, and takes no care to run in constant time.
func (s *Secret) Equal(o *Secret) bool {
	return (s == nil) == (o == nil) && slices.Equal(s.Bytes(), o.Bytes())
}

// Wipe overwrites the secret, as far as Go's memory management lets it: copies
// that the runtime made are out of reach. It becomes the empty secret.
func (s *Secret) Wipe() {
	if s != nil {
		clear(s.b)
		s.b = s.b[:0]
	}
}
