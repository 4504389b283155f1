package blockcipher

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// camellia has the round keys in the order of use: kw1, kw2, then rounds of six with ke pairs between, then kw3, kw4.
type camellia struct {
	enc, dec camelliaKeys
}

type camelliaKeys struct {
	rounds int        // 18 or 24
	k      [24]uint64 // k1...
	ke     [6]uint64
	kw     [4]uint64
}

// sigma are the constants of RFC 3713 section 2.2.
var sigma = [6]uint64{
	0xA09E667F3BCC908B, 0xB67AE8584CAA73B2, 0xC6EF372FE94F82BE,
	0x54FF53A5F1D36F1C, 0x10E527FADE682D1D, 0xB05688C2B3E6C1FD,
}

// NewCamellia makes a cipher of a key of 16, 24 or 32 bytes; any other is trustkeep.ErrUnsupported. The result is safe
// for concurrent use.
func NewCamellia(key []byte) (cipher.Block, error) {
	var kl, kr block128
	switch len(key) {
	case 16:
		kl = load(key)
	case 24:
		kl = load(key)
		kr.hi = binary.BigEndian.Uint64(key[16:])
		kr.lo = ^kr.hi
	case 32:
		kl, kr = load(key), load(key[16:])
	default:
		return nil, keyLength("Camellia", key)
	}
	d1, d2 := kl.hi^kr.hi, kl.lo^kr.lo
	d2 ^= camelliaF(d1, sigma[0])
	d1 ^= camelliaF(d2, sigma[1])
	d1, d2 = d1^kl.hi, d2^kl.lo
	d2 ^= camelliaF(d1, sigma[2])
	d1 ^= camelliaF(d2, sigma[3])
	ka := block128{d1, d2}
	d1, d2 = ka.hi^kr.hi, ka.lo^kr.lo
	d2 ^= camelliaF(d1, sigma[4])
	d1 ^= camelliaF(d2, sigma[5])
	kb := block128{d1, d2}

	c := new(camellia)
	s := &c.enc
	pair := func(to []uint64, from block128, by uint) {
		x := from.rotate(by)
		to[0], to[1] = x.hi, x.lo
	}
	pair(s.kw[0:], kl, 0)
	if len(key) == 16 { // RFC 3713 section 2.2
		s.rounds = 18
		pair(s.k[0:], ka, 0)
		pair(s.k[2:], kl, 15)
		pair(s.k[4:], ka, 15)
		pair(s.ke[0:], ka, 30)
		pair(s.k[6:], kl, 45)
		s.k[8] = ka.rotate(45).hi
		s.k[9] = kl.rotate(60).lo
		pair(s.k[10:], ka, 60)
		pair(s.ke[2:], kl, 77)
		pair(s.k[12:], kl, 94)
		pair(s.k[14:], ka, 94)
		pair(s.k[16:], kl, 111)
		pair(s.kw[2:], ka, 111)
	} else {
		s.rounds = 24
		pair(s.k[0:], kb, 0)
		pair(s.k[2:], kr, 15)
		pair(s.k[4:], ka, 15)
		pair(s.ke[0:], kr, 30)
		pair(s.k[6:], kb, 30)
		pair(s.k[8:], kl, 45)
		pair(s.k[10:], ka, 45)
		pair(s.ke[2:], kl, 60)
		pair(s.k[12:], kr, 60)
		pair(s.k[14:], kb, 60)
		pair(s.k[16:], kl, 77)
		pair(s.ke[4:], ka, 77)
		pair(s.k[18:], kr, 94)
		pair(s.k[20:], ka, 94)
		pair(s.k[22:], kl, 111)
		pair(s.kw[2:], kb, 111)
	}
	c.dec = s.reversed()
	return c, nil
}

