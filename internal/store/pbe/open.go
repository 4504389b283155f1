package pbe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rc4"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/blockcipher"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// Open decrypts with key material from Derive. Wrong padding, or a failed tag,
// is trustkeep.ErrIncorrectPassword: these schemes cannot tell a wrong password
// from tampered content. A wrong password is not always found out here, and
// never with RC4; the caller must check what it gets. ciphertext is not
// modified and the result is new.
func (s *Scheme) Open(derived, ciphertext []byte) ([]byte, error) {
	info := s.params.Cipher.info()
	if len(derived) != s.params.keyLength()+s.params.derivedIV() {
		return nil, fmt.Errorf("key material of %d bytes for %s: %w", len(derived), info.name, trustkeep.ErrKeyMismatch)
	}
	key, iv := derived[:s.params.keyLength()], derived[s.params.keyLength():]
	if s.params.pbes2() {
		iv = s.iv
	}
	switch {
	case info.stream:
		c, err := rc4.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
		}
		out := make([]byte, len(ciphertext))
		c.XORKeyStream(out, ciphertext)
		return out, nil
	case info.gcm:
		out, err := fips.OpenGCM(key, iv, ciphertext, nil, s.tag)
		if errors.Is(err, fips.ErrOpen) {
			err = fmt.Errorf("decryption: %w", trustkeep.ErrIncorrectPassword)
		}
		return out, err
	}
	if len(ciphertext) == 0 || len(ciphertext)%info.iv != 0 {
		return nil, corrupt(fmt.Sprintf("%s text of %d bytes", info.name, len(ciphertext)))
	}
	block, err := s.params.block(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(ciphertext))
	decryptCBC(block, iv, out, ciphertext)
	// RFC 8018 section 6.1.1: n bytes of value n, one block at most.
	n := int(out[len(out)-1])
	ok := n >= 1 && n <= info.iv
	if ok {
		for _, b := range out[len(out)-n:] {
			ok = ok && int(b) == n
		}
	}
	if !ok {
		clear(out)
		return nil, fmt.Errorf("decryption: %w", trustkeep.ErrIncorrectPassword)
	}
	return out[:len(out)-n], nil
}

// decryptInParallel is how many bytes make another goroutine worth it.
const decryptInParallel = 128 << 10

// decryptCBC decrypts on the cores there are: each piece needs no more of the
// one before it than its last block of ciphertext.
func decryptCBC(block cipher.Block, iv, out, ciphertext []byte) {
	pieces := max(1, min(runtime.GOMAXPROCS(0), len(ciphertext)/decryptInParallel))
	piece := (len(ciphertext)/pieces/len(iv) + 1) * len(iv)
	var wg sync.WaitGroup
	for from := 0; from < len(ciphertext); from += piece {
		to := min(from+piece, len(ciphertext))
		previous := iv
		if from > 0 {
			previous = ciphertext[from-len(iv) : from]
		}
		decrypt := func() { cipher.NewCBCDecrypter(block, previous).CryptBlocks(out[from:to], ciphertext[from:to]) }
		if to == len(ciphertext) {
			decrypt()
		} else {
			wg.Go(decrypt)
		}
	}
	wg.Wait()
}

// SealWith encrypts the pieces of plain, joined, with key material from Derive;
// the counterpart of Open. plain is not modified and the result is new.
func (s *Scheme) SealWith(derived []byte, plain ...[]byte) ([]byte, error) {
	info := s.params.Cipher.info()
	key, iv := derived[:s.params.keyLength()], derived[s.params.keyLength():]
	if s.params.pbes2() {
		iv = s.iv
	}
	n := 0
	for _, p := range plain {
		n += len(p)
	}
	out := make([]byte, 0, n+maxOverhead)
	for _, p := range plain {
		out = append(out, p...)
	}
	switch {
	case info.stream:
		c, err := rc4.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
		}
		c.XORKeyStream(out, out)
		return out, nil
	case info.gcm:
		aead, err := s.gcm(key)
		if err != nil {
			return nil, err
		}
		return aead.Seal(out[:0], iv, out, nil), nil
	}
	block, err := s.params.block(key)
	if err != nil {
		return nil, err
	}
	padding := info.iv - n%info.iv
	for range padding {
		out = append(out, byte(padding))
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out, nil
}

// maxOverhead is what encryption adds at most: a block of padding or a tag.
const maxOverhead = 16

func (p Params) block(key []byte) (cipher.Block, error) {
	var block cipher.Block
	var err error
	switch p.Cipher {
	case AES128CBC, AES192CBC, AES256CBC:
		block, err = aes.NewCipher(key)
	case TripleDES:
		block, err = des.NewTripleDESCipher(key)
	case TripleDES2Key:
		three := append(append(make([]byte, 0, 24), key...), key[:8]...)
		defer clear(three)
		block, err = des.NewTripleDESCipher(three)
	case DES:
		block, err = des.NewCipher(key)
	case RC2, RC240, RC264, RC2128:
		block = newRC2(key, p.rc2Bits())
	case Camellia128CBC, Camellia192CBC, Camellia256CBC:
		block, err = blockcipher.NewCamellia(key)
	case ARIA128CBC, ARIA192CBC, ARIA256CBC:
		block, err = blockcipher.NewARIA(key)
	case SEEDCBC:
		block, err = blockcipher.NewSEED(key)
	default:
		return nil, fmt.Errorf("cipher %d: %w", p.Cipher, trustkeep.ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	return block, nil
}

// gcm is for encryption, with the nonce that the scheme has drawn.
func (s *Scheme) gcm(key []byte) (cipher.AEAD, error) {
	if err := fips.Refuse("AES-GCM with a nonce from outside the module"); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithTagSize(block, s.tag); err == nil {
			return aead, nil
		}
	}
	return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
}
