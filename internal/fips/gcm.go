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

// ErrOpen is what OpenGCM returns where the tag is wrong.
var ErrOpen = errors.New("message authentication failed")

// OpenGCM decrypts AES-GCM with a nonce of NonceSize bytes and a tag of tagSize
// bytes. Where Enforced, tags shorter than TagSize are refused: the standard
// library has no way to check them. key has 16, 24 or 32 bytes.
func OpenGCM(key, nonce, ciphertext, additional []byte, tagSize int) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	if len(nonce) != NonceSize {
		return nil, fmt.Errorf("GCM nonce of %d bytes: %w", len(nonce), trustkeep.ErrUnsupported)
	}
	var aead cipher.AEAD
	if Enforced() {
		if tagSize != TagSize {
			return nil, Refuse(fmt.Sprintf("AES-GCM with a tag of %d bits", 8*tagSize))
		}
		aead, err = cipher.NewGCMWithRandomNonce(block)
		ciphertext = append(append(make([]byte, 0, len(nonce)+len(ciphertext)), nonce...), ciphertext...)
		nonce = nil
	} else {
		aead, err = cipher.NewGCMWithTagSize(block, tagSize)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	plain, err := aead.Open(nil, nonce, ciphertext, additional)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// SealGCM encrypts with AES-GCM under a new nonce of NonceSize bytes and a tag
// of TagSize bytes. The nonce comes from rand, and where Enforced from the
// module, which allows no other. key has 16, 24 or 32 bytes.
func SealGCM(key, plain, additional []byte, rand io.Reader) (nonce, ciphertext []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	if Enforced() {
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
		}
		out := aead.Seal(nil, nil, plain, additional)
		return out[:NonceSize:NonceSize], out[NonceSize:], nil
	}
	nonce = make([]byte, NonceSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, nil, fmt.Errorf("random bytes: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	return nonce, aead.Seal(nil, nonce, plain, additional), nil
}