// reversed are the keys for decryption (RFC 3713 section 2.3.3).
func (s *camelliaKeys) reversed() camelliaKeys {
	r := camelliaKeys{rounds: s.rounds, kw: [4]uint64{s.kw[2], s.kw[3], s.kw[0], s.kw[1]}}
	for i := range s.rounds {
		r.k[i] = s.k[s.rounds-1-i]
	}
	n := s.rounds/3 - 2 // of ke
	for i := range n {
		r.ke[i] = s.ke[n-1-i]
	}
	return r
}

func (c *camellia) BlockSize() int { return Size }

func (c *camellia) Encrypt(dst, src []byte) { check(dst, src); c.enc.crypt(dst, src) }

func (c *camellia) Decrypt(dst, src []byte) { check(dst, src); c.dec.crypt(dst, src) }

func (s *camelliaKeys) crypt(dst, src []byte) {
	x := load(src)
	d1, d2 := x.hi^s.kw[0], x.lo^s.kw[1]
	for i := 0; i < s.rounds; i += 2 {
		if i > 0 && i%6 == 0 {
			d1 = camelliaFL(d1, s.ke[i/3-2])
			d2 = camelliaFLInverse(d2, s.ke[i/3-1])
		}
		d2 ^= camelliaF(d1, s.k[i])
		d1 ^= camelliaF(d2, s.k[i+1])
	}
	block128{d2 ^ s.kw[2], d1 ^ s.kw[3]}.store(dst)
}

// camelliaF is the F-function (RFC 3713 section 2.4.1).
func camelliaF(in, key uint64) uint64 {
	x := in ^ key
	t1 := camelliaS[byte(x>>56)]
	t2 := bits.RotateLeft8(camelliaS[byte(x>>48)], 1)
	t3 := bits.RotateLeft8(camelliaS[byte(x>>40)], 7)
	t4 := camelliaS[bits.RotateLeft8(byte(x>>32), 1)]
	t5 := bits.RotateLeft8(camelliaS[byte(x>>24)], 1)
	t6 := bits.RotateLeft8(camelliaS[byte(x>>16)], 7)
	t7 := camelliaS[bits.RotateLeft8(byte(x>>8), 1)]
	t8 := camelliaS[byte(x)]
	y1 := t1 ^ t3 ^ t4 ^ t6 ^ t7 ^ t8
	y2 := t1 ^ t2 ^ t4 ^ t5 ^ t7 ^ t8
	y3 := t1 ^ t2 ^ t3 ^ t5 ^ t6 ^ t8
	y4 := t2 ^ t3 ^ t4 ^ t5 ^ t6 ^ t7
	y5 := t1 ^ t2 ^ t6 ^ t7 ^ t8
	y6 := t2 ^ t3 ^ t5 ^ t7 ^ t8
	y7 := t3 ^ t4 ^ t5 ^ t6 ^ t8
	y8 := t1 ^ t4 ^ t5 ^ t6 ^ t7
	return uint64(y1)<<56 | uint64(y2)<<48 | uint64(y3)<<40 | uint64(y4)<<32 |
		uint64(y5)<<24 | uint64(y6)<<16 | uint64(y7)<<8 | uint64(y8)
}

// camelliaFL is the FL-function (RFC 3713 section 2.4.2).
func camelliaFL(in, key uint64) uint64 {
	x1, x2 := uint32(in>>32), uint32(in)
	k1, k2 := uint32(key>>32), uint32(key)
	x2 ^= bits.RotateLeft32(x1&k1, 1)
	x1 ^= x2 | k2
	return uint64(x1)<<32 | uint64(x2)
}

// camelliaFLInverse is the inverse of camelliaFL (RFC 3713 section 2.4.3).
func camelliaFLInverse(in, key uint64) uint64 {
	y1, y2 := uint32(in>>32), uint32(in)
	k1, k2 := uint32(key>>32), uint32(key)
	y1 ^= y2 | k2
	y2 ^= bits.RotateLeft32(y1&k1, 1)
	return uint64(y1)<<32 | uint64(y2)
}
