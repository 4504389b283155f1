package bks

import (
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/twofish" //lint:ignore SA1019 UBER knows no other cipher

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// twofishKey is the length of the key in bytes: PBEWithSHAAndTwofish-CBC.
const twofishKey = 32

func (h header) twofish(password []byte, spend limits.Spender) (cipher.Block, []byte, error) {
	key, iv, err := pbe.DeriveKeyIV(kdfHash, pkcs12Password(password), h.salt, h.iterations, twofishKey, twofish.BlockSize, spend)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	block, err := twofish.NewCipher(key)
	return block, iv, err
}

func parseUBER(h header, ciphertext []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := fips.Refuse("Twofish, with which UBER is encrypted,"); err != nil {
		return nil, err
	}
	if h.version == 0 {
		return nil, fmt.Errorf("UBER version 0: %w", trustkeep.ErrUnsupported)
	}
	if len(ciphertext) < sha1.Size || len(ciphertext)%twofish.BlockSize != 0 {
		return nil, fmt.Errorf("UBER with %d encrypted bytes: %w", len(ciphertext), trustkeep.ErrCorrupt)
	}
	block, iv, err := h.twofish(opts.Password, opts.Budget)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	// Nothing of the plaintext counts before the digest is right, the padding
	// neither: it says only where the digest is.
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > twofish.BlockSize || len(plain)-pad < sha1.Size+1 {
		return nil, errMismatch
	}
	plain = plain[:len(plain)-pad]
	content, stored := plain[:len(plain)-sha1.Size], plain[len(plain)-sha1.Size:]
	computed := sha1.Sum(content)
	if subtle.ConstantTimeCompare(computed[:], stored) != 1 {
		return nil, errMismatch
	}
	entries, err := readContent(content, opts.Budget)
	if err != nil {
		return nil, err
	}
	return &entry.Store{Format: entry.UBER, Entries: entries}, nil
}

var errMismatch = fmt.Errorf("digest mismatch, wrong password or altered file: %w", trustkeep.ErrIncorrectPassword)

// sealUBER encrypts the content with its digest.
func (h header) sealUBER(content, password []byte) ([]byte, error) {
	sum := sha1.Sum(content)
	plain := append(content, sum[:]...)
	defer clear(plain)
	pad := twofish.BlockSize - len(plain)%twofish.BlockSize
	for range pad {
		plain = append(plain, byte(pad))
	}
	block, iv, err := h.twofish(password, limits.Unlimited{})
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	return out, nil
}
