package pemfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/blockcipher"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// The encryption of PEM itself (RFC 1421 sections 4.6.1.1 and 4.6.1.3), with the
// ciphers and the key derivation of OpenSSL, EVP_BytesToKey with one round of
// MD5. Nothing in it is slow on purpose, so passwords can be guessed as fast as
// MD5 runs, and nothing authenticates the content.

// legacyCiphers are the ciphers of DEK-Info.
var legacyCiphers = []struct {
	name  string
	key   int // bytes
	block func(key []byte) (cipher.Block, error)
}{
	{"DES-CBC", 8, des.NewCipher},
	{"DES-EDE3-CBC", 24, des.NewTripleDESCipher},
	{"AES-128-CBC", 16, aes.NewCipher},
	{"AES-192-CBC", 24, aes.NewCipher},
	{"AES-256-CBC", 32, aes.NewCipher},
	{"CAMELLIA-128-CBC", 16, blockcipher.NewCamellia},
	{"CAMELLIA-192-CBC", 24, blockcipher.NewCamellia},
	{"CAMELLIA-256-CBC", 32, blockcipher.NewCamellia},
	{"ARIA-128-CBC", 16, blockcipher.NewARIA},
	{"ARIA-192-CBC", 24, blockcipher.NewARIA},
	{"ARIA-256-CBC", 32, blockcipher.NewARIA},
	{"SEED-CBC", 16, blockcipher.NewSEED},
}

// isLegacyEncrypted reports whether the block says that it is encrypted.
func (b *block) isLegacyEncrypted() bool {
	kind, state, _ := strings.Cut(b.header("Proc-Type"), ",")
	return strings.TrimSpace(kind) == "4" && strings.TrimSpace(state) == "ENCRYPTED"
}

// legacyKey makes a PrivateKey of the ciphertext of such a block.
func (b *block) legacyKey(ciphertext []byte) (*entry.PrivateKey, error) {
	name, ivHex, _ := strings.Cut(b.header("DEK-Info"), ",")
	name = strings.TrimSpace(name)
	iv, err := hex.DecodeString(strings.TrimSpace(ivHex))
	if err != nil {
		return nil, corrupt("DEK-Info")
	}
	for _, c := range legacyCiphers {
		if !strings.EqualFold(c.name, name) {
			continue
		}
		size := aes.BlockSize
		if strings.HasPrefix(c.name, "DES") {
			size = des.BlockSize
		}
		if len(iv) != size || len(ciphertext) == 0 || len(ciphertext)%size != 0 {
			return nil, corrupt("encrypted key")
		}
		return &entry.PrivateKey{
			Encrypted: true, Protection: "PEM " + c.name + " MD5 1", Algorithm: labelAlgorithm(b.label),
			Unlock: func(password []byte, _ limits.Spender) ([]byte, error) {
				if password == nil {
					return nil, pkcs8.ErrNoPassword
				}
				if err := fips.Refuse("MD5, from which PEM derives keys,"); err != nil {
					return nil, fmt.Errorf("pemfile: encrypted key: %w", err)
				}
				key := bytesToKey(password, iv[:8], c.key)
				defer clear(key)
				cipher, err := c.block(key)
				if err != nil {
					return nil, fmt.Errorf("pemfile: %w: %v", trustkeep.ErrUnsupported, err)
				}
				return openLegacy(cipher, iv, ciphertext)
			},
		}, nil
	}
	unknown := fmt.Errorf("pemfile: encryption with %q: %w", trustkeep.Printable(name), trustkeep.ErrUnsupported)
	return &entry.PrivateKey{
		Encrypted: true, Protection: "unknown",
		Unlock: func([]byte, limits.Spender) ([]byte, error) { return nil, unknown },
	}, nil
}

// openLegacy decrypts and returns the PrivateKeyInfo. A wrong password shows in
// the padding or, one time in 256, in what it leaves.
func openLegacy(block cipher.Block, iv, ciphertext []byte) ([]byte, error) {
	plain := make([]byte, len(ciphertext))
	defer clear(plain)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	wrong := fmt.Errorf("pemfile: encrypted key: %w", trustkeep.ErrIncorrectPassword)
	n := int(plain[len(plain)-1])
	if n == 0 || n > block.BlockSize() {
		return nil, wrong
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, wrong
		}
	}
	key, err := pkcs8.Wrap(plain[:len(plain)-n])
	if err != nil {
		return nil, wrong
	}
	return key, nil
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and one iteration: D_i =
// MD5(D_(i-1) || password || salt).
func bytesToKey(password, salt []byte, n int) []byte {
	key := make([]byte, 0, n+md5.Size)
	for last := 0; len(key) < n; last = md5.Size {
		h := md5.New()
		h.Write(key[len(key)-last:])
		h.Write(password)
		h.Write(salt)
		key = h.Sum(key)
	}
	return key[:n]
}

// labelAlgorithm is what the label of a traditional key says about it.
func labelAlgorithm(label string) string {
	name, ok := strings.CutSuffix(label, " PRIVATE KEY")
	if !ok || name == "ENCRYPTED" {
		return ""
	}
	return name
}
