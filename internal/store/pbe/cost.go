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
	n := blocks(key, id.Size())
	if id.Size() > 32 || id == crypto.SHA512_224 || id == crypto.SHA512_256 {
		n *= 2 // the 64-bit hashes cost twice as much and more
	}
	return spend.Derive(iterations, n)
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

func (p Params) scrypt(password, salt []byte, key int) ([]byte, error) {
	out, err := scrypt.Key(password, salt, int(p.N), int(p.R), int(p.P), key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err)
	}
	return out, nil
}
