// Package keywrap is the AES key wrap of RFC 3394.
package keywrap

import (
	"bytes"
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// integrity is the initial value of RFC 3394 section 2.2.3.1.
var integrity = bytes.Repeat([]byte{0xa6}, 8)

var errSize = errors.New("keywrap: key size")

// ErrIntegrity says that Unwrap was given another key, or something else than
// Wrap's result.
var ErrIntegrity = errors.New("keywrap: integrity check failed")

// maxKey bounds the keys that are wrapped.
const maxKey = 1024

// Wrap encrypts a key, 16 bytes or a larger multiple of 8, under an AES key.
func Wrap(kek, key []byte) ([]byte, error) {
	if len(key) < 16 || len(key)%8 != 0 || len(key) > maxKey {
		return nil, errSize
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	out := append(bytes.Clone(integrity), key...)
	n := len(key) / 8
	var buf [aes.BlockSize]byte
	copy(buf[:8], integrity)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buf[8:], out[8*i:])
			block.Encrypt(buf[:], buf[:])
			xorCounter(buf[:8], uint64(n*j+i))
			copy(out[8*i:], buf[8:])
		}
	}
	copy(out, buf[:8])
	return out, nil
}

// Unwrap undoes Wrap.
func Unwrap(kek, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 || len(wrapped) > maxKey+8 {
		return nil, errSize
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	out := bytes.Clone(wrapped)
	n := len(wrapped)/8 - 1
	var buf [aes.BlockSize]byte
	copy(buf[:8], out)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			xorCounter(buf[:8], uint64(n*j+i))
			copy(buf[8:], out[8*i:8*i+8])
			block.Decrypt(buf[:], buf[:])
			copy(out[8*i:], buf[8:])
		}
	}
	if subtle.ConstantTimeCompare(buf[:8], integrity) != 1 {
		clear(out)
		return nil, ErrIntegrity
	}
	return out[8:], nil
}

func xorCounter(a []byte, t uint64) {
	binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^t)
}
