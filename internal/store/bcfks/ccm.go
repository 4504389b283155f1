package bcfks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// ccm is Counter with CBC-MAC, RFC 3610, for one message.
type ccm struct {
	block cipher.Block
	nonce []byte // 7 to 13 bytes
	tag   int    // length in bytes: 4 to 16, even
}

// fits tells whether the length of the message can be written in the bytes that
// the nonce leaves for it.
func (c ccm) fits(n int) bool {
	l := 15 - len(c.nonce)
	return l >= 8 || uint64(n)>>(8*l) == 0
}

func (c ccm) open(ciphertext, aad []byte) (plain []byte, ok bool) {
	n := len(ciphertext) - c.tag
	if n < 0 || !c.fits(n) {
		return nil, false
	}
	stream, mask := c.keystream()
	plain = make([]byte, n)
	stream.XORKeyStream(plain, ciphertext[:n])
	want := c.authenticate(plain, aad)
	subtle.XORBytes(want[:], want[:], mask[:])
	if subtle.ConstantTimeCompare(want[:c.tag], ciphertext[n:]) != 1 {
		clear(plain)
		return nil, false
	}
	return plain, true
}

// seal returns nil where the message does not fit the nonce.
func (c ccm) seal(plain, aad []byte) []byte {
	if !c.fits(len(plain)) {
		return nil
	}
	stream, mask := c.keystream()
	out := make([]byte, len(plain), len(plain)+c.tag)
	stream.XORKeyStream(out, plain)
	tag := c.authenticate(plain, aad)
	subtle.XORBytes(tag[:], tag[:], mask[:])
	return append(out, tag[:c.tag]...)
}

// keystream returns S_1 and on, and S_0 by which the tag is masked (section
// 2.3). The counter cannot run over into the nonce, since fits holds.
func (c ccm) keystream() (stream cipher.Stream, mask [aes.BlockSize]byte) {
	var start [aes.BlockSize]byte
	start[0] = byte(14 - len(c.nonce))
	copy(start[1:], c.nonce)
	stream = cipher.NewCTR(c.block, start[:])
	stream.XORKeyStream(mask[:], mask[:])
	return stream, mask
}

// authenticate is the CBC-MAC of section 2.2. The additional data must be
// shorter than 65,280 bytes.
func (c ccm) authenticate(plain, aad []byte) (sum [aes.BlockSize]byte) {
	first := sum[:]
	first[0] = byte((c.tag-2)/2<<3 | (14 - len(c.nonce)))
	binary.BigEndian.PutUint64(first[8:], uint64(len(plain)))
	copy(first[1:], c.nonce) // over the zeros before the length
	if len(aad) > 0 {
		first[0] |= 0x40
	}
	c.block.Encrypt(sum[:], first)
	mac := func(data []byte, offset int) {
		for len(data) > 0 {
			n := subtle.XORBytes(sum[offset:], sum[offset:], data)
			data, offset = data[n:], 0
			c.block.Encrypt(sum[:], sum[:])
		}
	}
	if len(aad) > 0 {
		var length [2]byte
		binary.BigEndian.PutUint16(length[:], uint16(len(aad)))
		subtle.XORBytes(sum[:], sum[:], length[:])
		mac(aad, len(length))
	}
	mac(plain, 0)
	return sum
}
