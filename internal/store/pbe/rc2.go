package pbe

import (
	"encoding/binary"
	"math/bits"
)

// rc2Cipher is RC2 (RFC 2268), which PKCS#12 files still name. It implements
// cipher.Block.
type rc2Cipher struct {
	k [64]uint16
}

// rc2PiTable is a random permutation from the digits of pi, RFC 2268 section 2.
const rc2PiTable = "" +
	"\xd9\x78\xf9\xc4\x19\xdd\xb5\xed\x28\xe9\xfd\x79\x4a\xa0\xd8\x9d" +
	"\xc6\x7e\x37\x83\x2b\x76\x53\x8e\x62\x4c\x64\x88\x44\x8b\xfb\xa2" +
	"\x17\x9a\x59\xf5\x87\xb3\x4f\x13\x61\x45\x6d\x8d\x09\x81\x7d\x32" +
	"\xbd\x8f\x40\xeb\x86\xb7\x7b\x0b\xf0\x95\x21\x22\x5c\x6b\x4e\x82" +
	"\x54\xd6\x65\x93\xce\x60\xb2\x1c\x73\x56\xc0\x14\xa7\x8c\xf1\xdc" +
	"\x12\x75\xca\x1f\x3b\xbe\xe4\xd1\x42\x3d\xd4\x30\xa3\x3c\xb6\x26" +
	"\x6f\xbf\x0e\xda\x46\x69\x07\x57\x27\xf2\x1d\x9b\xbc\x94\x43\x03" +
	"\xf8\x11\xc7\xf6\x90\xef\x3e\xe7\x06\xc3\xd5\x2f\xc8\x66\x1e\xd7" +
	"\x08\xe8\xea\xde\x80\x52\xee\xf7\x84\xaa\x72\xac\x35\x4d\x6a\x2a" +
	"\x96\x1a\xd2\x71\x5a\x15\x49\x74\x4b\x9f\xd0\x5e\x04\x18\xa4\xec" +
	"\xc2\xe0\x41\x6e\x0f\x51\xcb\xcc\x24\x91\xaf\x50\xa1\xf4\x70\x39" +
	"\x99\x7c\x3a\x85\x23\xb8\xb4\x7a\xfc\x02\x36\x5b\x25\x55\x97\x31" +
	"\x2d\x5d\xfa\x98\xe3\x8a\x92\xae\x05\xdf\x29\x10\x67\x6c\xba\xc9" +
	"\xd3\x00\xe6\xcf\xe1\x9e\xa8\x2c\x63\x16\x01\x3f\x58\xe2\x89\xa9" +
	"\x0d\x38\x34\x1b\xab\x33\xff\xb0\xbb\x48\x0c\x5f\xb9\xb1\xcd\x2e" +
	"\xc5\xf3\xdb\x47\xe5\xa5\x9c\x77\x0a\xa6\x20\x68\xfe\x7f\xc1\xad"

// newRC2 expands a key of 1 to 128 bytes to one of that many effective bits,
// 1 to 1024 (RFC 2268 section 2).
func newRC2(key []byte, effectiveBits int) *rc2Cipher {
	var l [128]byte
	n := copy(l[:], key)
	for i := n; i < len(l); i++ {
		l[i] = rc2PiTable[l[i-1]+l[i-n]]
	}
	t8 := (effectiveBits + 7) / 8
	mask := byte(0xff >> (8*t8 - effectiveBits))
	l[128-t8] = rc2PiTable[l[128-t8]&mask]
	for i := 127 - t8; i >= 0; i-- {
		l[i] = rc2PiTable[l[i+1]^l[i+t8]]
	}
	c := new(rc2Cipher)
	for i := range c.k {
		c.k[i] = binary.LittleEndian.Uint16(l[2*i:])
	}
	return c
}

func (c *rc2Cipher) BlockSize() int { return 8 }

// Encrypt is RFC 2268 section 3: sixteen mixing rounds with a mashing round
// after the fifth and the eleventh.
func (c *rc2Cipher) Encrypt(dst, src []byte) {
	r0 := binary.LittleEndian.Uint16(src[0:])
	r1 := binary.LittleEndian.Uint16(src[2:])
	r2 := binary.LittleEndian.Uint16(src[4:])
	r3 := binary.LittleEndian.Uint16(src[6:])
	for j := 0; j < 64; j += 4 {
		r0 = bits.RotateLeft16(r0+c.k[j]+(r3&r2)+(^r3&r1), 1)
		r1 = bits.RotateLeft16(r1+c.k[j+1]+(r0&r3)+(^r0&r2), 2)
		r2 = bits.RotateLeft16(r2+c.k[j+2]+(r1&r0)+(^r1&r3), 3)
		r3 = bits.RotateLeft16(r3+c.k[j+3]+(r2&r1)+(^r2&r0), 5)
		if j == 16 || j == 40 {
			r0 += c.k[r3&63]
			r1 += c.k[r0&63]
			r2 += c.k[r1&63]
			r3 += c.k[r2&63]
		}
	}
	binary.LittleEndian.PutUint16(dst[0:], r0)
	binary.LittleEndian.PutUint16(dst[2:], r1)
	binary.LittleEndian.PutUint16(dst[4:], r2)
	binary.LittleEndian.PutUint16(dst[6:], r3)
}

// Decrypt is RFC 2268 section 4, Encrypt backwards.
func (c *rc2Cipher) Decrypt(dst, src []byte) {
	r0 := binary.LittleEndian.Uint16(src[0:])
	r1 := binary.LittleEndian.Uint16(src[2:])
	r2 := binary.LittleEndian.Uint16(src[4:])
	r3 := binary.LittleEndian.Uint16(src[6:])
	for j := 60; j >= 0; j -= 4 {
		if j == 16 || j == 40 {
			r3 -= c.k[r2&63]
			r2 -= c.k[r1&63]
			r1 -= c.k[r0&63]
			r0 -= c.k[r3&63]
		}
		r3 = bits.RotateLeft16(r3, -5) - c.k[j+3] - (r2 & r1) - (^r2 & r0)
		r2 = bits.RotateLeft16(r2, -3) - c.k[j+2] - (r1 & r0) - (^r1 & r3)
		r1 = bits.RotateLeft16(r1, -2) - c.k[j+1] - (r0 & r3) - (^r0 & r2)
		r0 = bits.RotateLeft16(r0, -1) - c.k[j] - (r3 & r2) - (^r3 & r1)
	}
	binary.LittleEndian.PutUint16(dst[0:], r0)
	binary.LittleEndian.PutUint16(dst[2:], r1)
	binary.LittleEndian.PutUint16(dst[4:], r2)
	binary.LittleEndian.PutUint16(dst[6:], r3)
}
