package blockcipher

import "crypto/cipher"

type aria struct {
	rounds   int // 12, 14 or 16
	enc, dec [17]block128
}

// ariaConstants are C1, C2 and C3 of RFC 5794 section 2.2.
var ariaConstants = [3]block128{
	{0x517cc1b727220a94, 0xfe13abe8fa9a6ee0}, {0x6db14acc9e21c820, 0xff28b1d5ef5de2b0}, {0xdb92371d2126e970, 0x0324977504e8c90e},
}

// NewARIA makes a cipher of a key of 16, 24 or 32 bytes; any other is trustkeep.ErrUnsupported. The result is safe for
// concurrent use.
func NewARIA(key []byte) (cipher.Block, error) {
	if len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, keyLength("ARIA", key)
	}
	first := (len(key) - 16) / 8 // of the constants
	var padded [32]byte
	defer clear(padded[:])
	copy(padded[:], key)
	kl, kr := load(padded[:]), load(padded[16:])
	constant := func(i int) block128 { return ariaConstants[(first+i)%3] }
	var w [4]block128
	w[0] = kl
	w[1] = ariaOdd(w[0].xor(constant(0))).xor(kr)
	w[2] = ariaEven(w[1].xor(constant(1))).xor(w[0])
	w[3] = ariaOdd(w[2].xor(constant(2))).xor(w[1])
	c := &aria{rounds: 12 + 2*first}
	for i, by := range []uint{128 - 19, 128 - 31, 61, 31, 19} {
		for j := range w {
			if n := 4*i + j; n < len(c.enc) {
				c.enc[n] = w[j].xor(w[(j+1)%4].rotate(by))
				if j == 3 {
					c.enc[n] = w[0].rotate(by).xor(w[3])
				}
			}
		}
	}
	for i := range c.rounds + 1 {
		c.dec[i] = c.enc[c.rounds-i]
		if i > 0 && i < c.rounds {
			var b [Size]byte
			c.dec[i].store(b[:])
			ariaDiffuse(&b)
			c.dec[i] = load(b[:])
			clear(b[:])
		}
	}
	return c, nil
}

func (c *aria) BlockSize() int { return Size }

func (c *aria) Encrypt(dst, src []byte) { check(dst, src); c.crypt(&c.enc, dst, src) }

func (c *aria) Decrypt(dst, src []byte) { check(dst, src); c.crypt(&c.dec, dst, src) }

func (c *aria) crypt(keys *[17]block128, dst, src []byte) {
	x := load(src)
	for i := range c.rounds - 1 {
		x = x.xor(keys[i])
		if i%2 == 0 {
			x = ariaOdd(x)
		} else {
			x = ariaEven(x)
		}
	}
	var b [Size]byte
	x.xor(keys[c.rounds-1]).store(b[:])
	ariaSubstitute2(&b)
	load(b[:]).xor(keys[c.rounds]).store(dst)
}

// ariaOdd is FO of RFC 5794 section 2.4.1, but for the key.
func ariaOdd(x block128) block128 {
	var b [Size]byte
	x.store(b[:])
	for i := 0; i < Size; i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = ariaS1[b[i]], ariaS2[b[i+1]], ariaS3[b[i+2]], ariaS4[b[i+3]]
	}
	ariaDiffuse(&b)
	return load(b[:])
}

// ariaEven is FE of RFC 5794 section 2.4.1, but for the key.
func ariaEven(x block128) block128 {
	var b [Size]byte
	x.store(b[:])
	ariaSubstitute2(&b)
	ariaDiffuse(&b)
	return load(b[:])
}

// ariaSubstitute2 is SL2 of RFC 5794 section 2.4.2.
func ariaSubstitute2(b *[Size]byte) {
	for i := 0; i < Size; i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = ariaS3[b[i]], ariaS4[b[i+1]], ariaS1[b[i+2]], ariaS2[b[i+3]]
	}
}

// ariaDiffuse is the diffusion layer A of RFC 5794 section 2.4.3.
func ariaDiffuse(x *[Size]byte) {
	*x = [Size]byte{
		x[3] ^ x[4] ^ x[6] ^ x[8] ^ x[9] ^ x[13] ^ x[14],
		x[2] ^ x[5] ^ x[7] ^ x[8] ^ x[9] ^ x[12] ^ x[15],
		x[1] ^ x[4] ^ x[6] ^ x[10] ^ x[11] ^ x[12] ^ x[15],
		x[0] ^ x[5] ^ x[7] ^ x[10] ^ x[11] ^ x[13] ^ x[14],
		x[0] ^ x[2] ^ x[5] ^ x[8] ^ x[11] ^ x[14] ^ x[15],
		x[1] ^ x[3] ^ x[4] ^ x[9] ^ x[10] ^ x[14] ^ x[15],
		x[0] ^ x[2] ^ x[7] ^ x[9] ^ x[10] ^ x[12] ^ x[13],
		x[1] ^ x[3] ^ x[6] ^ x[8] ^ x[11] ^ x[12] ^ x[13],
		x[0] ^ x[1] ^ x[4] ^ x[7] ^ x[10] ^ x[13] ^ x[15],
		x[0] ^ x[1] ^ x[5] ^ x[6] ^ x[11] ^ x[12] ^ x[14],
		x[2] ^ x[3] ^ x[5] ^ x[6] ^ x[8] ^ x[13] ^ x[15],
		x[2] ^ x[3] ^ x[4] ^ x[7] ^ x[9] ^ x[12] ^ x[14],
		x[1] ^ x[2] ^ x[6] ^ x[7] ^ x[9] ^ x[11] ^ x[12],
		x[0] ^ x[3] ^ x[6] ^ x[7] ^ x[8] ^ x[10] ^ x[13],
		x[0] ^ x[3] ^ x[4] ^ x[5] ^ x[9] ^ x[11] ^ x[14],
		x[1] ^ x[2] ^ x[4] ^ x[5] ^ x[8] ^ x[10] ^ x[15],
	}
}
