package pbe

import (
	"crypto"
	"fmt"
	"math"

	"golang.org/x/crypto/scrypt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

func chargePBKDF2(iterations int64, id crypto.Hash, key int, spend limits.Spender) error {
	return spend.Derive(iterations, blocks(key, id.Size())*weight(id))
}

// weight is what an HMAC costs, in those of SHA-256.
func weight(id crypto.Hash) int {
	switch id {
	case crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512:
		return 5
	case crypto.SHA384, crypto.SHA512, crypto.SHA512_224, crypto.SHA512_256:
		return 3 // which many processors have no instructions for
	}
	if id.Size() > 32 {
		return 5
	}
	return 1
}

// chargePKCS12 asks for the cost of the derivation of RFC 7292 appendix B, which
// hashes once where HMAC compresses twice, and without the detour of HMAC.
func chargePKCS12(iterations int64, id crypto.Hash, blocks int, spend limits.Spender) error {
	return spend.Derive(iterations, (blocks+2)/3*((weight(id)+1)/2))
}

// chargeScrypt asks for the 128 N r bytes that scrypt fills and the 4 N r p
// Salsa20/8 cores that it runs, each about as long as a compression of SHA-256.
func (p Params) chargeScrypt(spend limits.Spender) error {
	const most = math.MaxInt32
	if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 {
		return fmt.Errorf("scrypt with N=%d r=%d p=%d: %w", p.N, p.R, p.P, trustkeep.ErrCorrupt)
	}
	if p.N > most || p.R > most/p.N || p.P > most/p.R {
		return fmt.Errorf("scrypt with N=%d r=%d p=%d: %w", p.N, p.R, p.P, trustkeep.ErrLimit)
	}
	// Each of N, r and p is below 2^31, and so are N r and r p.
	if err := spend.Memory(128 * (p.N*p.R + 2*p.R + p.R*p.P)); err != nil {
		return err
	}
	return spend.Derive(4*p.N*p.R, int(p.P))
}

func (p Params) scrypt(password, salt []byte, key int, spend limits.Spender) (out []byte, err error) {
	spend.Alone(func() { out, err = scrypt.Key(password, salt, int(p.N), int(p.R), int(p.P), key) })
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err)
	}
	return out, nil
}
