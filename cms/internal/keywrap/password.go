package keywrap

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
)

// WrapByPassword encrypts a key of 3 to 255 bytes under a key that was derived from a
// password (RFC 3211 section 2.3.1): in CBC mode twice, so that each block depends on all.
func WrapByPassword(block cipher.Block, iv, key []byte) ([]byte, error) {
	if len(key) < 3 || len(key) > 255 || len(iv) != block.BlockSize() {
		return nil, errSize
	}
	size := block.BlockSize()
	n := max(2*size, (4+len(key)+size-1)/size*size)
	out := make([]byte, n)
	out[0] = byte(len(key))
	for i := range 3 {
		out[1+i] = ^key[i]
	}
	copy(out[4:], key)
	rand.Read(out[4+len(key):])
	mode := cipher.NewCBCEncrypter(block, iv)
	mode.CryptBlocks(out, out)
	mode.CryptBlocks(out, out) // goes on from the last block of the first round
	return out, nil
}

// UnwrapByPassword undoes WrapByPassword. ErrIntegrity says that the password was another one
// or that wrapped was changed; one wrong password in 2^24 goes unnoticed.
func UnwrapByPassword(block cipher.Block, iv, wrapped []byte) ([]byte, error) {
	size, n := block.BlockSize(), len(wrapped)
	if n < 2*size || n%size != 0 || n > maxKey || len(iv) != size {
		return nil, errSize
	}
	out := make([]byte, n)
	// The last block of the first round is what the second began with.
	last := out[n-size:]
	cipher.NewCBCDecrypter(block, wrapped[n-2*size:n-size]).CryptBlocks(last, wrapped[n-size:])
	cipher.NewCBCDecrypter(block, last).CryptBlocks(out[:n-size], wrapped[:n-size])
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, out)
	length := int(out[0])
	check := subtle.ConstantTimeLessOrEq(3, length) & subtle.ConstantTimeLessOrEq(length, n-4)
	for i := range 3 {
		check &= subtle.ConstantTimeByteEq(out[1+i], ^out[4+i])
	}
	if check != 1 {
		clear(out)
		return nil, ErrIntegrity
	}
	return out[4 : 4+length], nil
}
