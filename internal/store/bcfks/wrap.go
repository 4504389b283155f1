package bcfks

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// unwrap is AES key wrap with padding, RFC 5649 section 4.2.
func unwrap(block cipher.Block, wrapped []byte) (plain []byte, ok bool) {
	const half = 8
	if len(wrapped) < 2*half || len(wrapped)%half != 0 {
		return nil, false
	}
	out := make([]byte, len(wrapped))
	n := len(wrapped)/half - 1
	if n == 1 {
		block.Decrypt(out, wrapped)
	} else {
		// The inverse of RFC 3394 section 2.2.2.
		copy(out, wrapped)
		var b [2 * half]byte
		copy(b[:half], out[:half])
		for t := uint64(6 * n); t > 0; t-- {
			i := int((t-1)%uint64(n)) + 1
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^t)
			copy(b[half:], out[i*half:])
			block.Decrypt(b[:], b[:])
			copy(out[i*half:], b[half:])
		}
		copy(out, b[:half])
	}
	// The alternative initial value: a constant and the length, then the
	// key and zeros up to the next half block.
	length := int64(binary.BigEndian.Uint32(out[4:]))
	padding := int64(n*half) - length
	ok = subtle.ConstantTimeCompare(out[:4], []byte{0xA6, 0x59, 0x59, 0xA6}) == 1 && padding >= 0 && padding < half
	if ok {
		ok = subtle.ConstantTimeCompare(out[half+length:], make([]byte, padding)) == 1
	}
	if !ok {
		clear(out)
		return nil, false
	}
	return out[half : half+length], true
}
