package blockcipher

import (
	"crypto/cipher"
	"math/bits"
)

type seed struct {
	keys [16][2]uint32
}

// NewSEED makes a cipher of a key of 16 bytes; any other is trustkeep.ErrUnsupported. The result is safe for
// concurrent use.
func NewSEED(key []byte) (cipher.Block, error) {
	if len(key) != 16 {
		return nil, keyLength("SEED", key)
	}
	x := load(key)
	c := new(seed)
	const kc0 = 0x9e3779b9 // RFC 4269 section 2.3
	for i := range c.keys {
		kc := bits.RotateLeft32(kc0, i)
		k0, k1, k2, k3 := uint32(x.hi>>32), uint32(x.hi), uint32(x.lo>>32), uint32(x.lo)
		c.keys[i] = [2]uint32{seedG(k0 + k2 - kc), seedG(k1 - k3 + kc)}
		if i%2 == 0 {
			x.hi = bits.RotateLeft64(x.hi, -8)
		} else {
			x.lo = bits.RotateLeft64(x.lo, 8)
		}
	}
	return c, nil
}

func (c *seed) BlockSize() int { return Size }

func (c *seed) Encrypt(dst, src []byte) {
	check(dst, src)
	x := load(src)
	for i := range c.keys {
		x = seedRound(x, &c.keys[i])
	}
	block128{x.lo, x.hi}.store(dst)
}

func (c *seed) Decrypt(dst, src []byte) {
	check(dst, src)
	x := load(src)
	for i := range c.keys {
		x = seedRound(x, &c.keys[len(c.keys)-1-i])
	}
	block128{x.lo, x.hi}.store(dst)
}

// seedRound is a round with the function F (RFC 4269 section 2.1).
func seedRound(x block128, key *[2]uint32) block128 {
	c := uint32(x.lo>>32) ^ key[0]
	d := uint32(x.lo) ^ key[1]
	d = seedG(c ^ d)
	c = seedG(c + d)
	d = seedG(c + d)
	c += d
	return block128{x.lo, x.hi ^ (uint64(c)<<32 | uint64(d))}
}

// seedG is the function G (RFC 4269 section 2.2); the constants are its masks.
func seedG(x uint32) uint32 {
	const each = 0x01010101
	return uint32(seedS1[byte(x)])*each&0x3fcff3fc ^ uint32(seedS2[byte(x>>8)])*each&0xfc3fcff3 ^
		uint32(seedS1[byte(x>>16)])*each&0xf3fc3fcf ^ uint32(seedS2[byte(x>>24)])*each&0xcff3fc3f
}
