// Package blockcipher has the block ciphers that key files are encrypted with in Japan and Korea and that neither the
// standard library nor x/crypto has: Camellia (RFC 3713), ARIA (RFC 5794) and SEED (RFC 4269). All have blocks of 16
// bytes.
//
// It is for files: lookups in tables take a time that depends on the key, which somebody who runs beside it on the
// same processor could measure. None of the ciphers is approved by FIPS 140-3; the callers ask internal/fips.
package blockcipher

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// Size is the length of a block in bytes.
const Size = 16

// block128 is two halves of a block, the first octets in hi.
type block128 struct{ hi, lo uint64 }

func load(b []byte) block128 {
	return block128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:16])}
}

func (x block128) store(b []byte) {
	binary.BigEndian.PutUint64(b, x.hi)
	binary.BigEndian.PutUint64(b[8:16], x.lo)
}

func (x block128) xor(y block128) block128 { return block128{x.hi ^ y.hi, x.lo ^ y.lo} }

// rotate rotates to the left by less than 128 bits.
func (x block128) rotate(n uint) block128 {
	if n >= 64 {
		x.hi, x.lo = x.lo, x.hi
		n -= 64
	}
	return block128{x.hi<<n | x.lo>>(64-n), x.lo<<n | x.hi>>(64-n)}
}

// check is for Encrypt and Decrypt, which panic as those of the standard library do.
func check(dst, src []byte) {
	if len(src) < Size || len(dst) < Size {
		panic("blockcipher: less than a block")
	}
}

func keyLength(name string, key []byte) error {
	return fmt.Errorf("%s key of %d bytes: %w", name, len(key), trustkeep.ErrUnsupported)
}

var _, _, _ cipher.Block = (*camellia)(nil), (*aria)(nil), (*seed)(nil)
