package fips

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
)

// Sizes of GCM in bytes, unless a format says otherwise.
const (
	NonceSize = 12
	TagSize   = 16
)

// ErrOpen is what GCM.Open and OpenGCM return where the tag is wrong.
var ErrOpen = errors.New("message authentication failed")

// Opener is the part of cipher.AEAD that decrypts.
type Opener interface {
	// Open is cipher.AEAD's.
	Open(dst, nonce, ciphertext, additional []byte) ([]byte, error)
	// Overhead is the size of the tag in bytes.
	Overhead() int
}

// NewOpener decrypts AES-GCM with nonces and tags of those sizes in bytes, of
// which one has to be NonceSize or TagSize. Where Enforced both have to be: the
// standard library has no way to check others. key has 16, 24 or 32 bytes.
func NewOpener(key []byte, nonceSize, tagSize int) (Opener, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, unsupported(err)
	}
	var aead Opener
	switch {
	case Enforced() && tagSize != TagSize:
		return nil, Refuse(fmt.Sprintf("AES-GCM with a tag of %d bits", 8*tagSize))
	case Enforced() && nonceSize != NonceSize:
		return nil, Refuse(fmt.Sprintf("AES-GCM with a nonce of %d bits", 8*nonceSize))
	case Enforced():
		var inner cipher.AEAD
		inner, err = cipher.NewGCMWithRandomNonce(block)
		aead = prefixed{inner}
	case nonceSize == NonceSize:
		aead, err = cipher.NewGCMWithTagSize(block, tagSize)
	case tagSize == TagSize:
		aead, err = cipher.NewGCMWithNonceSize(block, nonceSize)
	default:
		err = errors.New("nonce and tag of AES-GCM")
	}
	if err != nil {
		return nil, unsupported(err)
	}
	return aead, nil
}

func unsupported(err error) error { return fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err) }

// prefixed passes the nonce where cipher.NewGCMWithRandomNonce wants it.
type prefixed struct{ inner cipher.AEAD }

func (p prefixed) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	return p.inner.Open(dst, nil, append(append(make([]byte, 0, len(nonce)+len(ciphertext)), nonce...), ciphertext...), additional)
}

func (prefixed) Overhead() int { return TagSize }

// OpenGCM decrypts one message by NewOpener.
func OpenGCM(key, nonce, ciphertext, additional []byte, tagSize int) ([]byte, error) {
	aead, err := NewOpener(key, len(nonce), tagSize)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, ciphertext, additional)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// GCM is AES-GCM whose ciphertexts begin with their nonce of NonceSize bytes and
// end with a tag of TagSize. It is safe for concurrent use if its source of
// randomness is.
type GCM struct {
	aead cipher.AEAD
	rand io.Reader // nil: the nonce is the module's
}

// NewGCM takes nonces from rand, and where Enforced from the module, which
// allows no other. key has 16, 24 or 32 bytes.
func NewGCM(key []byte, rand io.Reader) (*GCM, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, unsupported(err)
	}
	g := &GCM{rand: rand}
	if Enforced() {
		g.rand = nil
		g.aead, err = cipher.NewGCMWithRandomNonce(block)
	} else {
		g.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		return nil, unsupported(err)
	}
	return g, nil
}

// Seal encrypts under a new nonce. The error is that of the source of randomness.
func (g *GCM) Seal(plain, additional []byte) ([]byte, error) {
	if g.rand == nil {
		return g.aead.Seal(nil, nil, plain, additional), nil
	}
	nonce := make([]byte, NonceSize, NonceSize+len(plain)+TagSize)
	if _, err := io.ReadFull(g.rand, nonce); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	return g.aead.Seal(nonce, nonce, plain, additional), nil
}

// Open decrypts what Seal returned. The error wraps trustkeep.ErrCorrupt for less
// than a nonce and is ErrOpen where the tag is wrong.
func (g *GCM) Open(sealed, additional []byte) ([]byte, error) {
	if len(sealed) < NonceSize {
		return nil, fmt.Errorf("encrypted %d bytes: %w", len(sealed), trustkeep.ErrCorrupt)
	}
	nonce, ciphertext := sealed[:NonceSize], sealed[NonceSize:]
	if g.rand == nil {
		nonce, ciphertext = nil, sealed
	}
	plain, err := g.aead.Open(nil, nonce, ciphertext, additional)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
