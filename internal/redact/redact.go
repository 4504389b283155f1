// Package redact keeps private keys and passwords out of everything that
// prints: package fmt, JSON, text encodings, slog.
package redact

import (
	"crypto"
	"crypto/ecdh"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

const text = "[redacted]"

// quiet is embedded by types that must not print their content.
type quiet struct{}

func (quiet) String() string                 { return text }
func (quiet) GoString() string               { return text }
func (quiet) Format(f fmt.State, _ rune)     { io.WriteString(f, text) }
func (quiet) MarshalText() ([]byte, error)   { return []byte(text), nil }
func (quiet) MarshalBinary() ([]byte, error) { return []byte(text), nil } // for gob
func (quiet) LogValue() slog.Value           { return slog.StringValue(text) }

// Signer is a private key that signs but does not print. Printing a bare
// ed25519.PrivateKey or rsa.PrivateKey, even deep inside a tls.Config, shows
// the key.
type Signer struct {
	quiet
	key func() crypto.Signer // a closure, see Hidden
}

// Hidden keeps a value where package fmt does not find it. It prints what unexported fields
// hold without asking it how, and even what a pointer there points to, with verbs that do
// not suit pointers, such as %s.
func Hidden[T any](v T) func() T { return func() T { return v } }

// Public implements crypto.Signer.
func (s *Signer) Public() crypto.PublicKey { return s.key().Public() }

// Sign implements crypto.Signer.
func (s *Signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key().Sign(rand, digest, opts)
}

// SignMessage implements crypto.MessageSigner. A key that signs digests only gets the digest.
func (s *Signer) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	return crypto.SignMessage(s.key(), rand, msg, opts)
}

// Reveal returns the key itself.
func (s *Signer) Reveal() crypto.Signer { return s.key() }

// decrypter is a Signer whose key decrypts too.
type decrypter struct {
	*Signer
	key func() crypto.Decrypter
}

// Decrypt implements crypto.Decrypter.
func (d *decrypter) Decrypt(rand io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return d.key().Decrypt(rand, msg, opts)
}

// agreeing is what an EC key in software can do besides signing.
type agreeing interface {
	ECDH() (*ecdh.PrivateKey, error)
}

// agreer is a Signer whose key agrees on keys too.
type agreer struct {
	*Signer
	key func() agreeing
}

// ECDH returns the key for key agreement, as *ecdsa.PrivateKey does. It prints as nothing
// but an address.
func (a *agreer) ECDH() (*ecdh.PrivateKey, error) { return a.key().ECDH() }

// Revealer is implemented by the results of Key.
type Revealer interface{ Reveal() crypto.Signer }

// Key wraps a private key. The result implements crypto.Decrypter exactly if key does. It has
// the method ECDH of *ecdsa.PrivateKey if key has it and does not decrypt. A wrapped key is
// returned unchanged.
func Key(key crypto.Signer) crypto.Signer {
	if _, ok := key.(Revealer); ok {
		return key
	}
	s := &Signer{key: Hidden(key)}
	if d, ok := key.(crypto.Decrypter); ok {
		return &decrypter{s, Hidden(d)}
	}
	if a, ok := key.(agreeing); ok {
		return &agreer{s, Hidden(a)}
	}
	return s
}

// Secret is a password or key in bytes. A nil *Secret means none, which differs from an empty
// one.
type Secret struct {
	quiet
	b func() *[]byte // a closure, see Hidden; nil is the empty secret
}

// NewSecret copies b; nil gives nil.
func NewSecret(b []byte) *Secret {
	if b == nil {
		return nil
	}
	return &Secret{b: Hidden(new(append([]byte{}, b...)))}
}

// Bytes returns the secret itself, not a copy; nil for a nil Secret.
func (s *Secret) Bytes() []byte {
	if s == nil {
		return nil
	}
	if s.b == nil {
		return []byte{}
	}
	return *s.b()
}

// Equal compares two secrets. It does not run in constant time: use it only if the caller
// holds both.
func (s *Secret) Equal(o *Secret) bool {
	return (s == nil) == (o == nil) && slices.Equal(s.Bytes(), o.Bytes())
}

// Wipe overwrites the secret, as far as Go allows: copies that the runtime made stay. The
// secret becomes empty.
func (s *Secret) Wipe() {
	if s != nil && s.b != nil {
		b := s.b()
		clear(*b)
		*b = (*b)[:0]
	}
}
