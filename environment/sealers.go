package environment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/crypto/scrypt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// The cost of a password: 32 MiB and about a tenth of a second, once when a registry is
// opened (RFC 7914).
const (
	scryptN, scryptR, scryptP = 1 << 15, 8, 1
	saltSize                  = 16
)

// passwordSealer has the source in a closure: in a field that is not exported, package fmt
// would not ask it how it wants to be printed.
type passwordSealer struct{ reveal func() ([]byte, error) }

// PasswordSealer seals by a password, stretched by scrypt. A registry has at most one. Wrap and
// Unwrap fail with trustkeep.ErrInvalid for an empty password or none, and with
// trustkeep.ErrUnsupported under GODEBUG=fips140=only, which has no scrypt.
func PasswordSealer(p trustkeep.PasswordSource) Sealer {
	return passwordSealer{func() ([]byte, error) {
		if p == nil {
			return nil, nil
		}
		return p.Reveal()
	}}
}

func (passwordSealer) ID() string { return "password" }

func (k passwordSealer) Wrap(dataKey []byte) ([]byte, error) {
	if err := fips.Refuse("scrypt, by which passwords seal,"); err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	aead, err := k.cipher(salt)
	if err != nil {
		return nil, err
	}
	// The key is new with its salt, so one nonce will do.
	return aead.Seal(salt, make([]byte, aead.NonceSize()), dataKey, nil), nil
}

func (k passwordSealer) Unwrap(wrapped []byte) ([]byte, error) {
	if err := fips.Refuse("scrypt, by which passwords seal,"); err != nil {
		return nil, err
	}
	if len(wrapped) < saltSize {
		return nil, fmt.Errorf("wrapped key: %w", trustkeep.ErrCorrupt)
	}
	aead, err := k.cipher(wrapped[:saltSize])
	if err != nil {
		return nil, err
	}
	return unwrapped(aead.Open(nil, make([]byte, aead.NonceSize()), wrapped[saltSize:], nil))
}

func (k passwordSealer) cipher(salt []byte) (cipher.AEAD, error) {
	password, err := k.reveal()
	if err != nil {
		return nil, err
	}
	defer clear(password)
	if len(password) == 0 {
		return nil, fmt.Errorf("no password: %w", trustkeep.ErrInvalid)
	}
	key, err := scrypt.Key(password, salt, scryptN, scryptR, scryptP, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func unwrapped(dataKey []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("wrapped key: %w", trustkeep.ErrIncorrectPassword)
	}
	return dataKey, nil
}

type fileSealer struct{ path string }

// fileKeySize is the length of what a key file holds: random bytes, in hex.
const fileKeySize = 32

// FileSealer seals by the random key in a file that NewKeyFile made, such as a secret that is
// mounted into a container.
func FileSealer(path string) Sealer { return fileSealer{path} }

// NewKeyFile makes a random key and writes it to a new file that only its owner can
// read: 64 hex digits and a line ending. The error wraps fs.ErrExist if the file exists.
func NewKeyFile(path string) error {
	key := make([]byte, fileKeySize)
	rand.Read(key)
	defer clear(key)
	text := append(hex.AppendEncode(nil, key), '\n')
	defer clear(text)
	return writeNew(path, text)
}

// writeNew writes a secret to a new file that only its owner can read.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// ID is empty where the file cannot be read, which Wrap and Unwrap then say.
func (k fileSealer) ID() string {
	id, err := k.derive("id")
	if err != nil {
		return ""
	}
	return "file:" + hex.EncodeToString(id[:8])
}

func (k fileSealer) derive(purpose string) ([]byte, error) {
	text, err := storefile.ReadFile(k.path, 1<<10)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	key := make([]byte, hex.DecodedLen(len(text)))
	defer clear(key)
	if _, err := hex.Decode(key, text); err != nil || len(key) != fileKeySize {
		return nil, &trustkeep.Error{Op: "key file", Path: k.path, Err: trustkeep.ErrCorrupt, Hint: "NewKeyFile makes one: 64 hex digits"}
	}
	return hkdf.Key(sha256.New, key, nil, "trustkeep registry "+purpose, 32)
}

func (k fileSealer) Wrap(dataKey []byte) ([]byte, error) {
	aead, err := k.cipher()
	if err != nil {
		return nil, err
	}
	return aead.Seal(dataKey, nil)
}

func (k fileSealer) Unwrap(wrapped []byte) ([]byte, error) {
	aead, err := k.cipher()
	if err != nil {
		return nil, err
	}
	if len(wrapped) < fips.NonceSize {
		return nil, fmt.Errorf("wrapped key: %w", trustkeep.ErrCorrupt)
	}
	return unwrapped(aead.Open(wrapped, nil))
}

func (k fileSealer) cipher() (*fips.GCM, error) {
	key, err := k.derive("wrap")
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return fips.NewGCM(key, rand.Reader)
}
